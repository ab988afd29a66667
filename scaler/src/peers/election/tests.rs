//! Candidates on a virtual clock, and an API server that is slow, loses requests and responses,
//! and is away for a while.

use proptest::prelude::*;

use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn at(n: u64) -> Nanos {
    Nanos::from_duration(ms(n))
}

fn held_by(holder: &str, stamp: u64) -> LeaseRecord {
    LeaseRecord {
        holder: holder.into(),
        duration: TIMES.lease,
        stamp: stamp.to_string(),
    }
}

#[test]
fn a_lease_is_free_once_it_has_not_changed_for_its_duration_on_our_clock() {
    let mut me = Election::new("me".into(), TIMES);
    me.saw(None, at(0));
    assert_eq!(me.step(at(0)), ElectionStep::Create);
    me.saw(Some(held_by("other", 1)), at(100));
    me.saw(Some(held_by("other", 1)), at(5000));
    assert_eq!(me.step(at(5099)), ElectionStep::Wait);
    assert_eq!(me.step(at(5100)), ElectionStep::TakeOver);
    me.saw(Some(held_by("other", 2)), at(5200));
    assert_eq!(
        (me.step(at(10_000)), me.holder()),
        (ElectionStep::Wait, Some("other"))
    );
    me.saw(Some(held_by("", 3)), at(10_001));
    assert_eq!(
        (me.step(at(10_001)), me.holder()),
        (ElectionStep::TakeOver, None)
    );
}

#[test]
fn who_cannot_renew_steps_down_before_the_lease_is_free() {
    let mut me = Election::new("me".into(), TIMES);
    me.wrote(held_by("me", 1), at(1000));
    assert!(me.leads(at(3999)) && !me.leads(at(4000)));
    assert_eq!(
        me.step(at(4000)),
        ElectionStep::Renew,
        "it may still have it"
    );
    // A late response counts from when its request was sent.
    me.wrote(held_by("me", 2), at(2000));
    assert!(me.leads(at(4999)) && !me.leads(at(5000)));
    me.saw(Some(held_by("other", 3)), at(3000));
    assert!(!me.leads(at(3000)), "somebody took it");
}

/// The API server's one Lease.
#[derive(Default)]
struct Store {
    lease: Option<(LeaseRecord, u64)>,
    writes: u64,
}

/// A request in the network: when it is carried out, and when its response arrives; neither if it
/// is lost.
#[derive(Clone)]
struct LeaseRequest {
    sent: Nanos,
    write: Option<Option<u64>>,
    carried_out: Option<u64>,
    answered: Option<u64>,
    answer: Option<Result<Option<(LeaseRecord, u64)>, ()>>,
}

struct LeaderElector {
    name: &'static str,
    election: Election,
    call: Option<LeaseRequest>,
    /// The version last read.
    version: Option<u64>,
    next: u64,
    dead: bool,
}

/// The state of a candidate's network during one second.
#[derive(Clone, Copy, Debug)]
struct Weather {
    there: Option<u64>,
    back: Option<u64>,
    pauses: bool,
}

fn weather() -> impl Strategy<Value = Weather> {
    let delay = || prop_oneof![3 => (1..50u64).prop_map(Some), 1 => (50..4000u64).prop_map(Some), 1 => Just(None)];
    (delay(), delay(), prop::bool::weighted(0.1)).prop_map(|(there, back, pauses)| Weather {
        there,
        back,
        pauses,
    })
}

impl LeaderElector {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            election: Election::new(name.into(), TIMES),
            call: None,
            version: None,
            next: 0,
            dead: false,
        }
    }

    fn send(&mut self, now: u64, write: Option<Option<u64>>, weather: Weather) {
        let carried_out = weather.there.map(|delay| now + delay);
        self.call = Some(LeaseRequest {
            sent: at(now),
            write,
            carried_out,
            answered: carried_out
                .zip(weather.back)
                .map(|(there, back)| there + back),
            answer: None,
        });
    }

    fn turn(&mut self, now: u64, store: &mut Store, weather: Weather) {
        if self.dead {
            return;
        }
        let Some(call) = &mut self.call else {
            if now >= self.next {
                self.send(now, None, weather);
            }
            return;
        };
        if call.answer.is_none() && call.carried_out.is_some_and(|then| now >= then) {
            let found = store.lease.as_ref().map(|(_, version)| *version);
            call.answer = Some(match call.write {
                None => Ok(store.lease.clone()),
                Some(version) if version == found => {
                    store.writes += 1;
                    store.lease = Some((held_by(self.name, store.writes), store.writes));
                    Ok(store.lease.clone())
                }
                Some(_) => Err(()),
            });
        }
        // A paused process reads the response later, while its clock goes on.
        if weather.pauses {
            return;
        }
        let timed_out = at(now).since(call.sent) >= TIMES.renew;
        if call.answered.is_none_or(|then| now < then) && !timed_out {
            return;
        }
        let call = self.call.take().unwrap();
        self.next = now + 1000;
        if call.answered.is_none_or(|then| now < then) {
            return;
        }
        match (call.write, call.answer) {
            (None, Some(Ok(found))) => {
                self.version = found.as_ref().map(|(_, version)| *version);
                self.election.saw(found.map(|(record, _)| record), at(now));
                if self.election.step(at(now)) != ElectionStep::Wait {
                    self.send(now, Some(self.version), weather);
                }
            }
            (Some(_), Some(Ok(Some((record, _))))) => self.election.wrote(record, call.sent),
            _ => {}
        }
    }
}

fn leaders(candidates: &[LeaderElector], now: u64) -> Vec<&'static str> {
    let leads = |c: &&LeaderElector| !c.dead && c.election.leads(at(now));
    candidates.iter().filter(leads).map(|c| c.name).collect()
}

proptest! {
    #[test]
    fn two_never_lead_at_once_whatever_the_network_does(
        seconds in prop::collection::vec([weather(), weather(), weather()], 60),
    ) {
        let mut store = Store::default();
        let mut candidates = ["a", "b", "c"].map(LeaderElector::new);
        for now in (0..60_000).step_by(20) {
            for (candidate, weather) in candidates.iter_mut().zip(seconds[now as usize / 1000]) {
                candidate.turn(now, &mut store, weather);
            }
            let leaders = leaders(&candidates, now);
            prop_assert!(leaders.len() <= 1, "{leaders:?} lead at {now} ms");
        }
    }

    #[test]
    fn whoever_leads_and_dies_another_leads_within_the_lease_and_a_try(died in 2_000..20_000u64) {
        let fair = Weather { there: Some(5), back: Some(5), pauses: false };
        let mut store = Store::default();
        let mut candidates = ["a", "b", "c"].map(LeaderElector::new);
        for now in 0..died + 6_100 {
            candidates.iter_mut().for_each(|c| c.turn(now, &mut store, fair));
            if now == died {
                let leader = leaders(&candidates, now)[0];
                candidates.iter_mut().filter(|c| c.name == leader).for_each(|c| c.dead = true);
            }
        }
        prop_assert_eq!(leaders(&candidates, died + 6_100).len(), 1);
    }
}
