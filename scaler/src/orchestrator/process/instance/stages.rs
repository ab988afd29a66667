//! The stages of an instance. Each function waits until its stage ends, or until the set sends a
//! directive, and returns the next step.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::state::{Directive, InstanceContext, InstanceEvent, Stage};
use crate::orchestrator::process::{
    readiness::{StartingReplica, until_ready},
    supervision::Supervision,
    supervisor,
};

/// What an instance does next.
pub(super) enum NextStage {
    To(Stage),
    /// Wait on in the same stage.
    Stay,
    Park,
    Over(InstanceEvent),
}

fn end_now() -> NextStage {
    NextStage::To(Stage::Ending(Instant::now(), None))
}

pub(super) async fn starting(
    context: &InstanceContext,
    process: &mut Supervision,
    since: Instant,
    directive: impl Future<Output = Directive>,
    tell: &impl Fn(InstanceEvent),
) -> NextStage {
    let Some(spec) = &context.spec else {
        return end_now();
    };
    let (ports, sink) = (context.ports(), process.sink());
    let subject = StartingReplica {
        replica: &context.replica,
        model: &context.model,
        spec,
        ports: &ports,
        supervisor: process.pid(),
        sink: &sink,
        started: since,
    };
    let mut last = None;
    let not_ready = |why| tell(InstanceEvent::NotReady(why));
    let fail = |why| NextStage::To(Stage::Ending(Instant::now(), Some(why)));
    tokio::select! {
        ready = until_ready(subject, &mut last, not_ready) => match ready {
            Ok(()) => NextStage::To(Stage::Ready),
            Err(why) => fail(why),
        },
        code = process.ended() => {
            NextStage::Over(InstanceEvent::Failed(process.why_ended(code, "before it was ready").await))
        }
        () = sleep_until(since + spec.start.value) => {
            let why = last.unwrap_or_else(|| "the first probe is not answered yet".into());
            let limit = spec.start.as_secs_f64();
            fail(format!("not ready within {limit} s (startSeconds): {why}"))
        }
        directive = directive => match directive {
            Directive::Drain => end_now(),
            Directive::Park => NextStage::Park,
            Directive::Resume => NextStage::Stay,
        }
    }
}

pub(super) async fn serving(
    process: &mut Supervision,
    directive: impl Future<Output = Directive>,
) -> NextStage {
    tokio::select! {
        code = process.ended() => {
            NextStage::Over(InstanceEvent::Failed(process.why_ended(code, "while it was serving").await))
        }
        directive = directive => match directive {
            Directive::Drain => NextStage::To(Stage::Draining(Instant::now())),
            Directive::Park => NextStage::Park,
            Directive::Resume => NextStage::Stay,
        }
    }
}

pub(super) async fn draining(
    context: &InstanceContext,
    process: &mut Supervision,
    since: Instant,
    directive: impl Future<Output = Directive>,
) -> NextStage {
    tokio::select! {
        () = until_idle(context, since) => end_now(),
        () = context.host.shutting_down() => end_now(),
        _ = process.ended() => NextStage::Over(InstanceEvent::Stopped),
        directive = directive => match directive {
            Directive::Resume => NextStage::To(Stage::Ready),
            Directive::Park => NextStage::Park,
            Directive::Drain => NextStage::Stay,
        }
    }
}

/// The process has got its stop signal. It gets SIGKILL at `until`.
pub(super) async fn ending(
    process: &mut Supervision,
    until: Instant,
    why: Option<String>,
    directive: impl Future<Output = Directive>,
) -> NextStage {
    let over = |why: Option<String>| {
        NextStage::Over(why.map_or(InstanceEvent::Stopped, InstanceEvent::Failed))
    };
    tokio::select! {
        _ = process.ended() => over(why),
        () = sleep_until(until) => {
            process.order(supervisor::KILL).await;
            process.ended().await;
            over(why)
        }
        directive = directive => match directive {
            Directive::Park => NextStage::Park,
            Directive::Drain | Directive::Resume => NextStage::Stay,
        }
    }
}

/// Waits until a closed replica has no request left, or until `drainSeconds` have passed.
async fn until_idle(context: &InstanceContext, since: Instant) {
    let replica = &context.replica;
    let idle = async {
        while replica.is_in_use() && !replica.health().is_condemned() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let Some(limit) = *context.drain.borrow() else {
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
