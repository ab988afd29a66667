//! A client of the operator's HTTP API: sends one request and interprets the response.
//!
//! A message shows the request's method, and its URL as written in the manifest. It shows neither
//! headers nor body nor the filled-in URL, which may contain secrets.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tailback_config::{CallBody, CallTarget, ScaleCall, StateCall, WebhookSpec};
use tokio::time::timeout;

use crate::orchestrator::{ScaleError, error_chain::chain};

/// Largest response body, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;
/// How many bytes of a response body a message shows.
const SHOWN: usize = 200;
/// How many bytes of a response body are searched for secrets before it is shown.
const LOOKED_AT: usize = 4096;
/// Idle connections close after this time: many servers close theirs after a minute.
const IDLE: Duration = Duration::from_secs(30);

type Connections = Pool<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends requests on pooled connections. Does not follow redirects.
#[derive(Default)]
pub(super) struct Client(OnceLock<Connections>);

/// A complete response of any status.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// Asks the API for `replicas` replicas of `model`.
    ///
    /// # Errors
    /// [`ScaleError`], with method and URL: no response, or a status other than 2xx.
    pub(super) async fn scale(
        &self,
        spec: &WebhookSpec,
        model: &str,
        replicas: u32,
    ) -> Result<(), ScaleError> {
        let ScaleCall {
            method,
            target,
            body,
        } = &spec.scale;
        let (content, kind) = match body {
            CallBody::None => (Bytes::new(), None),
            CallBody::Json(json) => {
                let text = json.fill(model, replicas).to_string();
                (text.into(), Some("application/json"))
            }
            CallBody::Text(text) => (text.fill(model, replicas).into(), None),
        };
        let with_target = |why: String| format!("{method} {}: {why}", target.url.show(model));
        let redact = |text| spec.redact(text);
        let answer = self
            .exchange(method, target, model, replicas, content, kind)
            .await
            .map_err(|why| ScaleError::Failed(with_target(redact(why))))?;
        judge(&answer, SystemTime::now(), redact).map_err(|error| match error {
            ScaleError::Refused(why) | ScaleError::Forbidden(why) => {
                ScaleError::Refused(with_target(why))
            }
            ScaleError::Failed(why) => ScaleError::Failed(with_target(why)),
            ScaleError::Busy { why, after } => ScaleError::Busy {
                why: with_target(why),
                after,
            },
        })
    }

    /// Reads the state of `model`, as the body of the response.
    ///
    /// # Errors
    /// A sentence with method and URL: no response, or a status other than 2xx.
    pub(super) async fn state(
        &self,
        spec: &WebhookSpec,
        state: &StateCall,
        model: &str,
    ) -> Result<Bytes, String> {
        let target = &state.target;
        let answer = self
            .exchange(&Method::GET, target, model, 0, Bytes::new(), None)
            .await;
        let answer = answer.and_then(|answer| {
            match judge(&answer, SystemTime::now(), |text| spec.redact(text)) {
                Ok(()) => Ok(answer.body),
                Err(
                    ScaleError::Refused(why)
                    | ScaleError::Forbidden(why)
                    | ScaleError::Failed(why)
                    | ScaleError::Busy { why, .. },
                ) => Err(why),
            }
        });
        answer.map_err(|why| spec.redact(format!("GET {}: {why}", target.url.show(model))))
    }

    async fn exchange(
        &self,
        method: &Method,
        target: &CallTarget,
        model: &str,
        replicas: u32,
        content: Bytes,
        kind: Option<&str>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(target.url.fill(model, replicas))
            .header(
                header::USER_AGENT,
                concat!("tailback/", env!("CARGO_PKG_VERSION")),
            );
        let has_type = |(name, _): &(_, _)| *name == header::CONTENT_TYPE;
        if let Some(kind) = kind.filter(|_| !target.headers.iter().any(has_type)) {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        for (name, value) in &target.headers {
            request = request.header(name, value.fill(model, replicas));
        }
        let request = request.body(Full::new(content)).map_err(|_| {
            "the model's name makes no valid URL or header: rename the model, or change url \
                         and headers in the manifest"
                .to_owned()
        })?;
        let answer = async {
            let response = self.connections().request(request).await;
            let (head, body) = response.map_err(|e| chain(&e))?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await;
            let body = body.map_err(|e| format!("the response body is incomplete: {e}"))?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        timeout(target.timeout, answer).await.unwrap_or_else(|_| {
            let seconds = target.timeout.as_secs_f64();
            Err(format!("no response within {seconds} s (timeoutSeconds)"))
        })
    }

    /// The connection pool. Made at the first request, because it loads the system's
    /// certificates.
    fn connections(&self) -> &Connections {
        self.0.get_or_init(|| {
            let mut http = HttpConnector::new();
            http.enforce_http(false);
            http.set_nodelay(true);
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            let provider = rustls::crypto::ring::default_provider();
            let tls = rustls::ClientConfig::builder_with_provider(provider.into())
                .with_safe_default_protocol_versions()
                .unwrap_or_else(|_| unreachable!("ring has suites for both versions"))
                .with_root_certificates(roots)
                .with_no_client_auth();
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(tls)
                .https_or_http()
                .enable_http1()
                .wrap_connector(http);
            Pool::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE)
                .pool_timer(TokioTimer::new())
                .build(connector)
        })
    }
}

