//! The rest of a request's body that is no longer needed.

use std::{cell::RefCell, future::poll_fn, time::Duration};

use tokio::time::timeout;

use crate::http2::ReceiveStream;

/// Most bytes of it that are read.
const MOST: u64 = 1024 * 1024;
/// The longest time spent reading it.
const LIMIT: Duration = Duration::from_secs(2);

/// The unread rest of the body of an HTTP/2 request that has been answered.
///
/// RFC 9113, section 8.1 allows a server to end the stream then, by RST_STREAM with NO_ERROR after
/// the whole response. But a caller that is still sending may lose the response to that: curl 7.88
/// does, with exit code 92. So the rest of a small body is read, and the caller ends the stream.
#[derive(Debug, Default)]
pub struct Unread(RefCell<Option<ReceiveStream>>);

impl Unread {
    /// Keeps `stream` if its rest is small enough to be read.
    pub fn keep(&self, stream: ReceiveStream) {
        if stream.left().is_none_or(|bytes| bytes <= MOST) {
            self.0.replace(Some(stream));
        }
    }

    /// Reads the rest, within these limits.
    pub async fn discard(&self) {
        let Some(mut stream) = self.0.take() else {
            return;
        };
        let reading = async {
            let mut left = MOST;
            while let Some(Ok(frame)) = poll_fn(|cx| stream.poll_frame(cx)).await {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                left = left.saturating_sub(bytes);
                if left == 0 {
                    return;
                }
            }
        };
        let _ = timeout(LIMIT, reading).await;
    }
}
