//! Lists and then watches objects, for as long as the receiver of the events lives. It retries
//! after failures; the last known objects stay valid meanwhile.
//!
//! kube-rs resumes a watch at its last resource version, and lists again if that version is too
//! old (410). This module adds waits that grow and are jittered, or last as long as the API
//! server asks, and new credentials after a 401. It also detects dead watches: the API server
//! ends each watch after about [`LENGTH`], so a longer silence means a dead connection.
//!
//! A single broken connection is normal and is not reported. After the second failure in a row,
//! and at once after an error status, the follower gets [`WatchEvent::Trouble`]. The watch then
//! starts with a new list, and the arrival of that list ends the trouble.
//! [`reachability`](super::reachability) logs outages; a missing permission is logged once it has
//! lasted for [`SETTLING`].

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt;
use kube::{
    Api, Resource,
    core::Status,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    api_error::ApiError,
    call::note,
    cluster::{Cluster, LONGEST_SILENCE},
    error::{Action, scale_error},
};
use crate::orchestrator::{SETTLING, ScaleError, error_chain::chain};

/// How long one watch lasts. A random part of [`SPREAD`] is added, so that watches do not restart
/// at the same time.
const LENGTH: Duration = Duration::from_secs(50);
const SPREAD: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest wait before a retry, unless the API server asks for a longer one.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A change of the objects.
#[derive(Debug)]
pub(crate) enum WatchEvent<K> {
    /// The complete list.
    All(Vec<K>),
    /// One was added or changed.
    Applied(Box<K>),
    /// One is gone.
    Deleted(Box<K>),
    /// The watch is broken, and why. The last known objects stay valid.
    Trouble(String),
}

/// Which objects to watch.
pub(crate) struct Scope<K: Resource> {
    /// Makes the typed API from a client.
    pub api: Box<dyn Fn(kube::Client) -> Api<K> + Send + Sync>,
    /// The selection among them.
    pub only: Only,
    /// Group, resource and namespace, for messages.
    pub group: String,
    pub resource: String,
    pub namespace: String,
}

impl<K: Resource> Scope<K> {
    fn action(&self) -> Action<'_> {
        Action::Resource {
            verbs: &["list", "watch"],
            group: &self.group,
            resource: &self.resource,
            namespace: &self.namespace,
        }
    }
}

/// A selection of the objects of a kind.
pub(crate) enum Only {
    Labelled(String),
    All,
}

/// Sends the changes of the objects in `scope` to `changes`, until its receiver is dropped.
pub(crate) async fn watch<K>(
    cluster: Arc<Cluster>,
    scope: Scope<K>,
    changes: mpsc::UnboundedSender<WatchEvent<K>>,
) where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut failures = Failures::default();
    while !changes.is_closed() {
        let why = match cluster.client().await {
            Ok(client) => {
                let api = (scope.api)(client);
                one_watch(&cluster, &scope, api, &changes, &mut failures).await
            }
            Err(error) => {
                let error = ApiError::Unreachable(error.to_string());
                note(&cluster, Some(&error));
                let wait = failures.wait(true, None);
                Some((scale_error(error, &scope.action()), wait))
            }
        };
        let Some((why, wait)) = why else { continue };
        failures.say(&changes, &why, wait.outage);
        wait.over(&cluster).await;
    }
}

/// Lists and watches until the watch must be started again. Returns the error and the wait before
/// it; `None`: start again at once.
async fn one_watch<K>(
    cluster: &Cluster,
    scope: &Scope<K>,
    api: Api<K>,
    changes: &mpsc::UnboundedSender<WatchEvent<K>>,
    failures: &mut Failures,
) -> Option<(ScaleError, Wait)>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut events = pin!(watcher::watcher(api, config(&scope.only)));
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        let change = match event {
            Ok(Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(Event::InitApply(object)) => {
                listed.push(object);
                continue;
            }
            Ok(Event::InitDone) => WatchEvent::All(std::mem::take(&mut listed)),
            Ok(Event::Apply(object)) => WatchEvent::Applied(Box::new(object)),
            Ok(Event::Delete(object)) => WatchEvent::Deleted(Box::new(object)),
            Err(error) => {
                let (failure, next) = understand(error);
                note(cluster, Some(&failure));
                let outage = failure.outage().is_some();
                let error = scale_error(failure, &scope.action());
                let after = match &error {
                    ScaleError::Busy { after, .. } => Some(*after),
                    _ => None,
                };
                let wait = failures.wait(outage, after);
                match next {
                    Next::Resume if failures.in_a_row == 1 => {
                        tracing::debug!("a watch has failed and is resumed: {error}");
                        wait.over(cluster).await;
                        continue;
                    }
                    Next::Forgotten => {
                        tracing::debug!("a watch starts again with a new list: {error}");
                        wait.over(cluster).await;
                        return None;
                    }
                    Next::Resume | Next::Anew => {}
                    Next::Renew => cluster.renew().await,
                }
                return Some((error, wait));
            }
        };
        note(cluster, None);
        failures.over(scope);
        changes.send(change).ok()?;
    }
    None
}

