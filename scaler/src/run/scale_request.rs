//! Sends scale requests to orchestrators. Only the newest count of a model is ever sent.
//!
//! A failed request is retried after growing pauses. A refused one is retried about every ten
//! seconds, because a permission may be granted or a quota raised. Both are retried at once when
//! the reason may be gone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{Histogram, counter, histogram};
use tailback_config::Model;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::sleep,
};

use crate::{
    clock::Nanos,
    decision::{DecisionRecord, Reason, ScaleOutcome},
    ledger::Crossing,
    orchestrator::{Orchestrator, SETTLING, ScaleError},
    status::{DecisionKind, StatusStore},
};

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// Pause before a refused request is retried: an operator must act first.
const REFUSED_RETRY: Duration = Duration::from_secs(10);
/// Longest pause that an orchestrator can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A request for a count.
#[derive(Clone)]
pub(super) struct ScaleRequest {
    pub model: Arc<Model>,
    pub replicas: u32,
    /// The decision behind it, to be recorded; `None` for a repetition or a configured count.
    pub record: Option<DecisionRecord>,
    /// The arrival that caused it, from which the reaction time is measured.
    pub crossing: Option<Crossing>,
}

/// The result of a request.
pub(super) struct ScaleAnswer {
    pub model: String,
    pub replicas: u32,
    /// `Ok` if it was accepted, or why not.
    pub result: Result<(), String>,
}

/// The channel for results.
pub(super) type ScaleAnswers = mpsc::UnboundedSender<ScaleAnswer>;

/// Sends a model's scale requests to its orchestrator. Dropping it cancels a request that was not
/// accepted yet.
pub(super) struct Requester {
    newest: watch::Sender<Option<ScaleRequest>>,
    now: Arc<Notify>,
    carrier: Carrier,
    task: JoinHandle<()>,
}

/// The task behind a [`Requester`].
#[derive(Clone)]
struct Carrier {
    orchestrator: Arc<dyn Orchestrator>,
    status: StatusStore,
    answers: ScaleAnswers,
}

impl Requester {
    pub(super) fn new(
        orchestrator: Arc<dyn Orchestrator>,
        status: StatusStore,
        answers: ScaleAnswers,
    ) -> Self {
        Self::start(Carrier {
            orchestrator,
            status,
            answers,
        })
    }

    fn start(carrier: Carrier) -> Self {
        let (newest, inbox) = watch::channel(None);
        let now = Arc::<Notify>::default();
        let task = tokio::spawn(carrier.clone().run(inbox, now.clone()));
        Self {
            newest,
            now,
            carrier,
            task,
        }
    }

    /// A new requester in its place, without a pending request.
    pub(super) fn anew(&self) -> Self {
        Self::start(self.carrier.clone())
    }

    /// Retries a failed or refused request now.
    pub(super) fn try_now(&self) {
        self.now.notify_waiters();
    }

    /// Sends a request, in place of one that was not accepted yet.
    pub(super) fn ask(&self, request: ScaleRequest) {
        self.newest.send_replace(Some(request));
    }

    /// Cancels a request that was not accepted yet.
    pub(super) fn withdraw(&self) {
        self.newest.send_replace(None);
    }
}

impl Drop for Requester {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Carrier {
    async fn run(self, mut inbox: watch::Receiver<Option<ScaleRequest>>, now: Arc<Notify>) {
        let reaction = histogram!("tailback_scale_reaction_seconds");
        while inbox.changed().await.is_ok() {
            let Some(request) = inbox.borrow_and_update().clone() else {
                continue;
            };
            // A configured count, which has no record, is sent even with dryRun.
            if request.model.scaling.dry_run.value && request.record.is_some() {
                report(&request, ScaleOutcome::DryRun, &self.status);
                continue;
            }
            observe_reaction(&request, &reaction);
            self.carry(&request, &now, &mut inbox).await;
        }
    }

