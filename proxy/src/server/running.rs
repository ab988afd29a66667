//! The serving process, from its first request to the end of draining.

use std::{
    future::pending,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tailback_config::Config;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    api_keys::ApiKeysReloader,
    listen::Listeners,
    reload::Reloader,
    service_manager,
    signal::Event,
    upgrade::{Handover, Program, Successor},
};
use crate::{
    admin::{ReloadOutcome, ServerInfo},
    downstream::Lifecycle,
    models::SharedRoutes,
    net::tls,
    overload::Overload,
    telemetry::Exporters,
};

/// At the end of a shutdown: the time for sending the last responses, to held and to aborted
/// requests.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The parts of the running process.
pub(super) struct Running {
    pub config: Arc<Config>,
    pub program: Program,
    pub stop_accepting: watch::Sender<bool>,
    pub admin_stop: watch::Sender<bool>,
    pub routes: Arc<SharedRoutes>,
    pub lifecycle: Arc<Lifecycle>,
    pub reloader: Reloader,
    pub api_keys: Option<ApiKeysReloader>,
    pub tls: Option<Arc<tls::Listener>>,
    pub exporters: Exporters,
    pub info: Arc<ServerInfo>,
    pub overload: Arc<Overload>,
    /// `true` once the process that this one took over from has ended.
    pub predecessor: Option<watch::Receiver<bool>>,
}

type Events = mpsc::UnboundedReceiver<Event>;
/// A successor process that is starting.
type Upgrade = Pin<Box<dyn Future<Output = Result<Handover>>>>;

/// Why serving ends.
enum End {
    Stopped,
    TakenOver(Successor),
}

impl Running {
    /// Serves until a stop signal or until another process has taken over, then drains.
    pub(super) async fn run(self, mut events: Events, listeners: Listeners) {
        let end = self.serve(&mut events, &listeners).await;
        // The admin endpoints have a duplicate of their socket, and continue.
        drop(listeners);
        match end {
            End::Stopped => {
                service_manager::stopping();
                self.lifecycle.drain();
                // Draining may take long, so another proxy, if there is one, leads meanwhile.
                self.reloader.hand_over();
                self.stop_accepting.send_replace(true);
                self.drain(events).await;
            }
            End::TakenOver(successor) => self.retire(successor, events).await,
        }
        tracing::info!("stopped");
    }

