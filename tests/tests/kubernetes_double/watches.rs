//! Watches and lists, and what they come to when connections and versions go.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{ListParams, WatchEvent, WatchParams},
    runtime::watcher,
};
use serde_json::json;
use tailback_tests::{eventually_async, kubernetes::Double};

use crate::{asked, pod, sample, status};

type Events = tokio::sync::mpsc::UnboundedReceiver<String>;

/// The names of pods as a watcher tells of them, from when its watch is open. A
/// task of its own drives the watcher: it does nothing by itself.
async fn followed(double: &Double, client: Client) -> Events {
    let (sender, events) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let pods: Api<Pod> = Api::default_namespaced(client);
        let mut stream = Box::pin(watcher(pods, watcher::Config::default()));
        while let Some(event) = stream.next().await {
            match event {
                Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) => {
                    let _ = sender.send(pod.metadata.name.unwrap());
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    eventually_async("an open watch", || asked(double, "watch") == 1).await;
    events
}

/// The next pod that is told of.
async fn next(events: &mut Events) -> String {
    let next = tokio::time::timeout(tailback_tests::PATIENCE, events.recv());
    next.await.expect("a pod in time").expect("a pod")
}

/// Waits until this pod is told of.
async fn told_of(events: &mut Events, name: &str) {
    while next(events).await != name {}
}

#[tokio::test]
async fn a_watcher_resumes_after_its_connection_is_cut() {
    let (double, client) = sample(0).await;
    let mut events = followed(&double, client).await;
    double.create(pod("a")).unwrap();
    assert_eq!(next(&mut events).await, "a");
    double.faults().drop_connections();
    double.create(pod("b")).unwrap();
    assert_eq!(next(&mut events).await, "b");
    assert_eq!(asked(&double, "list"), 1, "it resumed");
}

#[tokio::test]
async fn a_watcher_lists_again_when_its_version_is_gone() {
    let (double, client) = sample(0).await;
    let mut events = followed(&double, client).await;
    double.faults().go_down();
    double.create(pod("a")).unwrap();
    double.compact();
    double.faults().come_back();
    eventually_async("another list", || asked(&double, "list") == 2).await;
    told_of(&mut events, "a").await;
    // Only a reopened watch reports this pod.
    double.create(pod("b")).unwrap();
    told_of(&mut events, "b").await;
    double.faults().expire_watches();
    double.create(pod("c")).unwrap();
    told_of(&mut events, "c").await;
    eventually_async("a third list", || asked(&double, "list") == 3).await;
}

#[tokio::test]
async fn bookmarks_selectors_and_timeouts_are_the_watch_s_own() {
    let (double, client) = sample(0).await;
    let pods: Api<Pod> = Api::default_namespaced(client);
    let params = WatchParams::default().labels("app=sample").timeout(3);
    let mut events = pods.watch(&params, "0").await.unwrap().boxed();
    double.create(pod("a")).unwrap();
    let relabel = |app: &str| {
        let patch = json!({ "metadata": { "labels": { "app": app } } });
        double.merge("pods", "default", "a", &patch).unwrap();
    };
    relabel("other");
    relabel("sample");
    double.faults().send_bookmarks();
    let mut kinds = Vec::new();
    while let Some(event) = events.try_next().await.unwrap() {
        kinds.push(match event {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            WatchEvent::Bookmark(_) => "bookmark",
            WatchEvent::Error(_) => "error",
        });
    }
    assert_eq!(kinds, ["added", "deleted", "added", "bookmark", "bookmark"]);
}

#[tokio::test]
async fn a_deaf_watch_stays_open_and_says_nothing() {
    let (double, client) = sample(0).await;
    let mut events = followed(&double, client).await;
    double.faults().silence_watches();
    double.create(pod("a")).unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(300), events.recv()).await;
    assert!(silence.is_err(), "{silence:?}");
    double.faults().drop_connections();
    assert_eq!(next(&mut events).await, "a");
}

#[tokio::test]
async fn pages_are_of_one_version_until_it_is_compacted() {
    let (double, client) = sample(0).await;
    for name in ["a", "b", "c"] {
        double.create(pod(name)).unwrap();
    }
    let pods: Api<Pod> = Api::default_namespaced(client);
    let first = pods.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(
        (first.items.len(), first.metadata.remaining_item_count),
        (2, Some(1))
    );
    double.create(pod("d")).unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = ListParams::default().limit(2).continue_token(&token);
    let second = pods.list(&rest).await.unwrap();
    assert_eq!(second.items.len(), 1);
    assert_eq!(
        second.metadata.resource_version,
        first.metadata.resource_version
    );
    double.compact();
    let (code, reason, _) = status(pods.list(&rest).await.unwrap_err());
    assert_eq!((code, reason.as_str()), (410, "Expired"));
}