    /// Sends the request until it is accepted or a newer one replaces it. A call is never
    /// aborted, because an older count could then take effect after a newer one.
    async fn carry(
        &self,
        request: &ScaleRequest,
        now: &Notify,
        inbox: &mut watch::Receiver<Option<ScaleRequest>>,
    ) {
        let (mut wait, begin) = (FIRST_RETRY, Instant::now());
        let mut reported = None;
        loop {
            let answer = self.orchestrator.scale(&request.model, request.replicas);
            let Err(error) = answer.await else {
                report(request, ScaleOutcome::Accepted, &self.status);
                return self.tell(request, Ok(()));
            };
            let pause = match &error {
                ScaleError::Refused(_) => REFUSED_RETRY,
                ScaleError::Forbidden(_) | ScaleError::Failed(_) => wait,
                ScaleError::Busy { after, .. } => wait.max((*after).min(LONGEST_WAIT)),
            };
            wait = (wait * 2).min(LONGEST_RETRY);
            count(request, "failed");
            let settling = matches!(error, ScaleError::Forbidden(_)) && begin.elapsed() < SETTLING;
            if !settling && reported.as_ref() != Some(&error) {
                report(
                    request,
                    ScaleOutcome::Failed(error.to_string()),
                    &self.status,
                );
                self.tell(request, Err(error.to_string()));
                reported = Some(error);
            }
            tokio::select! {
                () = sleep(pause.mul_f64(1.0 + 0.5 * fastrand::f64())) => {}
                () = now.notified() => wait = FIRST_RETRY,
                _ = inbox.changed() => return inbox.mark_changed(),
            }
        }
    }

    fn tell(&self, request: &ScaleRequest, result: Result<(), String>) {
        // Fails only when the scaler's loop has ended.
        let _ = self.answers.send(ScaleAnswer {
            model: request.model.name.clone(),
            replicas: request.replicas,
            result,
        });
    }
}

fn observe_reaction(request: &ScaleRequest, reaction: &Histogram) {
    if let Some(crossing) = request.crossing {
        reaction.record(Nanos::now().since(crossing.at));
    }
}

/// Logs and records the outcome. Repetitions are not recorded.
fn report(request: &ScaleRequest, outcome: ScaleOutcome, status: &StatusStore) {
    let Some(record) = request.record.clone() else {
        if let ScaleOutcome::Failed(error) = outcome {
            let (model, replicas) = (&request.model.name, request.replicas);
            tracing::warn!(
                model,
                replicas,
                "the configured count could not be set: {error}"
            );
        }
        return;
    };
    let label = match outcome {
        ScaleOutcome::Accepted => "accepted",
        ScaleOutcome::DryRun => "dry_run",
        ScaleOutcome::Failed(_) => "failed",
        ScaleOutcome::ExternalChange => "foreign",
    };
    if !matches!(outcome, ScaleOutcome::Failed(_)) {
        count(request, label);
        if let Some(kind) = kind(&record) {
            status.count_decision(&record.model, kind);
        }
    }
    let why = match &outcome {
        ScaleOutcome::Failed(error) => format!("{}; {error}", record.why()),
        _ => record.why(),
    };
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                model = record.model,
                from = record.from,
                to = record.to,
                outcome = label,
                "scale {}: {why}",
                direction(&record)
            )
        };
    }
    match outcome {
        ScaleOutcome::Failed(_) => say!(warn),
        _ => say!(info),
    }
    status.record(DecisionRecord { outcome, ..record });
}

fn count(request: &ScaleRequest, outcome: &'static str) {
    if let Some(record) = &request.record {
        let direction = direction(record);
        counter!("tailback_scale_requests_total", "direction" => direction, "outcome" => outcome)
            .increment(1);
    }
}

/// The labels under which the decision is counted.
fn kind(record: &DecisionRecord) -> Option<DecisionKind> {
    let (recommendation, guards) = record.reasons.split_first()?;
    Some(DecisionKind {
        direction: direction(record),
        reason: recommendation.kind(),
        held_back: guards.last().map_or("no", Reason::kind),
    })
}

fn direction(record: &DecisionRecord) -> &'static str {
    if record.to > record.from {
        "up"
    } else {
        "down"
    }
}
