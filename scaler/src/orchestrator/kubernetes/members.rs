//! The replicas of a Service's endpoints. A replica is kept over all changes of the slices, with
//! its count of requests in flight.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use super::endpoints::{EndpointPhase, FoundEndpoint, Pod};
use crate::{clock::Nanos, replica::Replica};

/// How long an endpoint may be in no slice before it counts as gone: it may be moving from one
/// slice to another.
const MOVES: Duration = Duration::from_secs(10);

/// Identifies an endpoint by pod, address and gRPC address. A pod with a new address is another
/// endpoint.
type Key = (Option<Pod>, String, Option<String>);

#[derive(Debug)]
struct Member {
    replica: Arc<Replica>,
    phase: EndpointPhase,
    /// Since when it is in no slice; `None`: it is in one.
    missing: Option<Nanos>,
}

/// All endpoints with their replicas.
#[derive(Debug, Default)]
pub(super) struct Members {
    members: BTreeMap<Key, Member>,
    /// Replicas that are closed and in no slice, and still have requests in flight.
    leaving: Vec<Arc<Replica>>,
}

/// A pod that takes requests, and its replica.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub pod: Option<Pod>,
    pub replica: Arc<Replica>,
}

impl Members {
    /// Takes the present endpoints. Returns how many of them have become ready.
    pub(super) fn update(
        &mut self,
        found: Vec<FoundEndpoint>,
        server: &str,
        concurrency: Option<u32>,
        now: Nanos,
    ) -> u32 {
        for member in self.members.values_mut() {
            member.missing = member.missing.or(Some(now));
        }
        let mut got_ready = 0;
        for one in found {
            let key = (one.pod, one.authority, one.grpc);
            let new = || Arc::new(replica(&key, server, concurrency));
            let member = self.members.entry(key.clone()).or_insert_with(|| Member {
                replica: new(),
                phase: EndpointPhase::NotReady,
                missing: None,
            });
            member.missing = None;
            match one.phase {
                EndpointPhase::Terminating => close(&member.replica),
                // A terminating pod never comes back, but an address without a pod may.
                EndpointPhase::Ready | EndpointPhase::NotReady if member.replica.is_closed() => {
                    self.leaving.push(mem::replace(&mut member.replica, new()));
                }
                EndpointPhase::Ready | EndpointPhase::NotReady => {}
            }
            if one.phase == EndpointPhase::Ready && member.phase != EndpointPhase::Ready {
                got_ready += 1;
            }
            member.phase = one.phase;
        }
        self.tidy(now);
        got_ready
    }

    /// Forgets endpoints that have gone. Returns whether the state still changes with time alone.
    pub(super) fn tidy(&mut self, now: Nanos) -> Waiting {
        let leaving = &mut self.leaving;
        self.members.retain(|_, member| match member.missing {
            // A terminating endpoint in no slice has gone; any other may be moving.
            Some(since)
                if member.phase == EndpointPhase::Terminating || now.since(since) >= MOVES =>
            {
                close(&member.replica);
                leaving.push(member.replica.clone());
                false
            }
            _ => true,
        });
        leaving.retain(|replica| replica.in_flight() > 0);
        let missing = self.members.values().any(|m| m.missing.is_some());
        match missing || !self.leaving.is_empty() {
            true => Waiting::Yes,
            false => Waiting::No,
        }
    }

    /// Sets how many requests each replica takes at once; `None`: any number.
    pub(super) fn set_concurrency(&self, concurrency: Option<u32>) {
        for member in self.members.values() {
            member.replica.set_concurrency(concurrency);
        }
    }

    /// The endpoints that take requests.
    pub(super) fn ready(&self) -> Vec<Running> {
        let ready = self
            .members
            .iter()
            .filter(|(_, member)| member.phase == EndpointPhase::Ready && member.missing.is_none());
        ready
            .map(|((pod, ..), member)| Running {
                pod: pod.clone(),
                replica: member.replica.clone(),
            })
            .collect()
    }

    /// How many endpoints are draining.
    pub(super) fn draining(&self) -> u32 {
        let going = self.members.values().filter(|member| {
            let busy = member.replica.in_flight() > 0;
            member.phase == EndpointPhase::Terminating || (member.missing.is_some() && busy)
        });
        u32::try_from(going.count() + self.leaving.len()).unwrap_or(u32::MAX)
    }
}

