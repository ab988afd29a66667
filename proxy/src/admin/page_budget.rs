//! The memory of pages that are rendered and not sent yet. A page of 1,000 models has several
//! megabytes, and whoever reads it slowly, or not at all, keeps all of it in memory.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use metrics::{Counter, counter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error;

/// Most bytes at once.
const MOST: u32 = 32 << 20;
/// At most the memory that the process may have, divided by this.
const SHARE: u64 = 16;
/// `Retry-After` of a page that does not fit, in seconds. Most are read within moments; those that
/// nobody reads end with their connections, after half a minute or a minute.
const RETRY_AFTER: u64 = 5;

/// The budget of all connections.
pub(super) struct PageBudget {
    /// A permit a byte.
    free: Arc<Semaphore>,
    most: u32,
    refused: Counter,
}

/// A page's part of the budget. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct PageBytes {
    _part: OwnedSemaphorePermit,
}

impl PageBudget {
    /// `memory` is what the process may have; `None`: it has no limit.
    pub(super) fn new(memory: Option<u64>) -> Self {
        let share = memory.and_then(|bytes| u32::try_from(bytes / SHARE).ok());
        let most = share.map_or(MOST, |share| share.min(MOST));
        Self {
            free: Arc::new(Semaphore::new(most as usize)),
            most,
            refused: counter!("tailback_admin_requests_refused_total", "reason" => "busy"),
        }
    }

    /// Reserves the memory of a page of this length. One that is larger than the budget takes all
    /// of it, so it fits when nothing else is being sent. `None`: it does not fit.
    pub(super) fn reserve(&self, length: u64) -> Option<PageBytes> {
        let length = u32::try_from(length).map_or(self.most, |length| length.min(self.most));
        let part = self.free.clone().try_acquire_many_owned(length);
        part.ok().map(|part| PageBytes { _part: part })
    }

    /// The answer in place of a page that does not fit, which is counted.
    pub(super) fn reject(&self) -> Response<Bytes> {
        self.refused.increment(1);
        let message = format!(
            "the pages that were asked for here and are not read yet have the {} KiB that they may \
             have: read them to their end or close their connections, and try again",
            self.most / 1024
        );
        let mut refused = error(StatusCode::SERVICE_UNAVAILABLE, &message);
        let seconds = HeaderValue::from(RETRY_AFTER);
        refused.headers_mut().insert(header::RETRY_AFTER, seconds);
        refused
    }
}

impl PageBytes {
    /// The bytes of the page, which give its part back when the last piece of them is sent or
    /// dropped. Until then all of them are in memory.
    pub(super) fn kept_for(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Kept { bytes, _part: self })
    }
}

struct Kept {
    bytes: Bytes,
    _part: PageBytes,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_fit_up_to_the_budget_and_one_always_does() {
        let budget = PageBudget::new(Some(100 * SHARE));
        let one = budget.reserve(60).unwrap();
        assert!(budget.reserve(41).is_none());
        let refused = budget.reject();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "5");
        let other = budget.reserve(40).unwrap();
        assert!(budget.reserve(1).is_none());
        assert!(budget.reserve(0).is_some(), "it takes no memory");
        drop((one, other));
        let large = budget.reserve(u64::MAX).unwrap();
        assert!(budget.reserve(1).is_none());
        drop(large);
        assert!(budget.reserve(100).is_some());
    }

    #[test]
    fn the_budget_is_a_share_of_the_memory_and_has_an_end() {
        for (memory, most) in [
            (None, MOST),
            (Some(200 << 20), (200 << 20) / 16),
            (Some(1 << 30), MOST),
            (Some(u64::MAX), MOST),
        ] {
            assert_eq!(PageBudget::new(memory).most, most, "{memory:?}");
        }
    }

    #[test]
    fn a_page_keeps_its_part_until_its_last_piece_is_gone() {
        let budget = PageBudget::new(Some(100 * SHARE));
        let mut page = budget.reserve(100).unwrap().kept_for(vec![7; 100].into());
        let piece = page.split_to(10);
        assert_eq!(piece, [7; 10].as_slice());
        drop(page);
        assert!(budget.reserve(1).is_none());
        drop(piece);
        assert!(budget.reserve(100).is_some());
    }
}
