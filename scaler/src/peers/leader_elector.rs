//! Takes part in the [`election`](super::election): reads and writes the Lease.

use std::{future::pending, sync::Arc, time::Duration};

use http::{Method, Request};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use tailback_config::Peers;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    MembershipEvent, Role, TroubleSource,
    discover::discover,
    election::{Election, ElectionStep, LeaseRecord, TIMES},
};
use crate::{
    clock::Nanos,
    orchestrator::{
        SETTLING, ScaleError,
        kubernetes::{
            api_error::ApiError,
            call::call,
            cluster::Cluster,
            error::{Action, scale_error},
        },
    },
};

/// Time limit for the release of the Lease at the end.
const LEAVE: Duration = Duration::from_secs(2);

/// The handle of this proxy's part in the group: a task that discovers the others, and a task
/// that takes part in the election.
pub(crate) struct LeaderElector {
    resigned: watch::Sender<bool>,
    now: Arc<Notify>,
    stands: JoinHandle<()>,
    discovers: JoinHandle<()>,
}

impl LeaderElector {
    /// Starts both tasks. Needs a tokio runtime around it.
    pub(crate) fn start(
        instance: &str,
        peers: &Peers,
        events: mpsc::UnboundedSender<MembershipEvent>,
    ) -> Self {
        let cluster = Arc::<Cluster>::default();
        let (resigned, resignation) = watch::channel(false);
        let now = Arc::<Notify>::default();
        let stand = ElectionTask {
            cluster: cluster.clone(),
            peers: peers.clone(),
            election: Election::new(format!("{}-{instance}", host()), TIMES),
            lease: None,
            role: Role::Follows,
            leader: None,
            trouble: None,
            forbidden: None,
            events: events.clone(),
        };
        Self {
            resigned,
            stands: tokio::spawn(stand.run(resignation, now.clone())),
            now,
            discovers: tokio::spawn(discover(cluster, peers.clone(), events)),
        }
    }

    /// Stops leading, for good.
    pub(crate) fn resign(&self) {
        self.resigned.send_replace(true);
    }

    /// Looks at the Lease now, because it may be free.
    pub(crate) fn try_now(&self) {
        self.now.notify_one();
    }

    /// Stops leading, and returns when the Lease is released or could not be released.
    pub(crate) async fn leave(mut self) {
        self.resign();
        // Without a release in time, the Lease is free once its duration is over.
        let _ = timeout(LEAVE, &mut self.stands).await;
    }
}

impl Drop for LeaderElector {
    fn drop(&mut self) {
        self.stands.abort();
        self.discovers.abort();
    }
}

/// A name of this proxy for people: the pod's name, if it runs in one.
fn host() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

struct ElectionTask {
    cluster: Arc<Cluster>,
    peers: Peers,
    election: Election,
    /// The Lease as it was last read or written.
    lease: Option<Lease>,
    /// The role that was last sent.
    role: Role,
    leader: Option<String>,
    trouble: Option<String>,
    /// Since when a permission is missing.
    forbidden: Option<Nanos>,
    events: mpsc::UnboundedSender<MembershipEvent>,
}

impl ElectionTask {
    async fn run(mut self, mut resignation: watch::Receiver<bool>, now: Arc<Notify>) {
        loop {
            let end = self.end();
            tokio::select! {
                biased;
                _ = resignation.wait_for(|&resigned| resigned) => break,
                () = reached(end) => {}
                () = self.attempt() => {}
            }
            self.tell();
            let end = self.end();
            tokio::select! {
                biased;
                _ = resignation.wait_for(|&resigned| resigned) => break,
                () = reached(end) => {}
                () = now.notified() => {}
                // Jittered, so that proxies do not write at the same time.
                () = sleep(TIMES.retry.mul_f64(1.0 + 0.2 * fastrand::f64())) => {}
            }
            self.tell();
        }
        if self.election.leads(Nanos::now()) {
            // First, this proxy stops asking for replicas. Others learn of it only once the Lease
            // is free, when they can act on it.
            self.send(MembershipEvent::Releasing);
            self.set_role(Role::Follows, None);
            if let Err(failure) = self.release().await {
                tracing::warn!(
                    "cannot release the leader's Lease; the next leader takes over when it expires: {}",
                    self.explain(failure, "update")
                );
            }
            self.send(MembershipEvent::Released);
        }
    }

