//! Shares one watch, and so one connection, among all followers of a kind in a namespace.
//!
//! Followers subscribe to an *index*: the name of a workload, or the Service of an EndpointSlice.
//! They get the events of the objects with that index, as if they had a [`watch`] of their own.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::{sync::mpsc, time::interval};

use super::{
    cluster::Cluster,
    watch::{Scope, WatchEvent, watch},
};

/// A watch ends within this time after its last follower has gone.
const TIDY: Duration = Duration::from_secs(10);

/// The watches of one type of objects.
pub(super) struct Informers<K> {
    cluster: Arc<Cluster>,
    running: Arc<Running<K>>,
}

/// The running watches by name, and the channel on which each takes subscribers.
type Running<K> = Mutex<HashMap<String, mpsc::UnboundedSender<Subscriber<K>>>>;

/// A follower of the objects with one index.
struct Subscriber<K> {
    index: String,
    events: mpsc::UnboundedSender<WatchEvent<K>>,
}

/// Computes the index of an object.
pub(super) type IndexOf<K> = fn(&K) -> String;

/// The last known objects of a watch, and its followers.
struct Informer<K> {
    index_of: IndexOf<K>,
    /// By name.
    objects: HashMap<String, K>,
    listed: bool,
    trouble: Option<String>,
    /// By index.
    subscribers: HashMap<String, Vec<mpsc::UnboundedSender<WatchEvent<K>>>>,
}

// === impl Informers ===

impl<K> Informers<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    pub(super) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            running: Arc::default(),
        }
    }

    /// Follows the objects of `scope` with this `index`, by the watch named `name`. Starts that
    /// watch if it does not run. Needs a tokio runtime around it.
    pub(super) fn subscribe(
        &self,
        name: String,
        scope: impl FnOnce() -> Scope<K>,
        index_of: IndexOf<K>,
        index: &str,
    ) -> mpsc::UnboundedReceiver<WatchEvent<K>> {
        let (events, receiver) = mpsc::unbounded_channel();
        let subscriber = Subscriber {
            index: index.to_owned(),
            events,
        };
        let mut running = lock(&self.running);
        let subscriber = match running.get(&name) {
            Some(watch) => match watch.send(subscriber) {
                Ok(()) => return receiver,
                Err(error) => error.0,
            },
            None => subscriber,
        };
        let (sender, inbox) = mpsc::unbounded_channel();
        // Cannot fail: `inbox` is still here.
        let _ = sender.send(subscriber);
        running.insert(name.clone(), sender);
        let informer = Informer::new(index_of);
        let (cluster, running) = (self.cluster.clone(), self.running.clone());
        tokio::spawn(informer.run(cluster, scope(), inbox, running, name));
        receiver
    }
}

fn lock<K>(
    running: &Running<K>,
) -> MutexGuard<'_, HashMap<String, mpsc::UnboundedSender<Subscriber<K>>>> {
    // Plain data: consistent even if a writer panicked.
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Informer ===

impl<K> Informer<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    fn new(index_of: IndexOf<K>) -> Self {
        Self {
            index_of,
            objects: HashMap::new(),
            listed: false,
            trouble: None,
            subscribers: HashMap::new(),
        }
    }

    /// Watches until the last follower has gone.
    async fn run(
        mut self,
        cluster: Arc<Cluster>,
        scope: Scope<K>,
        mut inbox: mpsc::UnboundedReceiver<Subscriber<K>>,
        running: Arc<Running<K>>,
        name: String,
    ) {
        let (sender, mut events) = mpsc::unbounded_channel();
        let watch = watch(cluster, scope, sender);
        tokio::pin!(watch);
        let mut tidy = interval(TIDY);
        loop {
            tokio::select! {
                Some(subscriber) = inbox.recv() => self.add(subscriber),
                Some(event) = events.recv() => self.apply(event),
                () = &mut watch => return,
                _ = tidy.tick() => {
                    if self.is_followed() {
                        continue;
                    }
                    let mut running = lock(&running);
                    if inbox.is_empty() {
                        running.remove(&name);
                        return;
                    }
                }
            }
        }
    }

    /// Drops followers that have gone. Returns whether any is left.
    fn is_followed(&mut self) -> bool {
        self.subscribers.retain(|_, all| {
            all.retain(|events| !events.is_closed());
            !all.is_empty()
        });
        !self.subscribers.is_empty()
    }

    fn add(&mut self, Subscriber { index, events }: Subscriber<K>) {
        if self.listed {
            let _ = events.send(WatchEvent::All(self.objects_of(&index)));
        }
        if let Some(why) = &self.trouble {
            let _ = events.send(WatchEvent::Trouble(why.clone()));
        }
        self.subscribers.entry(index).or_default().push(events);
    }

    fn objects_of(&self, index: &str) -> Vec<K> {
        let all = self.objects.values();
        let of_index = all.filter(|object| (self.index_of)(object) == index);
        of_index.cloned().collect()
    }

    fn apply(&mut self, event: WatchEvent<K>) {
        match event {
            WatchEvent::All(all) => {
                self.listed = true;
                self.trouble = None;
                let mut by_index: HashMap<_, Vec<_>> = HashMap::new();
                self.objects = all.into_iter().map(|one| (one.name_any(), one)).collect();
                for object in self.objects.values() {
                    let of_index = by_index.entry((self.index_of)(object)).or_default();
                    of_index.push(object.clone());
                }
                for (index, subscribers) in &self.subscribers {
                    let objects = by_index.remove(index).unwrap_or_default();
                    tell(subscribers, || WatchEvent::All(objects.clone()));
                }
            }
            WatchEvent::Applied(object) => {
                let index = (self.index_of)(&object);
                let before = self.objects.insert(object.name_any(), (*object).clone());
                // The object's index has changed: its former followers see it deleted.
                if let Some(before) = before.filter(|before| (self.index_of)(before) != index) {
                    self.tell_of(before, WatchEvent::Deleted);
                }
                self.tell_of(*object, WatchEvent::Applied);
            }
            WatchEvent::Deleted(object) => {
                self.objects.remove(&object.name_any());
                self.tell_of(*object, WatchEvent::Deleted);
            }
            WatchEvent::Trouble(why) => {
                for subscribers in self.subscribers.values() {
                    tell(subscribers, || WatchEvent::Trouble(why.clone()));
                }
                self.trouble = Some(why);
            }
        }
    }

    fn tell_of(&self, object: K, event: fn(Box<K>) -> WatchEvent<K>) {
        if let Some(subscribers) = self.subscribers.get(&(self.index_of)(&object)) {
            tell(subscribers, || event(Box::new(object.clone())));
        }
    }
}

