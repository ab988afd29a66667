//! Random histories of proxies that join, serve, lose the connection, restart and go.

use proptest::prelude::*;

use super::*;

const MODEL: &str = "m";

fn at(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, index as u8 + 1], 9006))
}

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// The true state of a proxy.
#[derive(Clone, Debug, Default)]
struct Proxy {
    start: u32,
    /// Since this start.
    at: u64,
    counts: Counts,
    /// Updates that were sent since this start, oldest first.
    lines: Vec<CountsUpdate>,
    connected: bool,
}

impl Proxy {
    fn in_flight(&self) -> u64 {
        self.counts.arrived - self.counts.completed
    }

    fn pass(&mut self, ns: u64) {
        self.at += ns;
        self.counts.request_ns += self.in_flight() * ns;
    }

    fn line(&mut self, index: usize) -> CountsUpdate {
        let line = CountsUpdate {
            instance: format!("{index}-{}", self.start),
            at: self.at,
            leads: false,
            models: [(MODEL.to_owned(), Some(self.counts.clone()))].into(),
        };
        self.lines.push(line.clone());
        line
    }
}

#[derive(Clone, Debug)]
enum Event {
    Arrive(u64),
    Complete(u64),
    Hold,
    CountsUpdate,
    /// An update that a later one has overtaken.
    Stale,
    Break,
    /// The proxy restarts; its requests end.
    Restart,
    Unlist,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..20u64).prop_map(Event::Arrive),
        4 => (1..20u64).prop_map(Event::Complete),
        1 => Just(Event::Hold),
        6 => Just(Event::CountsUpdate),
        1 => Just(Event::Stale),
        1 => Just(Event::Break),
        1 => Just(Event::Restart),
        1 => Just(Event::Unlist),
        2 => (1..5_000u64).prop_map(Event::Pass),
    ]
}

fn counts(line: &CountsUpdate) -> &Counts {
    line.models[MODEL].as_ref().unwrap()
}

