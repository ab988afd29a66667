//! Scale requests: only the newest count of a model is ever on its way.

use std::{sync::Arc, time::Duration};

use metrics::{Histogram, counter, histogram};
use tailback_config::Model;
use tokio::{sync::watch, task::JoinHandle, time::sleep};

use crate::{
    board::Board,
    clock::Nanos,
    decision::{Outcome, Record},
    orchestrator::{Orchestrator, ScaleError},
};

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Longest wait that whoever is asked can impose.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A count to ask for.
#[derive(Clone)]
pub(super) struct Request {
    pub model: Arc<Model>,
    pub replicas: u32,
    /// What is written down; `None` for a repetition.
    pub record: Option<Record>,
    /// The arrival that led to it.
    pub crossing: Option<Nanos>,
}

/// Carries a model's scale requests to its orchestrator. Dropping it gives up
/// what has not been taken yet.
pub(super) struct Requester {
    newest: watch::Sender<Option<Request>>,
    task: JoinHandle<()>,
}

impl Requester {
    pub(super) fn new(orchestrator: Arc<dyn Orchestrator>, board: Board) -> Self {
        let (newest, inbox) = watch::channel(None);
        let task = tokio::spawn(carry(inbox, orchestrator, board));
        Self { newest, task }
    }

    /// Asks for a count, in place of any that was not taken yet.
    pub(super) fn ask(&self, request: Request) {
        self.newest.send_replace(Some(request));
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut inbox: watch::Receiver<Option<Request>>,
    orchestrator: Arc<dyn Orchestrator>,
    board: Board,
) {
    let reaction = histogram!("tailback_scale_reaction_seconds");
    while inbox.changed().await.is_ok() {
        let Some(request) = inbox.borrow_and_update().clone() else {
            continue;
        };
        // The configured count is not a decision of ours.
        if request.model.scaling.dry_run.value && request.record.is_some() {
            report(&request, Outcome::DryRun, &board);
            continue;
        }
        let mut wait = FIRST_RETRY;
        loop {
            observe_reaction(&request, &reaction);
            match orchestrator.scale(&request.model, request.replicas).await {
                Ok(()) => report(&request, Outcome::Accepted, &board),
                Err(error @ ScaleError::Refused(_)) => {
                    report(&request, Outcome::Failed(error.to_string()), &board)
                }
                Err(error @ (ScaleError::Failed(_) | ScaleError::Busy { .. })) => {
                    report(&request, Outcome::Failed(error.to_string()), &board);
                    // Not before it may work; all who were told the same come spread.
                    let asked = match error {
                        ScaleError::Busy { after, .. } => after.min(LONGEST_WAIT),
                        _ => Duration::ZERO,
                    };
                    tokio::select! {
                        () = sleep(asked + wait.mul_f64(0.75 + 0.5 * fastrand::f64())) => {
                            wait = (wait * 2).min(LONGEST_RETRY);
                            continue;
                        }
                        // A newer count takes its place.
                        _ = inbox.changed() => inbox.mark_changed(),
                    }
                }
            }
            break;
        }
    }
}

fn observe_reaction(request: &Request, reaction: &Histogram) {
    if let Some(crossing) = request.crossing {
        reaction.record(Nanos::now().since(crossing));
    }
}

fn report(request: &Request, outcome: Outcome, board: &Board) {
    let Some(record) = request.record.clone() else {
        return;
    };
    let direction = if record.to > record.from {
        "up"
    } else {
        "down"
    };
    let label = match outcome {
        Outcome::Accepted => "accepted",
        Outcome::DryRun => "dry_run",
        Outcome::Failed(_) => "failed",
    };
    counter!("tailback_scale_requests_total", "direction" => direction, "outcome" => label)
        .increment(1);
    tracing::info!(
        model = record.model,
        from = record.from,
        to = record.to,
        outcome = label,
        "scale {direction}: {}",
        record.why()
    );
    board.record(Record { outcome, ..record });
}
