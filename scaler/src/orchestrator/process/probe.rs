//! Readiness: `GET` the ready path; any 2xx is ready.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// One probe may take this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits between probes of a replica that is not ready yet: short at first,
/// since the time to notice readiness adds to every cold start.
pub(super) fn pause(started: Duration) -> Duration {
    (started / 20).clamp(Duration::from_millis(10), Duration::from_millis(500))
}

/// Whether `http://{authority}{path}` answers 2xx now, or why not.
pub(super) async fn probe(authority: &str, path: &str) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, get(authority, path)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn get(authority: &str, path: &str) -> Result<(), String> {
    let io = TcpStream::connect(authority)
        .await
        .map_err(|e| format!("cannot connect: {e}"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(|e| e.to_string())?;
    let request = Request::get(path)
        .header(HOST, authority)
        .body(Empty::<Bytes>::new())
        .map_err(|e| format!("cannot ask for {path}: {e}"))?;
    let response = tokio::select! {
        response = sender.send_request(request) => response.map_err(|e| e.to_string())?,
        ended = connection => {
            let why = ended.err().map_or("closed".into(), |e| e.to_string());
            return Err(format!("no answer: {why}"));
        }
    };
    if response.status().is_success() {
        return Ok(());
    }
    Err(format!("{path} answered {}", response.status()))
}