proptest! {
    #[test]
    fn in_flight_is_always_what_proxies_reported_and_nothing_looks_like_a_burst(
        events in prop::collection::vec((0..3usize, event()), 1..200),
    ) {
        let mut now = Nanos::from_duration(secs(1000));
        let mut proxies = [(); 3].map(|()| Proxy::default());
        let mut peers = PeerCounts::new("own".into());
        // A history's view: the sum without the corrections.
        let (mut correction, mut progress) = (Reading::default(), Reading::default());
        let mut before = Reading::default();
        // Arrivals reported on unbroken connections.
        let mut announced = 0u64;
        // By instance: the last counts of proxies that were not given up.
        let mut reported = BTreeMap::<String, (Counts, Option<Nanos>)>::new();
        for (index, event) in events {
            let proxy = &mut proxies[index];
            match event {
                Event::Arrive(n) => proxy.counts.arrived += n,
                Event::Complete(n) => {
                    proxy.counts.completed += n.min(proxy.in_flight());
                    proxy.counts.held = proxy.counts.held.min(proxy.in_flight());
                }
                Event::Hold => proxy.counts.held = proxy.in_flight(),
                Event::CountsUpdate => {
                    let line = proxy.line(index);
                    let [.., previous, _] = &proxy.lines[..] else {
                        prop_assert_eq!(peers.apply(at(index), line.clone(), now), UpdateResult::Counted);
                        // Another instance appears at this address before the first is gone.
                        reported.retain(|instance, _| {
                            !instance.starts_with(&format!("{index}-"))
                        });
                        reported.insert(line.instance.clone(), (counts(&line).clone(), None));
                        proxy.connected = true;
                        continue;
                    };
                    if proxy.connected {
                        announced += counts(&line).arrived - counts(previous).arrived;
                    }
                    prop_assert_eq!(peers.apply(at(index), line.clone(), now), UpdateResult::Counted);
                    reported.insert(line.instance.clone(), (counts(&line).clone(), None));
                    proxy.connected = true;
                }
                Event::Stale => {
                    let overtaken = proxy.lines.first().cloned();
                    if let Some(line) = overtaken.filter(|line| {
                        reported.contains_key(&line.instance)
                            && proxy.lines.last().is_some_and(|last| line.at < last.at)
                    }) {
                        prop_assert_eq!(peers.apply(at(index), line, now), UpdateResult::Stale);
                    }
                }
                Event::Break => {
                    proxy.connected = false;
                    peers.lost(at(index), now);
                    for (instance, (_, lost)) in &mut reported {
                        if instance.starts_with(&format!("{index}-")) {
                            lost.get_or_insert(now);
                        }
                    }
                }
                Event::Restart => {
                    peers.lost(at(index), now);
                    for (instance, (_, lost)) in &mut reported {
                        if instance.starts_with(&format!("{index}-")) {
                            lost.get_or_insert(now);
                        }
                    }
                    let start = proxy.start + 1;
                    *proxy = Proxy { start, ..Proxy::default() };
                }
                Event::Unlist => {
                    let others = (0..3).filter(|&other| other != index).map(at).collect();
                    peers.listed(&others);
                    reported.retain(|instance, (_, lost)| {
                        !instance.starts_with(&format!("{index}-")) || lost.is_none()
                    });
                }
                Event::Pass(ms) => {
                    now = now + Duration::from_millis(ms);
                    proxies.iter_mut().for_each(|proxy| proxy.pass(ms * 1_000_000));
                    peers.pass(now);
                    reported.retain(|_, (_, lost)| lost.is_none_or(|lost| now.since(lost) < KEPT));
                }
            }
            let total = peers.total(MODEL);
            for (_, change) in peers.take_changes() {
                correction = correction.plus(&change.correction);
            }
            // In-flight is exactly the sum of the last counts of proxies that were not given up.
            let inside: u64 = reported.values().map(|(c, _)| c.arrived - c.completed).sum();
            prop_assert_eq!(total.in_flight(), inside);
            prop_assert_eq!(total.held, reported.values().map(|(c, _)| c.held).sum::<u64>());
            // The totals never decrease.
            prop_assert!(total.arrived >= before.arrived, "{:?} after {:?}", total, before);
            prop_assert!(total.completed >= before.completed, "{:?} after {:?}", total, before);
            before = total;
            // What looks as if it had just happened did just happen, no more and no less.
            let happened = total.minus(&correction);
            prop_assert!((happened.arrived.wrapping_sub(progress.arrived) as i64) >= 0);
            prop_assert!((happened.completed.wrapping_sub(progress.completed) as i64) >= 0);
            prop_assert_eq!(happened.arrived, announced);
            progress = happened;
        }
    }

    #[test]
    fn the_integral_of_the_sum_is_the_sum_of_the_integrals(
        steps in prop::collection::vec((0..3usize, 0..9u64, 0..9u64, 0..3_000u64), 1..100),
    ) {
        let mut now = Nanos::from_duration(secs(77));
        let mut proxies = [(); 3].map(|()| Proxy::default());
        let mut peers = PeerCounts::new("own".into());
        for (index, arrive, complete, ms) in steps {
            let proxy = &mut proxies[index];
            proxy.counts.arrived += arrive;
            proxy.counts.completed += complete.min(proxy.in_flight());
            let line = proxy.line(index);
            peers.apply(at(index), line, now);
            now = now + Duration::from_millis(ms);
            proxies.iter_mut().for_each(|proxy| proxy.pass(ms * 1_000_000));
            // Also between updates, as nothing has changed since the last one.
            let sum = Reading { at: now, ..peers.total(MODEL) };
            prop_assert_eq!(sum.integral(), proxies.iter().map(|p| p.counts.request_ns).sum::<u64>());
        }
    }
}

fn line(instance: &str, at: u64, arrived: u64, completed: u64) -> CountsUpdate {
    let counts = Counts {
        ledger: 1,
        arrived,
        completed,
        ..Counts::default()
    };
    CountsUpdate {
        instance: instance.into(),
        at,
        leads: false,
        models: [(MODEL.to_owned(), Some(counts))].into(),
    }
}

