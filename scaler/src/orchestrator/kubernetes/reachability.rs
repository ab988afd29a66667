//! Tracks whether the API server answers, for all of its clients in this process. An outage is
//! logged once when it begins and once when it ends. Watches that wait to retry do so as soon as
//! any client gets a response.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// An outage is logged once it has lasted this long: a single broken connection is normal.
const LASTING: Duration = Duration::from_secs(1);
/// Failures further apart than this are not one outage: clients retry sooner.
const APART: Duration = Duration::from_secs(15);

/// The state of the current outage, if there is one.
#[derive(Debug)]
pub(crate) struct Reachability {
    outage: Mutex<Option<Outage>>,
    /// How many outages have ended, logged or not.
    over: watch::Sender<u64>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    last: Instant,
    warned: bool,
}

impl Default for Reachability {
    fn default() -> Self {
        Self {
            outage: Mutex::default(),
            over: watch::Sender::new(0),
        }
    }
}

impl Reachability {
    /// Notes a response from the API server, even an error response. Ends an outage.
    pub(crate) fn answered(&self) {
        let outage = self.lock().take();
        let Some(outage) = outage else { return };
        if outage.warned {
            let seconds = outage.since.elapsed().as_secs();
            tracing::info!("the Kubernetes API answers again, after {seconds} s");
        }
        self.over.send_modify(|over| *over += 1);
    }

    /// Notes that the API server did not answer, and why.
    pub(crate) fn failed(&self, why: &str) {
        let now = Instant::now();
        let mut outage = self.lock();
        let fresh = Outage {
            since: now,
            last: now,
            warned: false,
        };
        let outage = match &mut *outage {
            Some(known) if known.warned || now - known.last < APART => known,
            other => other.insert(fresh),
        };
        outage.last = now;
        if !outage.warned && now - outage.since >= LASTING {
            outage.warned = true;
            tracing::warn!(
                "the Kubernetes API cannot be reached: {why}. Requests go on to the known replicas; counts stay as they are \
                 until it answers again"
            );
        }
    }

    /// Resolves when the current outage ends, or the next one if there is none now. An end between
    /// this call and the first poll counts.
    pub(crate) fn back(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.subscribe();
        async move {
            if over.changed().await.is_err() {
                // The sender is gone: it will never answer.
                std::future::pending().await
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Outage>> {
        // Plain data: consistent even if a writer panicked.
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(reach: &Reachability) -> Option<bool> {
        reach.lock().as_ref().map(|outage| outage.warned)
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_outage_that_lasts_is_logged_and_its_end_wakes_waiting_clients() {
        let reach = Reachability::default();
        reach.failed("a");
        reach.failed("b");
        assert_eq!(warned(&reach), Some(false), "at one moment");
        tokio::time::advance(2 * APART).await;
        reach.failed("another one");
        assert_eq!(warned(&reach), Some(false));
        tokio::time::advance(LASTING).await;
        reach.failed("still");
        assert_eq!(warned(&reach), Some(true));
        let waits = reach.back();
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
        reach.answered();
        assert_eq!(warned(&reach), None);
        waits.await;
        reach.failed("again");
        let before = reach.back();
        reach.answered();
        before.await;
        let next = reach.back();
        tokio::pin!(next);
        reach.answered();
        assert!(
            futures_util::poll!(&mut next).is_pending(),
            "there was no outage"
        );
    }
}
