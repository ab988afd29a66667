//! Readiness probes: by a request, by a connection, or by the start alone.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tailback_config::{HttpProbe, Readiness};
use tokio::net::TcpStream;

/// Time limit of one probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// The beginning of the message for a port that refuses connections.
pub(super) const NO_CONNECTION: &str = "cannot connect";

/// The pause between probes of a replica that started at `started`. Short at first, because the
/// time to notice readiness adds to every cold start.
pub(super) fn pause(started: Duration) -> Duration {
    (started / 20).clamp(Duration::from_millis(10), Duration::from_millis(500))
}

/// Probes the replica at `authority` once.
///
/// # Errors
/// A sentence that says why it is not ready.
pub(super) async fn probe(authority: &str, ready: &Readiness) -> Result<(), String> {
    let probe = async {
        match ready {
            Readiness::Http(probe) => get(authority, probe).await,
            Readiness::Tcp => connect(authority).await.map(|_| ()),
            Readiness::None => Ok(()),
        }
    };
    match tokio::time::timeout(PATIENCE, probe).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no response within {} s", PATIENCE.as_secs())),
    }
}

async fn connect(authority: &str) -> Result<TcpStream, String> {
    let connected = TcpStream::connect(authority).await;
    connected.map_err(|e| format!("{NO_CONNECTION} to {authority}: {e}"))
}

async fn get(authority: &str, probe: &HttpProbe) -> Result<(), String> {
    let path = &probe.path;
    let status = answer(authority, probe).await?.status();
    if is_expected(status, &probe.codes) {
        return Ok(());
    }
    Err(format!("GET {path} answered {status}"))
}

/// The head of the response. It counts even if the connection is closed right after it.
async fn answer(authority: &str, probe: &HttpProbe) -> Result<Response<Incoming>, String> {
    let io = connect(authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(|e| e.to_string())?;
    let mut request = Request::get(&probe.path)
        .header(HOST, authority)
        .header(USER_AGENT, "tailback");
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|e| format!("cannot send GET {}: {e}", probe.path))?;
    let response = sender.send_request(request);
    tokio::pin!(response, connection);
    let ended = tokio::select! {
        biased;
        response = &mut response => return response.map_err(|e| no_answer(probe, &e)),
        ended = &mut connection => ended,
    };
    // Returns what was read before the connection ended, or else the error.
    match (response.await, ended) {
        (Ok(response), _) => Ok(response),
        (Err(_), Err(error)) | (Err(error), Ok(())) => Err(no_answer(probe, &error)),
    }
}

fn no_answer(probe: &HttpProbe, error: &hyper::Error) -> String {
    format!("GET {} got no response: {error}", probe.path)
}

fn is_expected(status: StatusCode, codes: &[u16]) -> bool {
    match codes {
        [] => status.is_success(),
        codes => codes.contains(&status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::ErrorKind};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// The result of a probe that gets `answer` and a closed connection, and the request that it
    /// sent.
    async fn probed(ready: &Readiness, answer: &'static str) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.unwrap_or(0);
            match stream.write_all(answer.as_bytes()).await {
                Ok(()) => stream.shutdown().await.unwrap_or(()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
            }
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        let found = probe(&authority, ready).await;
        (found, server.await.unwrap())
    }

    #[tokio::test]
    async fn an_answer_counts_though_the_connection_ends_with_it() {
        let ready = Readiness::path("/health");
        for _ in 0..50 {
            for answer in [
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
                "HTTP/1.0 200 OK\r\n\r\nok",
                "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 500\r\n\r\nok",
            ] {
                assert_eq!(probed(&ready, answer).await.0, Ok(()), "{answer}");
            }
        }
    }

    #[tokio::test]
    async fn the_result_of_a_probe_is_reported() {
        let ready = Readiness::path("/health");
        let loading =
            "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let (found, _) = probed(&ready, loading).await;
        assert_eq!(
            found,
            Err("GET /health answered 503 Service Unavailable".into())
        );
        let (found, _) = probed(&ready, "").await;
        assert!(
            found
                .unwrap_err()
                .starts_with("GET /health got no response")
        );
        let (found, _) = probed(&ready, "SSH-2.0-x\r\n").await;
        assert!(
            found
                .unwrap_err()
                .starts_with("GET /health got no response")
        );
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = gone.local_addr().unwrap().to_string();
        drop(gone);
        for ready in [ready, Readiness::Tcp] {
            let why = probe(&authority, &ready).await.unwrap_err();
            assert!(why.starts_with("cannot connect to 127.0.0.1:"), "{why}");
        }
        assert_eq!(probe(&authority, &Readiness::None).await, Ok(()));
    }

    #[tokio::test]
    async fn headers_and_codes_are_those_of_the_setting() {
        let ready = Readiness::Http(HttpProbe {
            path: "/up?a=1".into(),
            headers: BTreeMap::from([("authorization".into(), "Bearer x".into())]),
            codes: vec![401, 204],
        });
        let (found, asked) = probed(&ready, "HTTP/1.1 401 Unauthorized\r\n\r\n").await;
        assert_eq!(found, Ok(()));
        assert!(asked.starts_with("GET /up?a=1 HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer x\r\n"), "{asked}");
        let (found, _) = probed(&ready, "HTTP/1.1 200 OK\r\n\r\n").await;
        assert_eq!(found, Err("GET /up?a=1 answered 200 OK".into()));
        let (found, _) = probed(&Readiness::Tcp, "").await;
        assert_eq!(found, Ok(()));
    }
}
