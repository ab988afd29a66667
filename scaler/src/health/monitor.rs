//! Observes all replicas a few times a second, sends probes, and reports the results.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tailback_config::{HealthCheck, Readiness, Server};
use tokio::sync::mpsc;

use super::{
    hang::LongestSilence,
    replica_monitor::{Due, ReplicaMonitor},
};
use crate::{
    clock::Nanos,
    orchestrator::probe::{self, NotReady, Target},
    replica::{Replica, Traffic},
};

/// Time limit of a probe for a sign of life.
const LIFE: Duration = Duration::from_secs(1);
/// A replica counts as answering for this long after its last byte.
const LATELY: Duration = Duration::from_secs(30);

/// The replicas that one data-plane pool sends requests to.
pub(crate) struct Pool<'a> {
    /// One of the models whose requests go to them.
    pub model: &'a str,
    pub server: &'a Server,
    pub traffic: &'a Arc<dyn Traffic>,
    pub replicas: &'a [Arc<Replica>],
}

/// An unhealthy replica that its orchestrator may replace.
pub(crate) struct Replacement {
    pub model: String,
    pub replica: Arc<Replica>,
}

/// Watches the replicas of all models.
pub(crate) struct Monitor {
    /// By the replica's address in memory, which stays valid because the monitor holds the `Arc`.
    watched: HashMap<usize, ReplicaMonitor>,
    /// By the pool's address in memory.
    silences: HashMap<usize, Silences>,
    /// The number of the present observation.
    look: u64,
    sender: mpsc::UnboundedSender<(Arc<Replica>, Answer)>,
    answers: mpsc::UnboundedReceiver<(Arc<Replica>, Answer)>,
}

/// What is known of the replicas of a pool together.
#[derive(Default)]
struct Silences {
    look: u64,
    longest: LongestSilence,
    /// The last two different replicas that sent a byte, the latest first, with the time.
    responded: [Option<(usize, Nanos)>; 2],
}

enum Answer {
    Life(bool),
    Check(Result<(), NotReady>),
}

impl Default for Monitor {
    fn default() -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        Self {
            watched: HashMap::new(),
            silences: HashMap::new(),
            look: 0,
            sender,
            answers,
        }
    }
}

impl Monitor {
    /// Observes the replicas of all pools, and forgets replicas that are in none. Needs a tokio
    /// runtime around it. Returns the replicas to replace.
    pub(crate) fn look<'a>(
        &mut self,
        pools: impl Iterator<Item = Pool<'a>>,
        now: Nanos,
    ) -> Vec<Replacement> {
        self.look += 1;
        let mut answers: HashMap<usize, Vec<(Arc<Replica>, Answer)>> = HashMap::new();
        while let Ok((of, answer)) = self.answers.try_recv() {
            answers.entry(address(&of)).or_default().push((of, answer));
        }
        let mut replacements = Vec::new();
        for pool in pools {
            pool.traffic.review_health(now);
            let Some(settings) = &pool.server.health_check else {
                continue;
            };
            let silences = self.silences.entry(address(pool.traffic)).or_default();
            silences.look = self.look;
            for replica in pool.replicas {
                let at = address(replica);
                let watched = self
                    .watched
                    .entry(at)
                    .or_insert_with(|| ReplicaMonitor::new(replica.clone(), settings, now));
                // Several models of one server may share the replica, so it has been observed
                // already.
                if watched.look == self.look {
                    continue;
                }
                watched.look = self.look;
                for (_, answer) in answers.remove(&at).into_iter().flatten() {
                    let report = match answer {
                        Answer::Life(is_alive) => watched.life_probed(is_alive, now),
                        Answer::Check(result) => watched.checked(&result, settings, now),
                    };
                    if let Some(report) = report {
                        pool.traffic.report_health(replica, report, now);
                    }
                }
                let probe = pool.server.health_probe();
                let others = silences.others_answer(at, now);
                let longest = &mut silences.longest;
                let look = watched.look(settings, probe.is_some(), longest, others, now);
                if look.responded {
                    silences.responded(at, now);
                }
                if let Some(report) = look.report {
                    pool.traffic.report_health(replica, report, now);
                }
                if watched.give_up(settings, now) {
                    replacements.push(Replacement {
                        model: pool.model.to_owned(),
                        replica: replica.clone(),
                    });
                }
                send_probes(&self.sender, replica, look.due, probe, settings);
            }
        }
        let present = self.look;
        self.watched.retain(|_, watched| watched.look == present);
        self.silences.retain(|_, silences| silences.look == present);
        replacements
    }
}

impl Silences {
    fn responded(&mut self, replica: usize, now: Nanos) {
        if self.responded[0].is_some_and(|(last, _)| last != replica) {
            self.responded[1] = self.responded[0];
        }
        self.responded[0] = Some((replica, now));
    }

    /// Whether another replica than `but` has sent a byte lately.
    fn others_answer(&self, but: usize, now: Nanos) -> bool {
        let mut responded = self.responded.iter().flatten();
        responded.any(|(replica, at)| *replica != but && now.since(*at) < LATELY)
    }
}

fn send_probes(
    sender: &mpsc::UnboundedSender<(Arc<Replica>, Answer)>,
    replica: &Arc<Replica>,
    due: Due,
    probe: Option<&Readiness>,
    settings: &HealthCheck,
) {
    if due.life {
        let (sender, replica) = (sender.clone(), replica.clone());
        tokio::spawn(async move {
            let is_alive = probe::shows_life(replica.authority(), LIFE).await;
            // Fails only when the scaler has stopped.
            let _ = sender.send((replica, Answer::Life(is_alive)));
        });
    }
    if let Some(ready) = probe.filter(|_| due.check) {
        let (sender, replica, limit) = (sender.clone(), replica.clone(), settings.timeout);
        let ready = ready.clone();
        tokio::spawn(async move {
            let target = Target::of(&replica);
            let result = probe::probe(target, &ready, limit).await;
            let told = result.clone().map_err(|why| why.to_string());
            replica.health().set_last_probe(told);
            let _ = sender.send((replica, Answer::Check(result)));
        });
    }
}

/// The object's address in memory, which identifies it as long as it lives.
fn address<T: ?Sized>(of: &Arc<T>) -> usize {
    Arc::as_ptr(of).cast::<()>() as usize
}
