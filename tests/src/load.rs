//! Load on a model while a test does something else.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use crate::http::Client;

/// Largest number of callers.
const MOST: u32 = 24;

/// The results of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Answered with 200.
    pub answered: u64,
    /// All other requests.
    pub failed: u64,
}

/// Ends the load when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `during` while callers send inferences with `body` to `model`, each one after the other.
/// `callers` is their number, up to 24, which may change.
///
/// # Panics
/// If `during` does, or if there is no connection to the proxy.
pub fn under_load(
    proxy: SocketAddr,
    model: &str,
    body: &[u8],
    callers: &AtomicU32,
    during: impl FnOnce(),
) -> Load {
    let (answered, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let path = format!("/v2/models/{model}/infer");
    thread::scope(|scope| {
        for number in 0..MOST {
            let (answered, failed, over, path) = (&answered, &failed, &over, &path);
            scope.spawn(move || {
                let mut connection = None;
                while !over.load(Ordering::Relaxed) {
                    if number >= callers.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    let client = connection.get_or_insert_with(|| {
                        Client::connect(proxy).expect("a connection to the proxy")
                    });
                    match client.call("POST", path, &[], body) {
                        Ok(response) if response.status == 200 => {
                            answered.fetch_add(1, Ordering::Relaxed);
                            if response.header("connection") == Some("close") {
                                connection = None;
                            }
                        }
                        other => {
                            eprintln!("failed: {other:?}");
                            failed.fetch_add(1, Ordering::Relaxed);
                            connection = None;
                        }
                    }
                }
            });
        }
        let _over = Over(&over);
        during();
    });
    Load {
        answered: answered.into_inner(),
        failed: failed.into_inner(),
    }
}
