//! Warm-up: requests that a replica must answer before it takes others, so that the first caller
//! does not wait for work that a server does at its first request.

use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tailback_config::{CallBody, WarmUp};
use tokio::time::timeout;

use crate::orchestrator::http1_connection::{connect, no_response};

/// Bytes of a response that are shown if it is not as expected.
const SHOWN: usize = 200;

/// Sends `requests` to the replica of `model` at `authority`, one after the other, and logs them.
///
/// # Errors
/// Which request was not answered by a 2xx status in time, and what came instead.
pub(super) async fn warm_up(
    authority: &str,
    model: &str,
    requests: &[WarmUp],
    mut tell: impl FnMut(String),
) -> Result<(), String> {
    for request in requests {
        let name = format!("warm-up: {} {}", request.method, request.path.show(model));
        for number in 1..=request.count {
            tell(format!("{name}, {number} of {}", request.count));
            let limit = request.timeout;
            let why = match timeout(limit, send(authority, model, request)).await {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(_) => format!("no response within {} s", limit.as_secs_f64()),
            };
            return Err(format!("{name}: {}", redacted(request, why)));
        }
    }
    Ok(())
}

/// Sends one request, and reads its response to the last byte.
async fn send(authority: &str, model: &str, warm_up: &WarmUp) -> Result<(), String> {
    let mut sender = connect(authority).await?;
    let request = request(authority, model, warm_up)?;
    let response = sender.send_request(request).await.map_err(no_response)?;
    let status = response.status();
    let begin = read(response.into_body())
        .await
        .map_err(|error| format!("the response broke off: {error}"))?;
    judge(status, &begin)
}

fn request(authority: &str, model: &str, warm_up: &WarmUp) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(&warm_up.method)
        .uri(warm_up.path.fill(model, 0))
        .header(HOST, authority)
        .header(USER_AGENT, "tailback");
    let body = match &warm_up.body {
        CallBody::None => {
            if warm_up.method != Method::GET {
                // RFC 9110, 8.6: without it, some servers wait for a body, or fail.
                request = request.header(CONTENT_LENGTH, 0);
            }
            Bytes::new()
        }
        CallBody::Text(text) => text.fill(model, 0).into(),
        CallBody::Json(json) => {
            if !warm_up.headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
                request = request.header(CONTENT_TYPE, "application/json");
            }
            json.fill(model, 0).to_string().into()
        }
    };
    for (name, value) in &warm_up.headers {
        request = request.header(name, value.fill(model, 0));
    }
    let request = request.body(Full::new(body));
    request.map_err(|error| format!("cannot be sent: {error}"))
}

/// Reads the body to its end, and returns its first bytes.
async fn read(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut begin = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let room = SHOWN.saturating_sub(begin.len());
            begin.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(begin)
}

fn judge(status: StatusCode, begin: &[u8]) -> Result<(), String> {
    if status.is_success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(begin);
    let text: Vec<_> = text.split_whitespace().collect();
    match text.is_empty() {
        true => Err(format!("answered {status}")),
        false => Err(format!("answered {status}: {}", text.join(" "))),
    }
}

/// `why` without the values of variables that the request contains.
fn redacted(warm_up: &WarmUp, why: String) -> String {
    let headers = warm_up.headers.iter().map(|(_, value)| value);
    let templates = headers.chain([&warm_up.path]);
    templates.fold(why, |why, template| template.redact(why))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tailback_config::{Env, load_text};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// The warm-up requests of a manifest.
    fn requests(warm_up: &str) -> Vec<WarmUp> {
        let text = format!(
            "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: s }}\n\
             spec: {{ process: {{ command: [x, '{{port}}'], warmUp: {warm_up} }} }}\n---\n\
             apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: s }}\n"
        );
        let env = Env::from([("KEY", "secret")]);
        let config = load_text("a.yaml".as_ref(), &text, &env).unwrap();
        config.servers["s"].process().unwrap().warm_up.clone()
    }

    /// The result of `requests` at a server that answers each with the next of `answers`, and the
    /// requests that the server received.
    async fn warmed(
        requests: Vec<WarmUp>,
        answers: Vec<&'static str>,
    ) -> (Result<(), String>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            let mut sent = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                sent.push(String::from_utf8_lossy(&request[..read]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            sent
        });
        let result = warm_up(&authority, "a/b \"c\"", &requests, |_| ()).await;
        (result, server.await.unwrap())
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";

    #[tokio::test]
    async fn requests_are_sent_as_often_as_the_manifest_says_with_the_models_name() {
        let requests = requests(
            "[{ path: '/v2/models/{model}/infer', body: { model: '{model}', n: 1 }, count: 2, \
             headers: { authorization: 'Bearer ${KEY}' } }, { path: '/up?a=b' }, \
             { method: POST, path: /now }]",
        );
        let (result, sent) = warmed(requests, vec![OK; 4]).await;
        assert_eq!(result, Ok(()));
        for request in &sent[..2] {
            assert!(request.starts_with("POST /v2/models/a%2Fb%20%22c%22/infer HTTP/1.1\r\n"));
            assert!(request.contains("authorization: Bearer secret\r\n"));
            assert!(request.contains("content-type: application/json\r\n"));
            assert!(
                request.ends_with(r#"{"model":"a/b \"c\"","n":1}"#),
                "{request}"
            );
        }
        assert!(
            sent[2].starts_with("GET /up?a=b HTTP/1.1\r\n"),
            "{}",
            sent[2]
        );
        assert!(sent[3].contains("content-length: 0\r\n"), "{}", sent[3]);
    }

    #[tokio::test]
    async fn what_is_not_answered_well_is_named_without_secrets() {
        let warm_up =
            "[{ path: /a, headers: { x: '${KEY}' }, timeoutSeconds: 0.05 }, { path: /b }]";
        let error = "HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\nno  memory\nfor secret\n";
        let cases = [
            (
                vec![error],
                "answered 500 Internal Server Error: no memory for ${KEY}",
            ),
            (
                vec!["HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"],
                "answered 404 Not Found",
            ),
            (vec![""], "no response: "),
            (
                vec!["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"],
                "the response broke off",
            ),
        ];
        for (answers, expected) in cases {
            let (result, _) = warmed(requests(warm_up), answers).await;
            let why = result.unwrap_err();
            let expected = format!("warm-up: GET /a: {expected}");
            assert!(why.starts_with(&expected), "{why}");
        }
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = silent.local_addr().unwrap().to_string();
        let mut told = Vec::new();
        let result =
            super::warm_up(&authority, "m", &requests(warm_up), |what| told.push(what)).await;
        let limit = Duration::from_millis(50).as_secs_f64();
        let why = format!("warm-up: GET /a: no response within {limit} s");
        assert_eq!(result, Err(why));
        assert_eq!(told, ["warm-up: GET /a, 1 of 1"]);
    }
}
