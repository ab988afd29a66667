//! The stages of an instance: each waits for what ends it, and says what comes next.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::state::{Ask, Charge, Note, Stage};
use crate::orchestrator::process::{
    readiness::{Subject, until_ready},
    supervision::Supervision,
    supervisor,
};

/// What comes next.
pub(super) enum Step {
    To(Stage),
    /// Nothing new.
    Stay,
    Park,
    Over(Note),
}

fn end_now() -> Step {
    Step::To(Stage::Ending(Instant::now(), None))
}

pub(super) async fn starting(
    charge: &Charge,
    process: &mut Supervision,
    since: Instant,
    asked: impl Future<Output = Ask>,
    tell: &impl Fn(Note),
) -> Step {
    let Some(spec) = &charge.spec else {
        return end_now();
    };
    let (ports, sink) = (charge.ports(), process.sink());
    let subject = Subject {
        replica: &charge.replica,
        model: &charge.model,
        spec,
        ports: &ports,
        supervisor: process.pid(),
        sink: &sink,
        started: since,
    };
    let mut last = None;
    let not_ready = |why| tell(Note::NotReady(why));
    let fail = |why| Step::To(Stage::Ending(Instant::now(), Some(why)));
    tokio::select! {
        ready = until_ready(subject, &mut last, not_ready) => match ready {
            Ok(()) => Step::To(Stage::Ready),
            Err(why) => fail(why),
        },
        code = process.ended() => {
            Step::Over(Note::Failed(process.why_ended(code, "before it was ready").await))
        }
        () = sleep_until(since + spec.start.value) => {
            let why = last.unwrap_or_else(|| "the first probe is not answered yet".into());
            let limit = spec.start.as_secs_f64();
            fail(format!("not ready within {limit} s (startSeconds): {why}"))
        }
        ask = asked => match ask {
            Ask::Drain => end_now(),
            Ask::Park => Step::Park,
            Ask::Resume => Step::Stay,
        }
    }
}

pub(super) async fn serving(process: &mut Supervision, asked: impl Future<Output = Ask>) -> Step {
    tokio::select! {
        code = process.ended() => {
            Step::Over(Note::Failed(process.why_ended(code, "while it was serving").await))
        }
        ask = asked => match ask {
            Ask::Drain => Step::To(Stage::Draining(Instant::now())),
            Ask::Park => Step::Park,
            Ask::Resume => Step::Stay,
        }
    }
}

pub(super) async fn draining(
    charge: &Charge,
    process: &mut Supervision,
    since: Instant,
    asked: impl Future<Output = Ask>,
) -> Step {
    tokio::select! {
        () = until_idle(charge, since) => end_now(),
        () = charge.host.shutting_down() => end_now(),
        _ = process.ended() => Step::Over(Note::Stopped),
        ask = asked => match ask {
            Ask::Resume => Step::To(Stage::Ready),
            Ask::Park => Step::Park,
            Ask::Drain => Step::Stay,
        }
    }
}

/// After the stop signal: SIGKILL when its time is over.
pub(super) async fn ending(
    process: &mut Supervision,
    until: Instant,
    why: Option<String>,
    asked: impl Future<Output = Ask>,
) -> Step {
    let over = |why: Option<String>| Step::Over(why.map_or(Note::Stopped, Note::Failed));
    tokio::select! {
        _ = process.ended() => over(why),
        () = sleep_until(until) => {
            process.order(supervisor::KILL).await;
            process.ended().await;
            over(why)
        }
        ask = asked => match ask {
            Ask::Park => Step::Park,
            Ask::Drain | Ask::Resume => Step::Stay,
        }
    }
}

/// Waits until a closed replica has no request left, or until `drainSeconds` have passed.
async fn until_idle(charge: &Charge, since: Instant) {
    let replica = &charge.replica;
    let idle = async {
        while replica.is_in_use() && !replica.health().is_condemned() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let Some(limit) = *charge.drain.borrow() else {
        return idle.await;
    };
    if timeout_at(since + limit, idle).await.is_err() {
        tracing::warn!(
            %replica,
            in_flight = replica.in_flight(),
            "requests are still in flight after drainSeconds ({} s): the replica is stopped and they fail",
            limit.as_secs_f64()
        );
    }
}