fn config(only: &Only) -> watcher::Config {
    let length = LENGTH + SPREAD.mul_f64(fastrand::f64());
    let config = watcher::Config::default().timeout(length.as_secs() as u32);
    match only {
        Only::Labelled(labels) => config.labels(labels),
        Only::All => config,
    }
}

/// How to go on after an error.
enum Next {
    /// Resume at the last resource version.
    Resume,
    /// With a new list: the request was refused.
    Anew,
    /// With a new list: the resource version is too old.
    Forgotten,
    /// With a new list and new credentials.
    Renew,
}

fn understand(error: watcher::Error) -> (ApiError, Next) {
    use watcher::Error::{
        InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
    };
    let status = match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status,
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
            return (ApiError::Unreachable(chain(&error)), Next::Resume);
        }
        NoResourceVersion => {
            let why = watcher::Error::NoResourceVersion.to_string();
            return (ApiError::Unreachable(why), Next::Anew);
        }
    };
    let next = match status.code {
        401 => Next::Renew,
        // kube-rs handles 410 itself as an event, but not as a response status.
        410 => Next::Forgotten,
        429 => Next::Resume,
        400..500 => Next::Anew,
        _ => Next::Resume,
    };
    (failure(*status), next)
}

fn failure(status: Status) -> ApiError {
    let details = status.details.as_ref();
    let seconds = details.map_or(0, |details| details.retry_after_seconds);
    ApiError::Status {
        code: status.code,
        name: details.map_or_else(String::new, |details| details.name.clone()),
        retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
        message: status.message,
    }
}

/// The pause before a retry.
struct Wait {
    time: Duration,
    /// The API server is away: the pause ends as soon as it answers any client.
    outage: bool,
}

impl Wait {
    async fn over(&self, cluster: &Cluster) {
        // Subscribe first: the API server may answer another client during the first wait.
        let back = cluster.reachability().back();
        tokio::select! {
            () = sleep(self.time) => {}
            () = async {
                sleep(FIRST_WAIT).await;
                back.await;
            }, if self.outage => {}
        }
    }
}

/// The recent failures. They are forgotten after [`LONGEST_SILENCE`] without one, and not by a
/// successful list: watching may be forbidden where listing is not.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    first: Option<Instant>,
    last: Option<Instant>,
    logged: Option<ScaleError>,
    recovered: bool,
}

impl Failures {
    /// Adds a failure and returns the wait before the retry, which is at least `after`.
    fn wait(&mut self, outage: bool, after: Option<Duration>) -> Wait {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last > LONGEST_SILENCE) {
            *self = Self::default();
        }
        self.first.get_or_insert(now);
        self.last = Some(now);
        let wait = FIRST_WAIT.saturating_mul(1 << self.in_a_row.min(16));
        self.in_a_row += 1;
        let spread = 1.0 + 0.5 * fastrand::f64();
        let after = after.unwrap_or_default().mul_f64(spread);
        Wait {
            time: wait.mul_f64(spread).min(LONGEST_WAIT).max(after),
            outage,
        }
    }

    /// Sends the error to the follower. Logs it if it differs from the last one, except for
    /// outages, which [`reachability`](super::reachability) logs.
    fn say<K>(
        &mut self,
        changes: &mpsc::UnboundedSender<WatchEvent<K>>,
        error: &ScaleError,
        outage: bool,
    ) {
        let settling = matches!(error, ScaleError::Forbidden(_))
            && self.first.is_some_and(|first| first.elapsed() < SETTLING);
        if settling {
            return;
        }
        if !outage && self.logged.as_ref() != Some(error) {
            tracing::warn!("a watch fails; the last known state stays in force: {error}");
            self.logged = Some(error.clone());
            self.recovered = false;
        }
        // Fails only if the receiver is gone; the watch then ends.
        let _ = changes.send(WatchEvent::Trouble(error.to_string()));
    }

    /// Logs, once, that the watch works again after an error.
    fn over<K: Resource>(&mut self, scope: &Scope<K>) {
        if self.logged.is_some() && !self.recovered {
            let (resource, namespace) = (&scope.resource, &scope.namespace);
            tracing::info!("the watch of {resource} in namespace {namespace} works again");
            self.recovered = true;
        }
    }
}
