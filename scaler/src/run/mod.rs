//! The running scaler: a thread with a runtime of its own, so that the scaler and a busy data
//! plane cannot starve each other.
//!
//! It waits for a ledger's wake-up (a model's lag has reached its level), a change of replicas, a
//! peer's counts, a new configuration, or the end of the period. Then it observes, decides,
//! constrains, records, and sends scale requests. [`controller`] does this for one model.

mod command;
pub mod control;
mod controller;
mod external_change;
mod membership;
mod options;
mod orchestrators;
mod order;
mod scale_request;
mod scaling_loop;
mod succession;

use std::{
    io,
    os::unix::net::UnixStream,
    thread::{self, JoinHandle},
};

use tokio::sync::{mpsc, oneshot, watch};

use self::{command::LoopCommand, control::ControlHandle, scaling_loop::Loop};
pub use self::{
    command::{HandedOut, ModelHandle},
    options::ScalerOptions,
};
use crate::orchestrator::handover::{Inherited, Parcel};

/// A handle of the running scaler.
pub struct Scaler {
    commands: mpsc::UnboundedSender<LoopCommand>,
    _thread: JoinHandle<()>,
}

impl Scaler {
    /// Starts the scaler without models.
    ///
    /// # Errors If its thread or runtime cannot be created.
    pub fn start(options: ScalerOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (commands, inbox) = mpsc::unbounded_channel();
        let thread = thread::Builder::new()
            .name("scaler".into())
            .spawn(move || {
                // The orchestrators need the runtime around them.
                runtime.block_on(async { Loop::new(options).run(inbox).await });
            })?;
        Ok(Self {
            commands,
            _thread: thread,
        })
    }

    /// Replaces the set of scaled models. Models that were scaled before keep their replicas,
    /// counts and history.
    pub fn configure(&self, models: Vec<ModelHandle>) {
        // Fails only after [`stop`](Self::stop).
        let _ = self.commands.send(LoopCommand::Configure(models));
    }

    /// A handle for what operators ask for.
    #[must_use]
    pub fn control_handle(&self) -> ControlHandle {
        ControlHandle(self.commands.clone())
    }

    /// Lets another proxy lead, if there are any. This proxy keeps publishing its counts.
    pub fn hand_over(&self) {
        let _ = self.commands.send(LoopCommand::HandOver);
    }

    /// Begins with what another process asked for, and its replicas: to be called before
    /// [`configure`](Self::configure).
    ///
    /// # Errors
    /// If that is not what it should be.
    pub async fn inherit(&self, inherited: Inherited, parcels: Vec<Parcel>) -> io::Result<()> {
        self.ask(|answer| LoopCommand::Inherit {
            inherited,
            parcels,
            answer,
        })
        .await?
    }

    /// Speaks with that process at `predecessor`, as long as it has requests; when it has ended,
    /// the receiver gets `true`.
    pub fn attach(&self, predecessor: UnixStream) -> watch::Receiver<bool> {
        let (gone, seen) = watch::channel(false);
        let _ = self
            .commands
            .send(LoopCommand::Attach { predecessor, gone });
        seen
    }

    /// Asks for nothing any more, and lets nobody lead the replicas that run as processes, which
    /// go on by themselves: another process gets them, or they are [taken back](Self::take_back).
    ///
    /// # Errors
    /// If the system does not give their descriptors out. They are led on then.
    pub async fn hand_out(&self) -> io::Result<HandedOut> {
        self.ask(LoopCommand::HandOut).await?
    }

    /// Goes on as before: nobody got what was handed out.
    pub async fn take_back(&self) {
        let _ = self.ask(LoopCommand::TakeBack).await;
    }

    /// Follows the process at `successor`, which got all that was handed out, and tells it what is
    /// counted here. The receiver gets `true` when that process has ended.
    pub fn retire(&self, successor: UnixStream) -> watch::Receiver<bool> {
        let (gone, seen) = watch::channel(false);
        let _ = self.commands.send(LoopCommand::Retire { successor, gone });
        seen
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> LoopCommand,
    ) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        let stopped = || io::Error::other("the scaler has stopped");
        self.commands.send(command(answer)).map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())
    }

    /// Drains and stops the replicas that this proxy runs. Returns when they have stopped.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(LoopCommand::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
    }
}
