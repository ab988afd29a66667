//! The event loop of a simulation.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{
    conditions::Conditions,
    outcome::{SimulationResult, Tally},
    scaler::{Cause, Seen, SimulatedScaler},
    timeline::{Recorder, Slice},
    trace::Trace,
    world::{Started, World},
};
use crate::{clock::Nanos, model_scaler::Replicas};

/// Simulates `trace` under `conditions`, with as many replicas as `scaler` asks for, until the
/// last request is done. Requests that still wait an hour after the last arrival are never
/// served.
#[must_use]
pub fn simulate(
    trace: &Trace,
    conditions: &Conditions,
    scaler: &mut SimulatedScaler,
) -> SimulationResult {
    Engine::new(trace, conditions).run(scaler)
}

/// How long after the last arrival the simulation waits for held requests.
const PATIENCE: Duration = Duration::from_secs(3600);

struct Engine<'a> {
    trace: &'a Trace,
    conditions: &'a Conditions,
    world: World,
    /// Requests in service: when each ends, and its replica.
    running: BinaryHeap<Reverse<(Nanos, u32)>>,
    tally: Tally,
    desired: u32,
    recorder: Option<Recorder<4>>,
}

/// The next event. Of several at the same time, the earlier in this list comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Completion,
    Ready,
    Arrival,
    Look,
}

impl<'a> Engine<'a> {
    fn new(trace: &'a Trace, conditions: &'a Conditions) -> Self {
        let world = World::new(conditions);
        let values = values(&world, world.ready);
        Self {
            trace,
            conditions,
            running: BinaryHeap::new(),
            tally: Tally::new(trace.requests().len(), world.ready),
            desired: world.ready,
            recorder: (conditions.timeline).map(|width| Recorder::new(width, values)),
            world,
        }
    }

    fn run(mut self, scaler: &mut SimulatedScaler) -> SimulationResult {
        let requests = self.trace.requests();
        let end = Nanos(0) + self.trace.span() + PATIENCE;
        let (mut next, mut now, mut look) = (0, Nanos(0), Nanos(0));
        while next < requests.len() || self.world.in_flight() > 0 {
            let times = [
                (
                    self.running.peek().map(|Reverse((at, _))| *at),
                    Event::Completion,
                ),
                (self.world.next_ready(), Event::Ready),
                (requests.get(next).map(|r| r.at), Event::Arrival),
                (Some(look), Event::Look),
            ];
            let first = times
                .into_iter()
                .filter_map(|(at, event)| Some((at?, event)))
                .min();
            let Some((at, event)) = first else { break };
            if at > end && self.world.held() > 0 {
                now = end;
                self.world.give_up(now);
                self.record(now);
                continue;
            }
            now = at;
            match event {
                Event::Completion => self.complete(now),
                Event::Ready => {
                    self.world.make_ready(now);
                    self.serve_held(now);
                    if scaler.follows_replicas() {
                        self.look(scaler, Cause::Replicas, now);
                    }
                }
                Event::Arrival => {
                    if let Some(started) = self.world.arrive(next, now) {
                        self.start(started, now);
                    }
                    next += 1;
                    let in_flight = self.world.in_flight();
                    if scaler.wake_at() == Some(in_flight) {
                        self.look(scaler, Cause::Crossing, now);
                    }
                }
                Event::Look => {
                    self.look(scaler, Cause::Interval, now);
                    // An interval of 0 would make no progress.
                    look = now + scaler.interval().max(Duration::from_millis(1));
                }
            }
            self.record(now);
        }
        let slices = self.recorder.map(|recorder| recorder.finish(now));
        let timeline = slices.into_iter().flatten().map(Slice::from).collect();
        let cost = self.world.cost(now);
        self.tally.finish(scaler.name(), now, cost, timeline)
    }

    fn record(&mut self, now: Nanos) {
        if let Some(recorder) = &mut self.recorder {
            recorder.set(values(&self.world, self.desired), now);
        }
    }

    fn start(&mut self, started: Started, now: Nanos) {
        let request = &self.trace.requests()[started.request];
        self.running
            .push(Reverse((now + request.service, started.replica)));
        self.tally.waited(now.since(request.at));
    }

    fn serve_held(&mut self, now: Nanos) {
        while let Some(started) = self.world.next_in_line(now) {
            self.start(started, now);
        }
    }

    fn complete(&mut self, now: Nanos) {
        if let Some(Reverse((_, replica))) = self.running.pop()
            && let Some(started) = self.world.complete(replica, now)
        {
            self.start(started, now);
        }
    }

    fn look(&mut self, scaler: &mut SimulatedScaler, cause: Cause, now: Nanos) {
        let seen = Seen {
            cause,
            reading: self.world.reading(now),
            replicas: Replicas {
                ready: self.world.ready,
                starting: self.world.starting,
                start_up: self.world.start_up,
                capacity: self.conditions.capacity,
            },
        };
        let desired = scaler.look(&seen);
        if desired != self.desired {
            self.desired = desired;
            self.tally.asked(desired);
            self.world.scale(desired, self.conditions, now);
            self.serve_held(now);
        }
    }
}

/// The values of a timeline, in the order of a [`Slice`].
fn values(world: &World, desired: u32) -> [u64; 4] {
    [
        world.in_flight(),
        world.held(),
        desired.into(),
        world.ready.into(),
    ]
}
