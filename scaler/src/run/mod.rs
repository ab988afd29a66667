//! The scaler's loop, on a thread and runtime of its own: a busy data plane
//! cannot starve it, and it cannot slow the data plane.
//!
//! It waits for a ring of the bell (a model's lag reached its level), a change
//! of replicas, word of another proxy, a change of configuration, or the period;
//! then observes, decides, guards, requests and records. See [`controller`] for one
//! model's turn.

mod controller;
mod external_change;
mod membership;
mod orchestrators;
pub mod pause;
mod scale_request;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tailback_config::Model;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use self::{
    controller::ModelController,
    membership::Membership,
    orchestrators::{Epoch, Orchestrators},
    pause::{PauseHandle, PauseResult},
};
use crate::{
    clock::Nanos,
    ledger::{Ledger, Wake},
    orchestrator::ReplicaSet,
    peers::{self, publisher::CountsPublisher},
    replica::Traffic,
    status::{PauseState, StatusStore},
};

/// Every model's ledger is read this often, for the signals' windows.
const SAMPLE: Duration = Duration::from_secs(1);
/// The same where other proxies count on it: what they hear is so old at most.
const SAMPLE_WITH_PEERS: Duration = Duration::from_millis(200);
/// While a model's lag is over its level and nobody would ring for it.
const SAMPLE_OVER_LEVEL: Duration = Duration::from_millis(50);

/// A model to scale.
#[derive(Clone)]
pub struct ModelHandle {
    /// Its configuration.
    pub model: Arc<Model>,
    /// Its accounts. The ledger must ring [`Options::wake`].
    pub ledger: Arc<Ledger>,
    /// Who is told of its replicas.
    pub traffic: Arc<dyn Traffic>,
}

/// How the scaler runs.
pub struct Options {
    /// Time between periodic decisions.
    pub period: Duration,
    /// The bell the ledgers ring.
    pub wake: Wake,
    /// Where it shows its state.
    pub status: StatusStore,
    /// The program that supervises replicas; see
    /// [`Processes::new`](crate::orchestrator::process::Processes::new).
    pub supervisor: PathBuf,
    /// Where it lays out what other proxies are told.
    pub publisher: CountsPublisher,
    /// Where other proxies are; `None`: this one is alone.
    pub peers: Option<peers::Settings>,
}

enum Command {
    Configure(Vec<ModelHandle>),
    Pause {
        model: String,
        pause: PauseState,
        answer: oneshot::Sender<PauseResult>,
    },
    HandOver,
    Stop(oneshot::Sender<()>),
}

/// The running scaler.
pub struct Scaler {
    commands: mpsc::UnboundedSender<Command>,
    _thread: JoinHandle<()>,
}

impl Scaler {
    /// Starts the scaler with no models.
    ///
    /// # Errors
    /// If the thread or its runtime cannot be made.
    pub fn start(options: Options) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("scaler".into())
            .spawn(move || {
                // What it starts needs the runtime around it.
                runtime.block_on(async { Loop::new(options).run(inbox).await });
            })?;
        Ok(Self {
            commands,
            _thread: thread,
        })
    }

    /// From now on exactly `models` are scaled; those known before keep their
    /// replicas, counts and history.
    pub fn configure(&self, models: Vec<ModelHandle>) {
        // It ends only when it is stopped.
        let _ = self.commands.send(Command::Configure(models));
    }

    /// Pauses and resumes models.
    #[must_use]
    pub fn pause_handle(&self) -> PauseHandle {
        PauseHandle(self.commands.clone())
    }

    /// Asks for nothing any more where there are other proxies: one of them
    /// leads from now on. What is counted here is told to the end.
    pub fn hand_over(&self) {
        let _ = self.commands.send(Command::HandOver);
    }

    /// Lets all replicas finish and stops them; returns when they are gone.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
    }
}

struct Loop {
    options: Options,
    models: BTreeMap<String, ModelController>,
    orchestrators: Orchestrators,
    membership: Membership,
    membership_events: mpsc::UnboundedReceiver<peers::MembershipEvent>,
    /// When to look at all ledgers next.
    sample: Instant,
}

impl Loop {
    fn new(options: Options) -> Self {
        let (membership, membership_events) =
            Membership::new(options.publisher.instance(), options.peers.as_ref());
        membership.show(&options.status);
        Self {
            membership,
            membership_events,
            sample: Instant::now(),
            orchestrators: Orchestrators::new(options.supervisor.clone()),
            options,
            models: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            tokio::select! {
                biased;
                () = self.options.wake.rung() => self.answer_crossings(),
                (epoch, set) = self.orchestrators.next() => self.replicas_changed(&epoch, set),
                Some(event) = self.membership_events.recv() => self.membership_changed(event),
                command = commands.recv() => match command {
                    Some(Command::Configure(models)) => self.configure(models).await,
                    Some(Command::Pause { model, pause, answer }) => {
                        // Who asked may have gone.
                        let _ = answer.send(self.set_pause(&model, pause));
                    }
                    Some(Command::HandOver) => self.membership.hand_over(),
                    Some(Command::Stop(done)) => {
                        self.stop().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.stop().await,
                },
                () = sleep_until(self.sample) => self.sample(),
            }
            if !self.membership.is_alone() {
                self.publish();
            }
        }
    }

    fn answer_crossings(&mut self) {
        for controller in self.models.values_mut() {
            controller.answer_crossing();
        }
    }

    fn replicas_changed(&mut self, epoch: &Epoch, set: ReplicaSet) {
        match self.models.get_mut(&set.model) {
            Some(controller) if controller.hears(epoch) => controller.replicas_changed(set),
            // Of a model that has gone, or has other replicas now.
            _ => {}
        }
    }

    fn set_pause(&mut self, model: &str, pause: PauseState) -> PauseResult {
        match self.models.get_mut(model) {
            None => PauseResult::NoModel,
            Some(_) if !self.membership.leads() => {
                PauseResult::NotLeading(self.membership.leader())
            }
            Some(controller) => {
                controller.set_pause(pause);
                PauseResult::Done
            }
        }
    }

    fn sample(&mut self) {
        self.membership.pass(Nanos::now());
        self.pass_on_counts();
        let mut next = if self.membership.is_alone() {
            SAMPLE
        } else {
            SAMPLE_WITH_PEERS
        };
        for controller in self.models.values_mut() {
            if !controller.sample(self.options.period) {
                next = SAMPLE_OVER_LEVEL;
            }
        }
        self.sample = Instant::now() + next;
        self.membership.show(&self.options.status);
        self.publish();
    }

    async fn configure(&mut self, models: Vec<ModelHandle>) {
        let mut before = std::mem::take(&mut self.models);
        for handle in models {
            let name = handle.model.name.clone();
            let controller = match before.remove(&name) {
                Some(mut controller) if controller.same_kind(&handle.model) => {
                    controller.reconfigure(handle);
                    controller
                }
                other => {
                    if let Some(controller) = other {
                        controller.forget().await;
                    }
                    let since = self.orchestrators.now(&handle.model.server.kind);
                    let others = self.membership.others(&name);
                    let status = self.options.status.clone();
                    ModelController::new(handle, since, status, others)
                }
            };
            self.models.insert(name, controller);
        }
        for (name, controller) in before {
            controller.forget().await;
            self.options.status.remove(&name);
        }
    }

    async fn stop(&mut self) {
        self.membership.leave().await;
        self.models.clear();
        self.orchestrators.shutdown().await;
        self.options.publisher.end().await;
    }
}