#[test]
fn we_are_no_peer_of_ours_and_a_peer_with_two_addresses_is_one() {
    let mut peers = PeerCounts::new("own".into());
    let now = Nanos::default();
    assert_eq!(
        peers.apply(at(0), line("own", 1, 5, 0), now),
        UpdateResult::Own
    );
    assert_eq!(
        peers.apply(at(1), line("a", 1, 5, 0), now),
        UpdateResult::Counted
    );
    assert_eq!(
        peers.apply(at(2), line("a", 2, 5, 0), now),
        UpdateResult::Duplicate
    );
    assert_eq!((peers.len(), peers.total(MODEL).in_flight()), (1, 5));
    // Its second address takes over where the first one is lost.
    peers.lost(at(1), now);
    assert_eq!(
        peers.apply(at(2), line("a", 3, 6, 0), now),
        UpdateResult::Counted
    );
    assert_eq!((peers.len(), peers.total(MODEL).in_flight()), (1, 6));
}

#[test]
fn a_lost_peer_counts_until_it_is_known_to_be_gone() {
    let lost = |gone: fn(&mut PeerCounts, Nanos)| {
        let mut peers = PeerCounts::new("own".into());
        let now = Nanos::from_duration(secs(5));
        peers.apply(at(0), line("a", 1, 9, 2), now);
        peers.lost(at(0), now);
        peers.pass(now + secs(59));
        peers.listed(&[at(0)].into());
        assert_eq!(peers.total(MODEL).in_flight(), 7);
        gone(&mut peers, now);
        peers
    };
    for (case, gone) in [
        (
            "time",
            (|p, now| p.pass(now + KEPT)) as fn(&mut PeerCounts, Nanos),
        ),
        ("not listed", |p, _| p.listed(&[at(1)].into())),
        ("another answers", |p, now| {
            p.apply(at(0), line("b", 1, 0, 0), now);
        }),
    ] {
        let total = lost(gone).total(MODEL);
        assert_eq!((total.arrived, total.completed), (9, 9), "{case}");
    }
    let mut back = lost(|p, now| {
        p.apply(at(0), line("a", 2, 10, 4), now + KEPT);
    });
    assert_eq!(back.total(MODEL).in_flight(), 6);
    let correction = back.take_changes()[MODEL].correction;
    assert_eq!(
        (correction.arrived, correction.completed),
        (10, 4),
        "no progress"
    );
}

#[test]
fn a_model_that_is_served_anew_begins_at_its_new_ledger() {
    let mut peers = PeerCounts::new("own".into());
    let now = Nanos::default();
    peers.apply(at(0), line("a", 1, 9, 2), now);
    peers.take_changes();
    let mut anew = line("a", 2, 3, 1);
    if let Some(Some(counts)) = anew.models.get_mut(MODEL) {
        counts.ledger = 2;
    }
    peers.apply(at(0), anew, now);
    let total = peers.total(MODEL);
    assert_eq!((total.arrived, total.in_flight()), (12, 2));
    let mut none = line("a", 3, 0, 0);
    none.models.insert(MODEL.to_owned(), None);
    peers.apply(at(0), none, now);
    assert_eq!(peers.total(MODEL).in_flight(), 0);
    assert_eq!(
        peers.take_changes()[MODEL].correction.in_flight() as i64,
        -7
    );
}

#[test]
fn who_leads_says_what_is_asked_for() {
    let mut peers = PeerCounts::new("own".into());
    let mut update = line("a", 1, 0, 0);
    update.leads = true;
    if let Some(Some(counts)) = update.models.get_mut(MODEL) {
        counts.desired = Some(4);
    }
    peers.apply(at(0), update, Nanos::default());
    assert_eq!(peers.take_changes()[MODEL].desired, Some(4));
    let follows = peers.apply(at(0), line("a", 2, 1, 0), Nanos::default());
    assert_eq!(follows, UpdateResult::StepsDown);
    assert_eq!(peers.take_changes()[MODEL].desired, None);
}
