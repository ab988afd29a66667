//! The load: callers that each send an inference, wait for the response, and send the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const BODY: &[u8] = include_bytes!("../infer.json");
const MOST: u32 = 64;

/// A load that can be changed while it runs.
pub struct Load {
    callers: Arc<AtomicU32>,
    failures: Arc<AtomicU64>,
}

impl Load {
    /// A load for `address` (`host:port`), without callers yet.
    pub fn start(address: &str) -> Self {
        let load = Self {
            callers: Arc::default(),
            failures: Arc::default(),
        };
        for number in 0..MOST {
            let (callers, failures) = (load.callers.clone(), load.failures.clone());
            tokio::spawn(call(address.to_owned(), number, callers, failures));
        }
        load
    }

    /// Sets the number of callers.
    pub fn set_callers(&self, count: u32) {
        self.callers.store(count.min(MOST), Ordering::Relaxed);
    }

    /// Requests with no response or a status other than 200.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

async fn call(address: String, number: u32, callers: Arc<AtomicU32>, failures: Arc<AtomicU64>) {
    let mut connection = None;
    loop {
        if number >= callers.load(Ordering::Relaxed) {
            connection = None;
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        if infer(&address, &mut connection).await.is_err() {
            connection = None;
            failures.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

type Connection = SendRequest<Full<Bytes>>;

async fn infer(
    address: &str,
    connection: &mut Option<Connection>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let sender = match connection {
        Some(sender) => sender,
        None => {
            let io = TokioIo::new(TcpStream::connect(address).await?);
            let (sender, driver) = hyper::client::conn::http1::handshake(io).await?;
            tokio::spawn(driver);
            connection.insert(sender)
        }
    };
    let request = Request::post("/v2/models/tfsimple/infer")
        .header("host", address)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(BODY)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    sender.ready().await?;
    if status.is_success() {
        Ok(())
    } else {
        Err(status.to_string().into())
    }
}
