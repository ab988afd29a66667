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

    /// A handle for operators' orders.
    #[must_use]
    pub fn control_handle(&self) -> ControlHandle {
        ControlHandle(self.commands.clone())
    }

    /// Lets another proxy lead, if there is one. This proxy keeps publishing its counts.
    pub fn hand_over(&self) {
        let _ = self.commands.send(LoopCommand::HandOver);
    }

    /// Takes over the state and the replicas of a predecessor. Call it before
    /// [`configure`](Self::configure).
    ///
    /// # Errors
    /// If a parcel is malformed.
    pub async fn inherit(&self, inherited: Inherited, parcels: Vec<Parcel>) -> io::Result<()> {
        self.ask(|answer| LoopCommand::Inherit {
            inherited,
            parcels,
            answer,
        })
        .await?
    }

    /// Exchanges reports with the predecessor at `predecessor` while that has requests. The
    /// receiver gets `true` when it has ended.
    pub fn attach(&self, predecessor: UnixStream) -> watch::Receiver<bool> {
        let (gone, seen) = watch::channel(false);
        let _ = self
            .commands
            .send(LoopCommand::Attach { predecessor, gone });
        seen
    }

    /// Stops scaling, and parks the replicas that run as processes: they run on while a successor
    /// takes them over, or until they are [taken back](Self::take_back).
    ///
    /// # Errors
    /// If file descriptors cannot be duplicated. The replicas are then managed as before.
    pub async fn hand_out(&self) -> io::Result<HandedOut> {
        self.ask(LoopCommand::HandOut).await?
    }

    /// Manages the replicas again, because no successor took them over.
    pub async fn take_back(&self) {
        let _ = self.ask(LoopCommand::TakeBack).await;
    }

    /// Follows the successor at `successor`, which has taken everything over, and reports this
    /// process's counts to it. The receiver gets `true` when it has ended.
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
