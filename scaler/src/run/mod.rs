//! The running scaler: a thread and a runtime of its own, so that a busy data
//! plane cannot starve it, nor it the data plane.
//!
//! It waits for the wake-up of a ledger (a model's lag reached its level), a
//! change of replicas, a peer's counts, a change of configuration, or the period;
//! then observes, decides, applies the constraints, requests and records. See
//! [`controller`] for one model.

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
