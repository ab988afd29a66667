//! The simulated data plane: replicas with slots, and the queue of held requests.
//!
//! As in the data plane, a request gets the less busy of two random replicas with a free slot.
//! Without a free slot it is held, first come, first served. A replica that stops finishes its
//! requests first.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use super::conditions::Conditions;
use crate::{clock::Nanos, ledger::Reading};

type ReplicaId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Draining,
    Gone,
}

#[derive(Debug)]
struct Replica {
    phase: Phase,
    load: u32,
    asked: Nanos,
    /// Its index in `World::free`, while it is there.
    place: Option<usize>,
}

/// A request that has just got a slot.
pub(super) struct Started {
    pub request: usize,
    pub replica: ReplicaId,
}

#[derive(Debug)]
pub(super) struct World {
    concurrency: u32,
    capacity: u32,
    takes_back: bool,
    rng: fastrand::Rng,
    replicas: Vec<Replica>,
    /// Ready replicas with a free slot.
    free: Vec<ReplicaId>,
    draining: Vec<ReplicaId>,
    /// Starting replicas, and when each becomes ready.
    starts: BinaryHeap<Reverse<(Nanos, ReplicaId)>>,
    held: VecDeque<usize>,
    arrived: u64,
    completed: u64,
    in_flight_integral: u64,
    held_integral: u64,
    pub ready: u32,
    pub starting: u32,
    /// Replicas that were asked for, as far as there is room.
    wanted: u32,
    /// The time of the last start.
    pub start_up: Option<std::time::Duration>,
    /// Replica-nanoseconds of replicas that are gone.
    spent: u128,
}

impl World {
    pub(super) fn new(conditions: &Conditions) -> Self {
        let mut world = Self {
            concurrency: conditions.concurrency.unwrap_or(u32::MAX).max(1),
            capacity: conditions.capacity,
            takes_back: conditions.takes_back,
            rng: fastrand::Rng::with_seed(conditions.seed),
            replicas: Vec::new(),
            free: Vec::new(),
            draining: Vec::new(),
            starts: BinaryHeap::new(),
            held: VecDeque::new(),
            arrived: 0,
            completed: 0,
            in_flight_integral: 0,
            held_integral: 0,
            ready: 0,
            starting: 0,
            wanted: 0,
            start_up: None,
            spent: 0,
        };
        for _ in 0..conditions.initial.min(conditions.capacity) {
            let id = world.add(Nanos(0));
            world.become_ready(id);
        }
        world.wanted = world.ready;
        world
    }

