//! A probe by HTTP/1.1: a `GET` that gets an expected status.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tailback_config::HttpProbe;

use super::{NotReady, connect};
use crate::replica::Address;

/// Sends the request of `probe` to `address`, and judges the status of the response.
pub(super) async fn get(address: Address<'_>, probe: &HttpProbe) -> Result<(), NotReady> {
    let path = &probe.path;
    let status = answer(address, probe).await?.status();
    if is_expected(status, &probe.codes) {
        return Ok(());
    }
    Err(NotReady::Answer(format!("GET {path} answered {status}")))
}

/// The head of the response. It counts even if the connection is closed right after it.
async fn answer(address: Address<'_>, probe: &HttpProbe) -> Result<Response<Incoming>, NotReady> {
    let io = connect(address.authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(|e| no_answer(probe, &e))?;
    let mut request = Request::get(&probe.path)
        .header(HOST, address.name)
        .header(USER_AGENT, "tailback");
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|e| NotReady::Answer(format!("cannot send GET {}: {e}", probe.path)))?;
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

fn no_answer(probe: &HttpProbe, error: &hyper::Error) -> NotReady {
    NotReady::Answer(format!("GET {} got no response: {error}", probe.path))
}

fn is_expected(status: StatusCode, codes: &[u16]) -> bool {
    match codes {
        [] => status.is_success(),
        codes => codes.contains(&status.as_u16()),
    }
}