/// Interprets a response by its status. `redact` removes secrets from the body before it is
/// shown.
fn judge(
    answer: &Answer,
    now: SystemTime,
    redact: impl Fn(String) -> String,
) -> Result<(), ScaleError> {
    let Answer {
        status,
        headers,
        body,
    } = answer;
    let why = match excerpt(body, redact) {
        text if text.is_empty() => format!("the API answered {status}"),
        text => format!("the API answered {status}: {text}"),
    };
    match status.as_u16() {
        200..=299 => Ok(()),
        300..=399 => Err(ScaleError::Refused(format!(
            "{why}; redirects are not followed: set url to the address that the API redirects to"
        ))),
        408 | 409 | 425 | 429 | 500..=599 => Err(match retry_after(headers, now) {
            Some(after) => ScaleError::Busy { why, after },
            None => ScaleError::Failed(why),
        }),
        _ => Err(ScaleError::Refused(why)),
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let at = httpdate::parse_http_date(text).ok()?;
            Some(at.duration_since(now).unwrap_or_default())
        }
    }
}

/// The beginning of a response body, on one line, for a message.
///
/// Secrets are removed before it is cut, so that not even a part of one is shown.
fn excerpt(body: &[u8], redact: impl Fn(String) -> String) -> String {
    let part = &body[..body.len().min(LOOKED_AT)];
    let text = redact(String::from_utf8_lossy(part).into_owned());
    let whole = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=SHOWN.min(text.len())).rev().find(whole).unwrap_or(0);
    let shown: String = text[..end]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let more = if text.len() > end { "…" } else { "" };
    format!("{}{more}", shown.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<&str>, body: &str) -> Result<(), ScaleError> {
        let headers = retry_after.map(|value| (header::RETRY_AFTER, value.parse().unwrap()));
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.into_iter().collect(),
            body: body.to_owned().into(),
        };
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        judge(&answer, now, |text| text.replace("s3cret", "${TOKEN}"))
    }

    #[test]
    fn failures_that_may_pass_are_distinguished_from_refusals() {
        let refused = |status, why: &str| {
            let error = answer(status, Some("5"), "no").unwrap_err();
            assert!(
                matches!(&error, ScaleError::Refused(found) if found.contains(why)),
                "{error}"
            );
        };
        for status in [200, 201, 202, 204] {
            assert_eq!(answer(status, None, "fine"), Ok(()));
        }
        for status in [301, 302, 307] {
            refused(status, "redirects are not followed");
        }
        for status in [400, 401, 403, 404, 422] {
            refused(status, ": no");
        }
        for status in [409, 429, 500, 503] {
            let error = answer(status, None, "busy").unwrap_err();
            assert!(matches!(&error, ScaleError::Failed(_)), "{error}");
            for (header, seconds) in [
                ("7", 7),
                ("Sun, 06 Nov 1994 08:49:57 GMT", 20),
                ("Sun, 06 Nov 1994 08:00:00 GMT", 0),
            ] {
                let Err(ScaleError::Busy { after, .. }) = answer(status, Some(header), "") else {
                    panic!("{status} {header}");
                };
                assert_eq!(after, Duration::from_secs(seconds));
            }
        }
        assert!(matches!(
            answer(503, Some("soon"), ""),
            Err(ScaleError::Failed(_))
        ));
    }

    #[test]
    fn a_message_has_the_beginning_of_the_answer_on_one_line() {
        let error = answer(400, None, "no\nsuch\tjob").unwrap_err();
        assert_eq!(
            error.to_string(),
            "refused: the API answered 400 Bad Request: no such job"
        );
        let cut = format!("{}s3cret", "x".repeat(197));
        let error = answer(403, None, &cut).unwrap_err().to_string();
        assert!(
            !error.contains("s3c") && error.ends_with("x${T…"),
            "{error}"
        );
        let long = "é".repeat(500);
        assert!(answer(400, None, &long).unwrap_err().to_string().len() < 300);
        assert_eq!(
            answer(404, None, "").unwrap_err().to_string(),
            "refused: the API answered 404 Not Found"
        );
    }
}
