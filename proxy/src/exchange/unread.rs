//! The rest of a request's body that nobody wants any more.

use std::{cell::RefCell, time::Duration};

use h2::RecvStream;
use tokio::time::timeout;

/// The most bytes that are read of it.
const MOST: u64 = 1024 * 1024;
/// The longest time that reading it takes.
const LIMIT: Duration = Duration::from_secs(2);

/// What has not been read of the body of an HTTP/2 request that is answered already.
///
/// RFC 9113, section 8.1 allows a server to end the stream then, by RST_STREAM with NO_ERROR after
/// the whole response. But a caller that is still sending may lose the response to that: curl 7.88
/// does, with exit code 92. So the rest of a small body is read, and the caller ends the stream.
#[derive(Debug, Default)]
pub struct Unread(RefCell<Option<RecvStream>>);

impl Unread {
    /// Keeps `stream` if it is small enough to be read; `announced`: how many bytes are to come.
    pub fn keep(&self, stream: RecvStream, announced: Option<u64>) {
        if announced.is_none_or(|bytes| bytes <= MOST) {
            self.0.replace(Some(stream));
        }
    }

    /// Reads the rest, within bounds.
    pub async fn discard(&self) {
        let Some(mut stream) = self.0.take() else {
            return;
        };
        let reading = async {
            let mut left = MOST;
            while let Some(Ok(piece)) = stream.data().await {
                let _ = stream.flow_control().release_capacity(piece.len());
                left = left.saturating_sub(piece.len() as u64);
                if left == 0 {
                    return;
                }
            }
        };
        let _ = timeout(LIMIT, reading).await;
    }
}