    /// When we stop leading, if we lead now.
    fn end(&self) -> Option<Nanos> {
        let now = Nanos::now();
        self.election.until().filter(|&until| now < until)
    }

    /// Reads the Lease, and writes it if needed.
    async fn attempt(&mut self) {
        let tried = timeout(TIMES.renew, self.look_and_write()).await;
        let tried = tried.unwrap_or_else(|_| {
            let why = format!("no response within {} s", TIMES.renew.as_secs());
            Err((ApiError::Unreachable(why), "get"))
        });
        // Outages are logged once for all clients of the API server.
        let outage = matches!(&tried, Err((failure, _)) if failure.outage().is_some());
        let error = tried
            .err()
            .map(|(failure, verb)| self.explain(failure, verb));
        if self.is_settling(error.as_ref()) {
            return;
        }
        let why = error.map(|error| error.to_string());
        if why != self.trouble {
            match &why {
                Some(why) if outage => {
                    tracing::debug!("this proxy cannot be elected leader: {why}")
                }
                Some(why) => tracing::warn!("this proxy cannot be elected leader: {why}"),
                None => tracing::debug!("this proxy can be elected leader again"),
            }
            self.trouble.clone_from(&why);
            self.send(MembershipEvent::Trouble {
                of: TroubleSource::Election,
                why,
            });
        }
    }

    /// Whether `error` is a missing permission that has not lasted for [`SETTLING`].
    fn is_settling(&mut self, error: Option<&ScaleError>) -> bool {
        let Some(ScaleError::Forbidden(_)) = error else {
            self.forbidden = None;
            return false;
        };
        let now = Nanos::now();
        now.since(*self.forbidden.get_or_insert(now)) < SETTLING
    }

    async fn look_and_write(&mut self) -> Result<(), (ApiError, &'static str)> {
        // A leader updates its own last write and need not read first.
        if !self.election.leads(Nanos::now()) {
            self.look().await.map_err(|failure| (failure, "get"))?;
        }
        let step = self.election.step(Nanos::now());
        let (verb, written) = match step {
            ElectionStep::Wait => return Ok(()),
            ElectionStep::Create => ("create", self.write(Method::POST, step).await),
            ElectionStep::TakeOver | ElectionStep::Renew => {
                ("update", self.write(Method::PUT, step).await)
            }
        };
        match written {
            // Somebody else has written or deleted the Lease since it was read.
            Err(ApiError::Status {
                code: 404 | 409, ..
            }) => self.look().await.map_err(|failure| (failure, "get")),
            other => other.map_err(|failure| (failure, verb)),
        }
    }

    async fn look(&mut self) -> Result<(), ApiError> {
        let path = self.path(Some(&self.peers.lease)).await?;
        let found = self.call::<Lease>(Method::GET, &path, Vec::new()).await;
        self.lease = match found {
            Ok(lease) => Some(lease),
            Err(ApiError::Status { code: 404, .. }) => None,
            Err(failure) => return Err(failure),
        };
        self.election
            .saw(self.lease.as_ref().map(record), Nanos::now());
        Ok(())
    }

    async fn write(&mut self, method: Method, step: ElectionStep) -> Result<(), ApiError> {
        let named = (method == Method::PUT).then_some(self.peers.lease.as_str());
        let path = self.path(named).await?;
        let lease = self.ours(step);
        let sent = Nanos::now();
        let lease: Lease = self.call(method, &path, json(&lease)?).await?;
        self.election.wrote(record(&lease), sent);
        self.lease = Some(lease);
        Ok(())
    }

