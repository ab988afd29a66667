//! The last traced request in each bucket of a histogram, for scrapers that request exemplars.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering, fence},
    },
    time::SystemTime,
};

use tailback_scaler::ledger::SpanRef;

/// How often a read is retried while the exemplar is being written.
const TRIES: usize = 8;

/// The exemplars of one histogram. Until the first traced request they take no memory and no time.
#[derive(Debug, Default)]
pub(super) struct Exemplars(OnceLock<Box<[LastTraced]>>);

/// A traced request as the exemplar of its bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub trace: u128,
    /// In the unit of the histogram's values.
    pub value: f64,
    /// In milliseconds since 1970 (UTC).
    pub at: u64,
}

/// The last traced request of a bucket. It is a sequence lock: writers never wait, and a read that
/// overlaps with a write is repeated (Boehm, "Can seqlocks get along with programming language
/// memory models?", 2012).
#[derive(Debug, Default)]
struct LastTraced {
    /// 0: no request so far. Odd: a write is in progress.
    version: AtomicU64,
    trace: [AtomicU64; 2],
    /// The bits of the value.
    value: AtomicU64,
    at: AtomicU64,
}

impl Exemplars {
    /// Records a traced request with `value`, which belongs to the bucket `bucket` of `buckets`.
    #[cold]
    pub(super) fn record(&self, span: &SpanRef, value: f64, bucket: usize, buckets: usize) {
        let all = self
            .0
            .get_or_init(|| (0..buckets).map(|_| LastTraced::default()).collect());
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        if let Some(last) = all.get(bucket) {
            last.set(&Exemplar {
                trace: span.trace,
                value,
                at: since_1970.as_millis() as u64,
            });
        }
    }

    /// The exemplar of each bucket; empty if no request was traced.
    pub(super) fn read(&self) -> Vec<Option<Exemplar>> {
        let all = self.0.get().map(|all| &**all).unwrap_or_default();
        all.iter().map(LastTraced::get).collect()
    }
}

impl LastTraced {
    fn set(&self, exemplar: &Exemplar) {
        let version = self.version.load(Ordering::Relaxed);
        let begun = version.is_multiple_of(2)
            && self
                .version
                .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !begun {
            // Another request is being written, which is as recent.
            return;
        }
        fence(Ordering::Release);
        self.trace[0].store((exemplar.trace >> 64) as u64, Ordering::Relaxed);
        self.trace[1].store(exemplar.trace as u64, Ordering::Relaxed);
        self.value
            .store(exemplar.value.to_bits(), Ordering::Relaxed);
        self.at.store(exemplar.at, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }

    fn get(&self) -> Option<Exemplar> {
        (0..TRIES).find_map(|_| self.try_get()).flatten()
    }

    /// `None`: a write is in progress.
    fn try_get(&self) -> Option<Option<Exemplar>> {
        let version = self.version.load(Ordering::Acquire);
        match version {
            0 => return Some(None),
            odd if odd % 2 == 1 => return None,
            _ => {}
        }
        let [high, low] = [0, 1].map(|i| u128::from(self.trace[i].load(Ordering::Relaxed)));
        let exemplar = Exemplar {
            trace: high << 64 | low,
            value: f64::from_bits(self.value.load(Ordering::Relaxed)),
            at: self.at.load(Ordering::Relaxed),
        };
        fence(Ordering::Acquire);
        (self.version.load(Ordering::Relaxed) == version).then_some(Some(exemplar))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, AtomicU32},
        thread,
    };

    use super::*;

    fn span(trace: u128) -> SpanRef {
        SpanRef { trace, span: 1 }
    }

    #[test]
    fn each_bucket_has_its_last_traced_request_and_nothing_without_any() {
        let exemplars = Exemplars::default();
        assert!(exemplars.read().is_empty());
        exemplars.record(&span(1), 0.5, 1, 3);
        exemplars.record(&span(2), 0.6, 1, 3);
        exemplars.record(&span(3), 9.0, 2, 3);
        let found = exemplars.read();
        let found: Vec<_> = found
            .iter()
            .map(|own| own.map(|own| (own.trace, own.value)))
            .collect();
        assert_eq!(found, [None, Some((2, 0.6)), Some((3, 9.0))]);
    }

    #[test]
    fn a_reading_is_never_a_mixture_of_two_requests() {
        const READINGS: u32 = if cfg!(miri) { 50 } else { 10_000 };
        let (exemplars, over) = (Exemplars::default(), AtomicBool::new(false));
        let read = AtomicU32::new(0);
        thread::scope(|scope| {
            for writer in 1..=2_u64 {
                let (exemplars, over) = (&exemplars, &over);
                scope.spawn(move || {
                    let mut n = writer;
                    while !over.load(Ordering::Relaxed) {
                        n += 2;
                        let trace = u128::from(n) << 64 | u128::from(n);
                        exemplars.record(&span(trace), n as f64, 0, 1);
                    }
                });
            }
            while read.load(Ordering::Relaxed) < READINGS {
                let Some(Some(found)) = exemplars.read().first().copied() else {
                    thread::yield_now();
                    continue;
                };
                read.fetch_add(1, Ordering::Relaxed);
                let halves = [found.trace >> 64, found.trace & u128::from(u64::MAX)];
                let all = [found.value as u128, halves[0]];
                if halves[0] != halves[1] || all[0] != all[1] {
                    over.store(true, Ordering::Relaxed);
                    panic!("a mixture: {found:?}");
                }
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
