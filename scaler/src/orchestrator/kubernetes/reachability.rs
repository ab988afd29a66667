//! Whether the API server answers. All who ask it notice an outage at the same
//! time: it is said once when it begins, and once when it is over; and whoever
//! waits to ask again does so as soon as anybody got an answer.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

/// Connections break, and one failure is nothing: it is said once it lasts.
const LASTING: Duration = Duration::from_secs(1);
/// Failures that are further apart are no outage: who fails asks again sooner.
const APART: Duration = Duration::from_secs(15);

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Reachability {
    outage: Mutex<Option<Outage>>,
    /// How many outages, said or not, are over.
    over: watch::Sender<u64>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    last: Instant,
    said: bool,
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
    /// The API server answered somebody, be it with a refusal.
    pub(crate) fn answered(&self) {
        let outage = self.lock().take();
        let Some(outage) = outage else { return };
        if outage.said {
            let seconds = outage.since.elapsed().as_secs();
            tracing::info!("the Kubernetes API answers again, after {seconds} s");
        }
        self.over.send_modify(|over| *over += 1);
    }

    /// The API server did not answer.
    pub(crate) fn failed(&self, why: &str) {
        let now = Instant::now();
        let mut outage = self.lock();
        let fresh = Outage {
            since: now,
            last: now,
            said: false,
        };
        let outage = match &mut *outage {
            Some(known) if known.said || now - known.last < APART => known,
            other => other.insert(fresh),
        };
        outage.last = now;
        if !outage.said && now - outage.since >= LASTING {
            outage.said = true;
            tracing::warn!(
                "the Kubernetes API cannot be reached: {why}. What runs goes on serving, and counts stay as they are, \
                 until it answers again"
            );
        }
    }

    /// The end of the outage that goes on, or of the next one: from this call on, whenever it
    /// is waited for.
    pub(crate) fn back(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.over.subscribe();
        async move {
            if over.changed().await.is_err() {
                // The cluster is gone, and nobody will answer.
                std::future::pending().await
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Outage>> {
        // Plain data: whole even if a writer panicked.
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reach: &Reachability) -> Option<bool> {
        reach.lock().as_ref().map(|outage| outage.said)
    }

    #[tokio::test(start_paused = true)]
    async fn only_an_outage_that_lasts_is_said_and_its_end_wakes_who_waits() {
        let reach = Reachability::default();
        reach.failed("a");
        reach.failed("b");
        assert_eq!(said(&reach), Some(false), "at one moment");
        tokio::time::advance(2 * APART).await;
        reach.failed("another one");
        assert_eq!(said(&reach), Some(false));
        tokio::time::advance(LASTING).await;
        reach.failed("still");
        assert_eq!(said(&reach), Some(true));
        let waits = reach.back();
        tokio::pin!(waits);
        assert!(futures_util::poll!(&mut waits).is_pending());
        reach.answered();
        assert_eq!(said(&reach), None);
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
            "there was none"
        );
    }
}