    /// The Lease with our name. It has the version that was read, so that the write fails if
    /// somebody else has written since.
    fn ours(&self, step: ElectionStep) -> Lease {
        let now = MicroTime(Timestamp::now());
        let mut lease = self.lease.clone().unwrap_or_else(|| Lease {
            metadata: ObjectMeta {
                name: Some(self.peers.lease.clone()),
                ..ObjectMeta::default()
            },
            ..Lease::default()
        });
        let spec = lease.spec.get_or_insert_default();
        if step != ElectionStep::Renew {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions =
                Some(spec.lease_transitions.map_or(0, |n| n.saturating_add(1)));
        }
        spec.holder_identity = Some(self.election.me().to_owned());
        spec.lease_duration_seconds = Some(TIMES.lease.as_secs() as i32);
        spec.renew_time = Some(now);
        lease
    }

    /// Removes our name from the Lease, if it is in it.
    async fn release(&mut self) -> Result<(), ApiError> {
        // Read first: an aborted write may have reached the API server.
        self.look().await?;
        let ours = self.election.holder() == Some(self.election.me());
        let Some(mut lease) = self.lease.clone().filter(|_| ours) else {
            return Ok(());
        };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        let path = self.path(Some(&self.peers.lease)).await?;
        self.call::<Lease>(Method::PUT, &path, json(&lease)?)
            .await?;
        Ok(())
    }

    async fn path(&self, name: Option<&str>) -> Result<String, ApiError> {
        let namespace = match &self.peers.namespace {
            Some(namespace) => namespace.clone(),
            None => {
                let client = self.cluster.client().await;
                let client = client.map_err(|e| ApiError::Unreachable(e.to_string()))?;
                client.default_namespace().to_owned()
            }
        };
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        Ok(match name {
            Some(name) => format!("{leases}/{name}"),
            None => leases,
        })
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ApiError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body);
        let request = request.map_err(|e| ApiError::Unreachable(format!("{path}: {e}")))?;
        call(&self.cluster, request).await
    }

    fn explain(&self, failure: ApiError, verb: &str) -> ScaleError {
        let action = Action::Resource {
            verbs: &[verb],
            group: "coordination.k8s.io",
            resource: "leases",
            namespace: self
                .peers
                .namespace
                .as_deref()
                .unwrap_or("of the service account"),
        };
        scale_error(failure, &action)
    }

    /// Sends the role if it has changed, and logs it.
    fn tell(&mut self) {
        let role = if self.election.leads(Nanos::now()) {
            Role::Leads
        } else {
            Role::Follows
        };
        self.set_role(role, self.election.holder().map(str::to_owned));
    }

    fn set_role(&mut self, role: Role, leader: Option<String>) {
        if (role, &leader) == (self.role, &self.leader) {
            return;
        }
        match (role, &leader) {
            (Role::Leads, _) => tracing::info!("this proxy leads: it asks for replicas"),
            (Role::Follows, Some(leader)) => tracing::info!(leader, "follows"),
            (Role::Follows, None) => tracing::info!("this proxy follows: no proxy leads now"),
        }
        (self.role, self.leader) = (role, leader.clone());
        self.send(MembershipEvent::Elected { role, leader });
    }

    fn send(&self, event: MembershipEvent) {
        // Cannot fail: the receiver outlives this task.
        let _ = self.events.send(event);
    }
}

/// Sleeps until `end`; for ever without one.
async fn reached(end: Option<Nanos>) {
    match end {
        Some(end) => sleep(end.since(Nanos::now())).await,
        None => pending().await,
    }
}

fn json(lease: &Lease) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(lease)
        .map_err(|e| ApiError::Unreachable(format!("the Lease cannot be written: {e}")))
}

fn record(lease: &Lease) -> LeaseRecord {
    let none = LeaseSpec::default();
    let spec = lease.spec.as_ref().unwrap_or(&none);
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    LeaseRecord {
        holder: spec.holder_identity.clone().unwrap_or_default(),
        duration: seconds.map_or(TIMES.lease, Duration::from_secs),
        stamp: format!("{:?} {:?}", spec.renew_time, spec.lease_transitions),
    }
}

#[cfg(test)]
mod tests;