/// Whether the state changes with time alone, so that [`Members::tidy`] must be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Yes,
    No,
}

fn close(replica: &Replica) {
    if !replica.is_closed() {
        let in_flight = replica.in_flight();
        tracing::info!(%replica, in_flight, "replica is draining: it takes no new requests");
        replica.close();
    }
}

fn replica((pod, authority, grpc): &Key, server: &str, concurrency: Option<u32>) -> Replica {
    let name = pod.as_ref().map_or(server, |pod| &pod.name);
    Replica::new(name, authority, concurrency).with_grpc(grpc.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pod: &str, phase: EndpointPhase) -> FoundEndpoint {
        FoundEndpoint {
            pod: Some(Pod {
                name: pod.into(),
                uid: format!("u-{pod}"),
            }),
            authority: format!("{pod}:80"),
            grpc: None,
            phase,
        }
    }

    fn at(seconds: u64) -> Nanos {
        Nanos::from_duration(Duration::from_secs(seconds))
    }

    fn update(members: &mut Members, found: &[FoundEndpoint], seconds: u64) -> u32 {
        members.update(found.to_vec(), "s", Some(2), at(seconds))
    }

    #[test]
    fn a_replica_outlives_every_change_with_its_requests() {
        let mut members = Members::default();
        assert_eq!(
            update(&mut members, &[found("a", EndpointPhase::Ready)], 0),
            1
        );
        let replica = members.ready()[0].replica.clone();
        assert!(replica.try_take());
        for (phase, ready) in [(EndpointPhase::NotReady, 0), (EndpointPhase::Ready, 1)] {
            update(&mut members, &[found("a", phase)], 1);
            assert_eq!(members.ready().len(), ready);
        }
        update(&mut members, &[], 2);
        assert!(
            members.ready().is_empty() && !replica.is_closed(),
            "it moves"
        );
        assert_eq!(
            update(&mut members, &[found("a", EndpointPhase::Ready)], 3),
            0,
            "still"
        );
        assert!(Arc::ptr_eq(&members.ready()[0].replica, &replica));
        assert_eq!(replica.in_flight(), 1);
    }

    #[test]
    fn one_that_goes_finishes_what_it_has_and_gets_nothing_new() {
        let mut members = Members::default();
        update(&mut members, &[found("a", EndpointPhase::Ready)], 0);
        let replica = members.ready()[0].replica.clone();
        assert!(replica.try_take());
        update(&mut members, &[found("a", EndpointPhase::Terminating)], 1);
        assert!(members.ready().is_empty() && !replica.try_take());
        assert_eq!(members.draining(), 1);
        update(&mut members, &[], 2);
        assert_eq!(members.draining(), 1, "its request goes on");
        replica.release();
        assert_eq!(members.tidy(at(3)), Waiting::No);
        assert_eq!(members.draining(), 0);
    }

    #[test]
    fn one_that_vanished_is_closed_after_a_while() {
        let mut members = Members::default();
        update(&mut members, &[found("a", EndpointPhase::Ready)], 0);
        let replica = members.ready()[0].replica.clone();
        update(&mut members, &[], 1);
        assert_eq!(members.tidy(at(10)), Waiting::Yes);
        assert!(!replica.is_closed());
        assert_eq!(members.tidy(at(11)), Waiting::No);
        assert!(replica.is_closed());
    }

    #[test]
    fn an_address_that_comes_back_is_a_new_replica() {
        let mut members = Members::default();
        let bare = |phase| FoundEndpoint {
            pod: None,
            ..found("a", phase)
        };
        update(&mut members, &[bare(EndpointPhase::Ready)], 0);
        let first = members.ready()[0].replica.clone();
        assert!(first.try_take());
        update(&mut members, &[bare(EndpointPhase::Terminating)], 1);
        assert_eq!(update(&mut members, &[bare(EndpointPhase::Ready)], 2), 1);
        assert!(!Arc::ptr_eq(&members.ready()[0].replica, &first));
        assert_eq!(members.draining(), 1);
    }
}
