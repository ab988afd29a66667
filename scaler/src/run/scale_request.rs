//! Scale requests: only the newest count of a model is ever on its way.
//!
//! What fails is asked again after pauses that grow; what is refused,
//! every ten seconds or so: a permission may be granted, a quota raised. Either is
//! asked again at once when what was in the way may be no more.

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
    orchestrator::{Orchestrator, SETTLING, ScaleError},
    status::{DecisionKind, StatusStore},
};

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// What was refused is asked again so late: somebody has to do something about it.
const REFUSED_RETRY: Duration = Duration::from_secs(10);
/// Longest wait that whoever is asked can impose.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// A count to ask for.
#[derive(Clone)]
pub(super) struct Request {
    pub model: Arc<Model>,
    pub replicas: u32,
    /// What is written down; `None` for a repetition.
    pub record: Option<DecisionRecord>,
    /// The arrival that led to it.
    pub crossing: Option<Nanos>,
}

/// What came of a request.
pub(super) struct ScaleAnswer {
    pub model: String,
    pub replicas: u32,
    /// Whether it was taken; or why not.
    pub result: Result<(), String>,
}

/// Where answers are sent.
pub(super) type ScaleAnswers = mpsc::UnboundedSender<ScaleAnswer>;

/// Carries a model's scale requests to its orchestrator. Dropping it gives up
/// what has not been taken yet.
pub(super) struct Requester {
    newest: watch::Sender<Option<Request>>,
    now: Arc<Notify>,
    carrier: Carrier,
    task: JoinHandle<()>,
}

/// What carries requests.
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

    /// Another one in its place, with nothing to carry.
    pub(super) fn anew(&self) -> Self {
        Self::start(self.carrier.clone())
    }

    /// What failed is asked again now.
    pub(super) fn try_now(&self) {
        self.now.notify_waiters();
    }

    /// Asks for a count, in place of any that was not taken yet.
    pub(super) fn ask(&self, request: Request) {
        self.newest.send_replace(Some(request));
    }

    /// Gives up what was not taken yet.
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
    async fn run(self, mut inbox: watch::Receiver<Option<Request>>, now: Arc<Notify>) {
        let reaction = histogram!("tailback_scale_reaction_seconds");
        while inbox.changed().await.is_ok() {
            let Some(request) = inbox.borrow_and_update().clone() else {
                continue;
            };
            // The configured count is not a decision of ours.
            if request.model.scaling.dry_run.value && request.record.is_some() {
                report(&request, ScaleOutcome::DryRun, &self.status);
                continue;
            }
            observe_reaction(&request, &reaction);
            self.carry(&request, &now, &mut inbox).await;
        }
    }

    /// Asks until it is taken, or a newer count takes its place. Never in the midst
    /// of a request: an older one could be carried out after a newer one.
    async fn carry(
        &self,
        request: &Request,
        now: &Notify,
        inbox: &mut watch::Receiver<Option<Request>>,
    ) {
        let (mut wait, begin) = (FIRST_RETRY, Instant::now());
        let mut said = None;
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
            if !settling && said.as_ref() != Some(&error) {
                report(
                    request,
                    ScaleOutcome::Failed(error.to_string()),
                    &self.status,
                );
                self.tell(request, Err(error.to_string()));
                said = Some(error);
            }
            tokio::select! {
                () = sleep(pause.mul_f64(1.0 + 0.5 * fastrand::f64())) => {}
                () = now.notified() => wait = FIRST_RETRY,
                _ = inbox.changed() => return inbox.mark_changed(),
            }
        }
    }

    fn tell(&self, request: &Request, result: Result<(), String>) {
        // The loop may have ended: then nobody wants to know.
        let _ = self.answers.send(ScaleAnswer {
            model: request.model.name.clone(),
            replicas: request.replicas,
            result,
        });
    }
}

fn observe_reaction(request: &Request, reaction: &Histogram) {
    if let Some(crossing) = request.crossing {
        reaction.record(Nanos::now().since(crossing));
    }
}

/// What is written down of it: repetitions are not.
fn report(request: &Request, outcome: ScaleOutcome, status: &StatusStore) {
    let Some(record) = request.record.clone() else {
        if let ScaleOutcome::Failed(error) = outcome {
            let (model, replicas) = (&request.model.name, request.replicas);
            tracing::warn!(
                model,
                replicas,
                "the configured count is not there: {error}"
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

fn count(request: &Request, outcome: &'static str) {
    if let Some(record) = &request.record {
        let direction = direction(record);
        counter!("tailback_scale_requests_total", "direction" => direction, "outcome" => outcome)
            .increment(1);
    }
}

/// Who wanted the change, and what held it back.
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
