//! Objects as they change: listed, then watched, for as long as the follower
//! lives. What goes wrong is waited out; what was known stays known meanwhile.
//!
//! kube-rs resumes a watch that ends where it was, and lists again where the
//! cluster has forgotten that place (410). On top of that: waits that grow and
//! are jittered, or as long as the API server says; new credentials after a 401;
//! and a bound on silence. The API server ends each watch after about [`LENGTH`],
//! so one of which nothing is heard for longer is dead.
//!
//! One failure is nothing: connections break. From the second on, and at once
//! where the API server refuses, the follower is told, and the watch begins with a
//! new list, whose arrival says that all is well again. In the log, an outage is
//! said by [`reachability`](super::reachability), and a missing permission once it
//! lasts.

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

/// How long one watch lasts, about: spread, so that not all begin at once.
const LENGTH: Duration = Duration::from_secs(50);
const SPREAD: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Of a wait that the API server did not ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What became of the objects.
#[derive(Debug)]
pub(crate) enum WatchEvent<K> {
    /// These are all there are.
    All(Vec<K>),
    /// One was added or changed.
    Applied(Box<K>),
    /// One is gone.
    Deleted(Box<K>),
    /// They are not heard of for now; why. What was heard stays so.
    Trouble(String),
}

/// What is watched.
pub(crate) struct Scope<K: Resource> {
    /// Makes it of a client.
    pub api: Box<dyn Fn(kube::Client) -> Api<K> + Send + Sync>,
    /// Which of them.
    pub only: Only,
    /// For messages: group, resource and namespace.
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

/// Which objects of a kind.
pub(crate) enum Only {
    Labelled(String),
    All,
}

/// Tells `changes` of the objects of `scope` until nobody listens.
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

/// Lists and watches until it has to be begun anew; returns why and after which
/// wait, if that is worth a word.
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
                        tracing::debug!("a watch broke off and is resumed: {error}");
                        wait.over(cluster).await;
                        continue;
                    }
                    Next::Forgotten => {
                        tracing::debug!("a watch begins anew: {error}");
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
    /// Where it was.
    Resume,
    /// From a new list: what was asked for is refused.
    Anew,
    /// From a new list: where it was is forgotten.
    Forgotten,
    /// From a new list, with credentials as they are now.
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
        // kube-rs does so itself where it is an event, but not where it is an answer.
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

/// A pause before it is tried again.
struct Wait {
    time: Duration,
    /// Of an outage: it is over as soon as the API server answers anybody.
    outage: bool,
}

impl Wait {
    async fn over(&self, cluster: &Cluster) {
        // From now on: the API server may answer somebody during the first wait.
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

/// What went wrong of late. A list that arrives ends nothing: what may be listed
/// may still not be watched. Time does.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    first: Option<Instant>,
    last: Option<Instant>,
    said: Option<ScaleError>,
    recovered: bool,
}

impl Failures {
    /// One more. Returns how long to wait; `after`: not before, as the API
    /// server says.
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

    /// Tells the follower what is wrong. In the log it is said once for each that
    /// differs from the one before; an outage is said by who sees all of it.
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
        if !outage && self.said.as_ref() != Some(error) {
            tracing::warn!("what was known stays in force: {error}");
            self.said = Some(error.clone());
            self.recovered = false;
        }
        // The follower may be gone: the watch ends then.
        let _ = changes.send(WatchEvent::Trouble(error.to_string()));
    }

    /// Objects are heard of.
    fn over<K: Resource>(&mut self, scope: &Scope<K>) {
        if self.said.is_some() && !self.recovered {
            let (resource, namespace) = (&scope.resource, &scope.namespace);
            tracing::info!("{resource} in namespace {namespace} are heard of again");
            self.recovered = true;
        }
    }
}
