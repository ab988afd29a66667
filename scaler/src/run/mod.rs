//! The scaler's loop, on a thread and runtime of its own: a busy data plane
//! cannot starve it, and it cannot slow the data plane.
//!
//! It waits for a ring of the bell (a model's lag reached its level), a change
//! of replicas, word of another proxy, a change of configuration, or the period;
//! then observes, decides, guards, requests and records. See [`tracked`] for one
//! model's turn.

mod company;
mod foreign;
mod request;
mod sources;
pub mod switch;
mod tracked;

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

pub use self::company::Proxies;
use self::{
    company::Company,
    sources::{Mark, Sources},
    switch::{Activity, Switch, Switched},
    tracked::Tracked,
};
use crate::{
    board::Board,
    clock::Nanos,
    ledger::{Ledger, Wake},
    orchestrator::ReplicaSet,
    peers::{self, herald::Herald},
    replica::Traffic,
};

/// Every model's ledger is read this often, for the signals' windows.
const SAMPLE: Duration = Duration::from_secs(1);
/// The same where other proxies count on it: what they hear is so old at most.
const SAMPLE_IN_COMPANY: Duration = Duration::from_millis(200);
/// While a model's lag is over its level and nobody would ring for it.
const SAMPLE_OVER_LEVEL: Duration = Duration::from_millis(50);

/// A model to scale.
#[derive(Clone)]
pub struct Watched {
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
    pub board: Board,
    /// The program that keeps replicas; see
    /// [`Processes::new`](crate::orchestrator::process::Processes::new).
    pub keeper: PathBuf,
    /// Where it lays out what other proxies are told.
    pub herald: Herald,
    /// Where other proxies are; `None`: this one is alone.
    pub peers: Option<peers::Settings>,
}

enum Command {
    Configure(Vec<Watched>),
    Switch {
        model: String,
        activity: Activity,
        answer: oneshot::Sender<Switched>,
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
    pub fn configure(&self, models: Vec<Watched>) {
        // It ends only when it is stopped.
        let _ = self.commands.send(Command::Configure(models));
    }

    /// Pauses and resumes models.
    #[must_use]
    pub fn switch(&self) -> Switch {
        Switch(self.commands.clone())
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
    models: BTreeMap<String, Tracked>,
    sources: Sources,
    company: Company,
    company_events: mpsc::UnboundedReceiver<peers::Event>,
    /// When to look at all ledgers next.
    sample: Instant,
}

impl Loop {
    fn new(options: Options) -> Self {
        let (company, company_events) =
            Company::new(options.herald.instance(), options.peers.as_ref());
        company.show(&options.board);
        Self {
            company,
            company_events,
            sample: Instant::now(),
            sources: Sources::new(options.keeper.clone()),
            options,
            models: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            tokio::select! {
                biased;
                () = self.options.wake.rung() => self.answer_crossings(),
                (mark, set) = self.sources.next() => self.replicas_changed(&mark, set),
                Some(event) = self.company_events.recv() => self.company_changed(event),
                command = commands.recv() => match command {
                    Some(Command::Configure(models)) => self.configure(models).await,
                    Some(Command::Switch { model, activity, answer }) => {
                        // Who asked may have gone.
                        let _ = answer.send(self.switch(&model, activity));
                    }
                    Some(Command::HandOver) => self.company.hand_over(),
                    Some(Command::Stop(done)) => {
                        self.stop().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.stop().await,
                },
                () = sleep_until(self.sample) => self.sample(),
            }
            if !self.company.is_alone() {
                self.tell();
            }
        }
    }

    fn answer_crossings(&mut self) {
        for tracked in self.models.values_mut() {
            tracked.answer_crossing();
        }
    }

    fn replicas_changed(&mut self, mark: &Mark, set: ReplicaSet) {
        match self.models.get_mut(&set.model) {
            Some(tracked) if tracked.hears(mark) => tracked.replicas_changed(set),
            // Of a model that has gone, or has other replicas now.
            _ => {}
        }
    }

    fn switch(&mut self, model: &str, activity: Activity) -> Switched {
        match self.models.get_mut(model) {
            None => Switched::NoModel,
            Some(_) if !self.company.leads() => Switched::NotLeading(self.company.leader()),
            Some(tracked) => {
                tracked.set_activity(activity);
                Switched::Done
            }
        }
    }

    fn sample(&mut self) {
        self.company.pass(Nanos::now());
        self.pass_on_counts();
        let mut next = if self.company.is_alone() {
            SAMPLE
        } else {
            SAMPLE_IN_COMPANY
        };
        for tracked in self.models.values_mut() {
            if !tracked.sample(self.options.period) {
                next = SAMPLE_OVER_LEVEL;
            }
        }
        self.sample = Instant::now() + next;
        self.company.show(&self.options.board);
        self.tell();
    }

    async fn configure(&mut self, models: Vec<Watched>) {
        let mut before = std::mem::take(&mut self.models);
        for watched in models {
            let name = watched.model.name.clone();
            let tracked = match before.remove(&name) {
                Some(mut tracked) if tracked.same_kind(&watched.model) => {
                    tracked.reconfigure(watched);
                    tracked
                }
                other => {
                    if let Some(tracked) = other {
                        tracked.forget().await;
                    }
                    let since = self.sources.now(&watched.model.server.kind);
                    let others = self.company.others(&name);
                    let board = self.options.board.clone();
                    Tracked::new(watched, since, board, others)
                }
            };
            self.models.insert(name, tracked);
        }
        for (name, tracked) in before {
            tracked.forget().await;
            self.options.board.remove(&name);
        }
    }

    async fn stop(&mut self) {
        self.company.leave().await;
        self.models.clear();
        self.sources.shutdown().await;
        self.options.herald.end().await;
    }
}
