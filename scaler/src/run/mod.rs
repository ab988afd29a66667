//! The scaler's loop, on a thread and runtime of its own: a busy data plane
//! cannot starve it, and it cannot slow the data plane.
//!
//! It waits for a ring of the bell (a model's lag reached its level), a change
//! of replicas, a change of configuration, or the period; then observes,
//! decides, guards, requests and records. See [`tracked`] for one model's turn.

mod request;
mod sources;
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

use self::{
    sources::{Mark, Sources},
    tracked::Tracked,
};
use crate::{
    board::Board,
    ledger::{Ledger, Wake},
    orchestrator::ReplicaSet,
    replica::Traffic,
};

/// Every model's ledger is read this often, for the signals' windows.
const SAMPLE: Duration = Duration::from_secs(1);
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
}

enum Command {
    Configure(Vec<Watched>),
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
                runtime.block_on(Loop::new(options).run(inbox));
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
}

impl Loop {
    fn new(options: Options) -> Self {
        Self {
            sources: Sources::new(options.keeper.clone()),
            options,
            models: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut sample = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.options.wake.rung() => self.answer_crossings(),
                (mark, set) = self.sources.next() => self.replicas_changed(&mark, set),
                command = commands.recv() => match command {
                    Some(Command::Configure(models)) => self.configure(models).await,
                    Some(Command::Stop(done)) => {
                        self.stop().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return self.stop().await,
                },
                () = sleep_until(sample) => sample = Instant::now() + self.sample(),
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

    /// Returns when to sample next.
    fn sample(&mut self) -> Duration {
        let mut next = SAMPLE;
        for tracked in self.models.values_mut() {
            if !tracked.sample(self.options.period) {
                next = SAMPLE_OVER_LEVEL;
            }
        }
        next
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
                    Tracked::new(watched, since, self.options.board.clone())
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
        self.models.clear();
        self.sources.shutdown().await;
    }
}