    pub(super) fn reading(&self, at: Nanos) -> Reading {
        Reading {
            at,
            arrived: self.arrived,
            completed: self.completed,
            in_flight_integral: self.in_flight_integral,
            held: self.held(),
            held_integral: self.held_integral,
            ..Reading::default()
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.arrived - self.completed
    }

    pub(super) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// Replica-seconds up to `now`.
    pub(super) fn cost(&self, now: Nanos) -> f64 {
        let running: u128 = self
            .replicas
            .iter()
            .filter(|replica| replica.phase != Phase::Gone)
            .map(|replica| u128::from(now.0 - replica.asked.0))
            .sum();
        (self.spent + running) as f64 / 1e9
    }

    // === requests ===

    /// Counts the request in. Gives it a slot, or puts it into the queue.
    pub(super) fn arrive(&mut self, request: usize, now: Nanos) -> Option<Started> {
        self.arrived += 1;
        self.in_flight_integral = self.in_flight_integral.wrapping_sub(now.0);
        if let Some(replica) = self.take() {
            return Some(Started { request, replica });
        }
        self.held.push_back(request);
        self.held_integral = self.held_integral.wrapping_sub(now.0);
        None
    }

    /// Counts a request out, and gives its slot to the first in the queue.
    pub(super) fn complete(&mut self, id: ReplicaId, now: Nanos) -> Option<Started> {
        self.completed += 1;
        self.in_flight_integral = self.in_flight_integral.wrapping_add(now.0);
        let replica = &mut self.replicas[id as usize];
        replica.load -= 1;
        match replica.phase {
            Phase::Ready => {
                if replica.place.is_none() {
                    replica.place = Some(self.free.len());
                    self.free.push(id);
                }
                self.next_in_line(now)
            }
            Phase::Draining if replica.load == 0 => {
                self.draining.retain(|&draining| draining != id);
                self.remove(id, now);
                None
            }
            _ => None,
        }
    }

    /// Gives a free slot to the first in the queue.
    pub(super) fn next_in_line(&mut self, now: Nanos) -> Option<Started> {
        if self.held.is_empty() {
            return None;
        }
        let replica = self.take()?;
        let request = self.held.pop_front()?;
        self.held_integral = self.held_integral.wrapping_add(now.0);
        Some(Started { request, replica })
    }

    /// Drops all held requests.
    pub(super) fn give_up(&mut self, now: Nanos) {
        let leaving = self.held.len() as u64;
        self.held.clear();
        self.completed += leaving;
        self.in_flight_integral = self
            .in_flight_integral
            .wrapping_add(now.0.wrapping_mul(leaving));
        self.held_integral = (self.held_integral).wrapping_add(now.0.wrapping_mul(leaving));
    }

    /// Takes a slot of the less busy of two random replicas.
    fn take(&mut self) -> Option<ReplicaId> {
        let id = match self.free.len() {
            0 => return None,
            1 => self.free[0],
            n => {
                let a = self.rng.usize(..n);
                let b = (a + 1 + self.rng.usize(..n - 1)) % n;
                let (a, b) = (self.free[a], self.free[b]);
                if self.replicas[b as usize].load < self.replicas[a as usize].load {
                    b
                } else {
                    a
                }
            }
        };
        let replica = &mut self.replicas[id as usize];
        replica.load += 1;
        if replica.load >= self.concurrency {
            self.leave_free(id);
        }
        Some(id)
    }

    fn leave_free(&mut self, id: ReplicaId) {
        let Some(place) = self.replicas[id as usize].place.take() else {
            return;
        };
        self.free.swap_remove(place);
        if let Some(&moved) = self.free.get(place) {
            self.replicas[moved as usize].place = Some(place);
        }
    }

    // === replicas ===

    /// Starts or stops replicas until there are `count`, as far as there is room. Then call
    /// [`next_in_line`](Self::next_in_line) until it returns `None`.
    pub(super) fn scale(&mut self, count: u32, conditions: &Conditions, now: Nanos) {
        self.wanted = count.min(self.capacity);
        if self.takes_back {
            self.take_back(self.wanted.saturating_sub(self.ready + self.starting));
        }
        while self.ready + self.starting < self.wanted {
            let id = self.add(now);
            self.starting += 1;
            let ready_at = match conditions.start_up.draw(&mut self.rng) {
                Some(time) => now + time,
                None => Nanos(u64::MAX),
            };
            self.starts.push(Reverse((ready_at, id)));
        }
        let surplus = (self.ready + self.starting).saturating_sub(self.wanted);
        self.stop(surplus, now);
    }

    /// Lets draining replicas take requests again, the busiest first, as processes do.
    fn take_back(&mut self, lacking: u32) {
        self.draining
            .sort_by_key(|&id| (self.replicas[id as usize].load, Reverse(id)));
        for _ in 0..lacking {
            let Some(id) = self.draining.pop() else { break };
            self.ready += 1;
            let replica = &mut self.replicas[id as usize];
            replica.phase = Phase::Ready;
            if replica.load < self.concurrency {
                replica.place = Some(self.free.len());
                self.free.push(id);
            }
        }
    }

    /// Stops replicas: starting ones first, the latest before the others; then the least busy.
    fn stop(&mut self, mut surplus: u32, now: Nanos) {
        if surplus == 0 {
            return;
        }
        if self.starting > 0 {
            let mut starts = std::mem::take(&mut self.starts).into_sorted_vec();
            // `Reverse` sorts the latest first.
            let stopped = (surplus as usize).min(starts.len());
            for Reverse((_, id)) in starts.drain(..stopped) {
                self.starting -= 1;
                surplus -= 1;
                self.remove(id, now);
            }
            self.starts = starts.into();
        }
        if surplus == 0 {
            return;
        }
        let mut ready: Vec<ReplicaId> = (0..self.replicas.len() as u32)
            .filter(|&id| self.replicas[id as usize].phase == Phase::Ready)
            .collect();
        ready.sort_by_key(|&id| self.replicas[id as usize].load);
        for id in ready.into_iter().take(surplus as usize) {
            self.leave_free(id);
            self.ready -= 1;
            let replica = &mut self.replicas[id as usize];
            replica.phase = Phase::Draining;
            match replica.load {
                0 => self.remove(id, now),
                _ => self.draining.push(id),
            }
        }
    }

    /// When the next replica becomes ready.
    pub(super) fn next_ready(&self) -> Option<Nanos> {
        self.starts
            .peek()
            .map(|Reverse((at, _))| *at)
            .filter(|at| at.0 < u64::MAX)
    }

    /// Makes that replica ready. Then call [`next_in_line`](Self::next_in_line) until it returns
    /// `None`.
    pub(super) fn make_ready(&mut self, now: Nanos) {
        if let Some(Reverse((_, id))) = self.starts.pop() {
            self.starting -= 1;
            self.start_up = Some(now.since(self.replicas[id as usize].asked));
            self.become_ready(id);
        }
    }

    fn become_ready(&mut self, id: ReplicaId) {
        self.ready += 1;
        let replica = &mut self.replicas[id as usize];
        replica.phase = Phase::Ready;
        replica.place = Some(self.free.len());
        self.free.push(id);
    }

    fn add(&mut self, now: Nanos) -> ReplicaId {
        self.replicas.push(Replica {
            phase: Phase::Starting,
            load: 0,
            asked: now,
            place: None,
        });
        (self.replicas.len() - 1) as ReplicaId
    }

    fn remove(&mut self, id: ReplicaId, now: Nanos) {
        let replica = &mut self.replicas[id as usize];
        replica.phase = Phase::Gone;
        self.spent += u128::from(now.0 - replica.asked.0);
    }
}