fn tell<K>(
    subscribers: &[mpsc::UnboundedSender<WatchEvent<K>>],
    event: impl Fn() -> WatchEvent<K>,
) {
    for subscriber in subscribers {
        // A follower that has gone is removed by the next `is_followed`.
        let _ = subscriber.send(event());
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::discovery::v1::EndpointSlice;

    use super::*;

    type Events = mpsc::UnboundedReceiver<WatchEvent<EndpointSlice>>;

    fn slice(name: &str, service: &str) -> EndpointSlice {
        let mut slice = EndpointSlice::default();
        slice.metadata.name = Some(name.into());
        let labels = slice.metadata.labels.get_or_insert_default();
        labels.insert("service".into(), service.into());
        slice
    }

    fn informer() -> Informer<EndpointSlice> {
        Informer::new(|slice| slice.labels()["service"].clone())
    }

    fn follow(informer: &mut Informer<EndpointSlice>, index: &str) -> Events {
        let (events, receiver) = mpsc::unbounded_channel();
        let index = index.to_owned();
        informer.add(Subscriber { index, events });
        receiver
    }

    /// The events since the last call, as text.
    fn received(events: &mut Events) -> Vec<String> {
        let mut received = Vec::new();
        while let Ok(event) = events.try_recv() {
            received.push(match event {
                WatchEvent::All(all) => {
                    let mut names: Vec<_> = all.iter().map(ResourceExt::name_any).collect();
                    names.sort_unstable();
                    format!("all {}", names.join(" "))
                }
                WatchEvent::Applied(one) => format!("applied {}", one.name_any()),
                WatchEvent::Deleted(one) => format!("deleted {}", one.name_any()),
                WatchEvent::Trouble(why) => format!("trouble {why}"),
            });
        }
        received
    }

    #[test]
    fn each_follower_hears_of_its_own_objects_and_all_hear_of_trouble() {
        let mut informer = informer();
        let (mut x, mut y) = (follow(&mut informer, "x"), follow(&mut informer, "y"));
        assert!(received(&mut x).is_empty(), "nothing is known yet");
        let all = vec![slice("a", "x"), slice("b", "x"), slice("c", "z")];
        informer.apply(WatchEvent::All(all));
        assert_eq!(received(&mut x), ["all a b"]);
        assert_eq!(received(&mut y), ["all "]);
        informer.apply(WatchEvent::Applied(Box::new(slice("d", "y"))));
        informer.apply(WatchEvent::Deleted(Box::new(slice("a", "x"))));
        informer.apply(WatchEvent::Trouble("no".into()));
        assert_eq!(received(&mut x), ["deleted a", "trouble no"]);
        assert_eq!(received(&mut y), ["applied d", "trouble no"]);
        let mut late = follow(&mut informer, "x");
        assert_eq!(received(&mut late), ["all b", "trouble no"]);
    }

    #[test]
    fn an_object_that_moves_to_another_index_is_gone_from_the_first() {
        let mut informer = informer();
        informer.apply(WatchEvent::All(vec![slice("a", "x")]));
        let (mut x, mut y) = (follow(&mut informer, "x"), follow(&mut informer, "y"));
        informer.apply(WatchEvent::Applied(Box::new(slice("a", "y"))));
        assert_eq!(received(&mut x), ["all a", "deleted a"]);
        assert_eq!(received(&mut y), ["all ", "applied a"]);
    }

    #[test]
    fn a_follower_that_has_gone_is_removed() {
        let mut informer = informer();
        let follower = follow(&mut informer, "x");
        assert!(informer.is_followed());
        drop(follower);
        assert!(!informer.is_followed());
    }
}
