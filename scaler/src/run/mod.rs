//! The running scaler: a thread with a runtime of its own, so that the scaler and a busy data
//! plane cannot starve each other.
//!
//! It waits for a ledger's wake-up (a model's lag has reached its level), a change of replicas, a
//! peer's counts, a new configuration, or the end of the period. Then it observes, decides,
//! constrains, records, and sends scale requests. [`controller`] does this for one model.

mod command;
mod controller;
mod external_change;
mod membership;
mod options;
mod orchestrators;
pub mod pause;
mod scale_request;
mod scaling_loop;

use std::{
    io,
    thread::{self, JoinHandle},
};

use tokio::sync::{mpsc, oneshot};

use self::{command::Command, pause::PauseHandle, scaling_loop::Loop};
pub use self::{
    command::{ModelHandle, PauseResult},
    options::Options,
};

/// A handle of the running scaler.
pub struct Scaler {
    commands: mpsc::UnboundedSender<Command>,
    _thread: JoinHandle<()>,
}

impl Scaler {
    /// Starts the scaler without models.
    ///
    /// # Errors If its thread or runtime cannot be created.
    pub fn start(options: Options) -> io::Result<Self> {
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
        let _ = self.commands.send(Command::Configure(models));
    }

    /// A handle that pauses and resumes models.
    #[must_use]
    pub fn pause_handle(&self) -> PauseHandle {
        PauseHandle(self.commands.clone())
    }

    /// Lets another proxy lead, if there are any. This proxy keeps publishing its counts.
    pub fn hand_over(&self) {
        let _ = self.commands.send(Command::HandOver);
    }

    /// Drains and stops the replicas that this proxy runs. Returns when they have stopped.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
    }
}