    async fn serve(&self, events: &mut Events, listeners: &Listeners) -> End {
        let mut upgrade: Option<Upgrade> = None;
        loop {
            let prepared = async {
                match &mut upgrade {
                    Some(upgrade) => upgrade.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Reload(cause)) => drop(self.reload(cause).await),
                    Some(Event::Order(answer)) => {
                        let outcome = self.reload("the admin address").await;
                        // Fails if the caller has left.
                        let _ = answer.send(outcome);
                    }
                    Some(Event::ApiKeys(cause)) => {
                        if let Some(keys) = &self.api_keys {
                            keys.reload(cause);
                        }
                    }
                    Some(Event::Reopen) => self.exporters.reopen(),
                    Some(Event::Upgrade(cause)) if upgrade.is_some() => {
                        tracing::warn!("{cause}: an upgrade is under way already");
                    }
                    Some(Event::Upgrade(cause)) => {
                        tracing::info!("{cause}: starting the process that is to take over");
                        upgrade = self.upgrade(listeners);
                    }
                    Some(Event::Stop(cause)) => {
                        tracing::info!("{cause}: draining");
                        return End::Stopped;
                    }
                    None => return End::Stopped,
                },
                prepared = prepared => {
                    upgrade = None;
                    let taken = match prepared {
                        Ok(exchange) => exchange.commit(self.reloader.scaler()).await,
                        Err(why) => Err(why),
                    };
                    match taken {
                        Ok(successor) => return End::TakenOver(successor),
                        Err(why) => self.upgrade_failed(&why),
                    }
                }
            }
        }
    }

    /// Reloads everything that can be reloaded.
    async fn reload(&self, cause: &str) -> ReloadOutcome {
        service_manager::reloading();
        let outcome = self.reloader.reload(cause).await;
        self.info.reload_ended(&outcome);
        if let Some(keys) = &self.api_keys {
            keys.reload(cause);
        }
        if let Some(tls) = &self.tls {
            tls.reload();
        }
        self.exporters.reopen();
        service_manager::ready();
        outcome
    }

    fn upgrade(&self, listeners: &Listeners) -> Option<Upgrade> {
        let possible = match &self.config.process.peers {
            Some(_) => Err(anyhow::anyhow!(
                "this is one of several proxies (TAILBACK_KUBE_PEERS): replace its pod instead, the others go on"
            )),
            None => listeners.try_clone().map_err(anyhow::Error::from),
        };
        match possible {
            Ok(listeners) => {
                self.info.upgrade_begins();
                Some(Box::pin(Handover::prepare(self.program.clone(), listeners)))
            }
            Err(why) => {
                self.upgrade_failed(&why);
                None
            }
        }
    }

    fn upgrade_failed(&self, why: &anyhow::Error) {
        tracing::error!("the upgrade failed, this process continues to serve: {why:#}");
        self.info.upgrade_failed(format!("{why:#}"));
    }

    /// Drains the remaining requests after another process has taken over.
    async fn retire(self, successor: Successor, mut events: Events) {
        let limit = self.config.process.timeouts.upgrade_drain;
        tracing::info!(
            pid = successor.pid,
            version = successor.version,
            "another process has taken over: finishing the requests in flight"
        );
        service_manager::main_process(successor.pid);
        self.overload.share_with(Some(successor.pid));
        self.lifecycle.hand_over();
        self.stop_accepting.send_replace(true);
        self.admin_stop.send_replace(true);
        let gone = successor.follow(self.reloader.scaler());
        let gone = async {
            match gone {
                Ok(mut gone) => drop(gone.wait_for(|&gone| gone).await),
                Err(error) => tracing::error!(%error, "cannot follow the process that took over"),
            }
        };
        tokio::select! {
            all = self.until_drained(limit) => if !all {
                self.warn_of_rest("TAILBACK_UPGRADE_DRAIN_SECONDS");
            },
            () = gone => tracing::info!("the process that took over has ended"),
            () = stopped(&mut events) => {
                return self.drain(events).await;
            }
        }
        self.end().await;
    }

    /// Waits until all requests have ended, for at most the drain timeout, then ends.
    async fn drain(self, mut events: Events) {
        tokio::select! {
            all = self.until_drained(self.config.process.timeouts.drain) => if !all {
                self.warn_of_rest("TAILBACK_DRAIN_SECONDS");
            },
            () = stopped(&mut events) => {
                let (in_flight, connections) = self.inside();
                tracing::warn!(
                    in_flight,
                    connections,
                    "second signal received: stopping without waiting for these requests"
                );
            }
        }
        self.end().await;
    }

    fn warn_of_rest(&self, limit: &str) {
        let (in_flight, connections) = self.inside();
        tracing::warn!(
            in_flight,
            connections,
            "{limit} is over: stopping without waiting for these requests"
        );
    }

    async fn end(self) {
        self.lifecycle.stop();
        self.routes.current().close_pools();
        self.reloader.stop().await;
        // Waits for the error responses to held and cut-off requests to be sent.
        self.until_answered(LAST_WORDS).await;
        self.exporters.close();
    }

    /// Waits until no request is in flight, no connection is open, and the predecessor has ended.
    /// Returns whether that happened within `limit`.
    async fn until_drained(&self, limit: Duration) -> bool {
        let start = Instant::now();
        let ended = || {
            self.predecessor
                .as_ref()
                .is_none_or(|ended| *ended.borrow())
        };
        while self.inside() != (0, 0) || !ended() {
            if start.elapsed() >= limit {
                return false;
            }
            sleep(Duration::from_millis(20)).await;
        }
        true
    }

    async fn until_answered(&self, limit: Duration) {
        let start = Instant::now();
        while self.inside() != (0, 0) && start.elapsed() < limit {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The number of requests in flight, and of open connections.
    fn inside(&self) -> (u64, usize) {
        let table = self.routes.current();
        let models = table.models.values().chain(table.draining());
        let in_flight = models.map(|m| m.ledger.in_flight()).sum();
        (in_flight, self.lifecycle.connections())
    }
}

/// Returns on a stop signal.
async fn stopped(events: &mut Events) {
    while !matches!(events.recv().await, Some(Event::Stop(_)) | None) {}
}
