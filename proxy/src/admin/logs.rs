//! `GET /models/{name}/logs`: the last lines that the model's replicas on this host have printed,
//! and with `follow` the lines that they print from now on.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use percent_encoding::percent_decode_str;
use tailback_config::Kind;
use tailback_scaler::replica_logs::{LogQuery, ReplicaLine, ReplicaLogs};
use tokio::{sync::watch, time::sleep};
use tonic::body::Body;

use super::{Caller, authorization::Authorization, error, whole};
use crate::models::RouteTable;

/// Lines within this time are sent together.
const BATCH: Duration = Duration::from_millis(50);
const FIELDS: &str = "replica, tail, after, follow and format";

/// A request for log lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogRequest {
    model: String,
    replica: Option<String>,
    tail: Option<usize>,
    after: u64,
    follow: bool,
    json: bool,
}

impl LogRequest {
    /// Parses `path` and `query`; `None`: it is another path. The error is a sentence.
    pub(super) fn parse(path: &str, query: Option<&str>) -> Option<Result<Self, String>> {
        let name = path.strip_prefix("/models/")?.strip_suffix("/logs")?;
        // Names are percent-encoded in paths; a `/` may be left as it is.
        let model = percent_decode_str(name).decode_utf8().ok()?.into_owned();
        Some(Self::with(model, query.unwrap_or_default()))
    }

    fn with(model: String, query: &str) -> Result<Self, String> {
        let mut this = Self {
            model,
            ..Self::default()
        };
        for field in query.split('&').filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, "true"));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match name {
                "replica" => this.replica = Some(value.into_owned()),
                "tail" => this.tail = Some(number(name, &value)?),
                "after" => this.after = number(name, &value)?,
                "follow" => {
                    this.follow = match &*value {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => {
                            return Err(format!("follow: found {value:?}, expected true or false"));
                        }
                    }
                }
                "format" => {
                    this.json = match &*value {
                        "json" => true,
                        "text" => false,
                        _ => return Err(format!("format: found {value:?}, expected text or json")),
                    }
                }
                _ => return Err(format!("there is no {name:?} here; there are {FIELDS}")),
            }
        }
        Ok(this)
    }

    /// Whether the answer continues with new lines.
    pub(super) fn follows(&self) -> bool {
        self.follow
    }

    fn query(&self) -> LogQuery<'_> {
        LogQuery {
            replica: self.replica.as_deref(),
            after: self.after,
            tail: self.tail,
        }
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten();
    number.ok_or_else(|| format!("{name}: found {value:?}, expected a whole number"))
}

/// Answers a request.
pub(super) fn serve(
    request: Result<LogRequest, String>,
    caller: &Caller<'_>,
    authorization: &Authorization,
    (table, logs): (&RouteTable, &ReplicaLogs),
) -> Response<Body> {
    let (headers, host, address) = (caller.headers, caller.host, caller.address);
    if let Some(refused) = authorization.refuse_strangers(headers, host, address) {
        return whole(refused);
    }
    let mut request = match request {
        Ok(request) => request,
        Err(why) => return whole(error(StatusCode::BAD_REQUEST, &why)),
    };
    if let Err(why) = find(&mut request, table, logs) {
        return whole(error(StatusCode::NOT_FOUND, &why));
    }
    let kind = if request.json {
        "application/x-ndjson"
    } else {
        "text/plain; charset=utf-8"
    };
    let last = logs.last();
    // The process has restarted since, so its line numbers began anew.
    if request.after > *last.borrow() {
        request.after = 0;
    }
    let mut response = if request.follow {
        follow(Follower {
            logs: logs.clone(),
            request,
            last,
        })
    } else {
        let text = text(&logs.lines(&request.model, request.query()), request.json);
        whole(Response::new(Bytes::from(text)))
    };
    response.headers_mut().extend([
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]);
    response
}

/// Replaces an alias by the model's own name.
///
/// # Errors
/// If there are no logs, with the reason.
fn find(request: &mut LogRequest, table: &RouteTable, logs: &ReplicaLogs) -> Result<(), String> {
    let model = table.model(&request.model);
    if let Some(model) = model {
        request.model = model.name().to_owned();
    }
    if !logs.has(&request.model) {
        return match model.map(|model| &model.config.server.kind) {
            // No replica has started yet; with `follow`, one may start.
            Some(Kind::Process(_)) if request.replica.is_none() => Ok(()),
            Some(Kind::Process(_)) => Err(format!(
                "no replica of {:?} has started here yet",
                request.model
            )),
            Some(Kind::Kubernetes(_)) => Err(format!(
                "the replicas of {:?} are pods; kubectl logs shows what they print",
                request.model
            )),
            Some(_) => Err(format!(
                "Tailback does not run the replicas of {:?}; look where they run",
                request.model
            )),
            None => Err(format!(
                "there is no model {:?}; /models lists them",
                request.model
            )),
        };
    }
    let known = logs.replicas(&request.model);
    match &request.replica {
        Some(replica) if !known.contains(replica) => Err(format!(
            "there is nothing of a replica {replica:?}; there is of {}",
            known.join(", ")
        )),
        _ => Ok(()),
    }
}

/// A client that follows the logs.
struct Follower {
    logs: ReplicaLogs,
    request: LogRequest,
    last: watch::Receiver<u64>,
}

fn follow(follower: Follower) -> Response<Body> {
    let frames = stream::unfold(follower, |mut follower| async move {
        let text = follower.next().await?;
        let frame = Frame::data(Bytes::from(text));
        Some((Ok::<_, Infallible>(frame), follower))
    });
    Response::new(Body::new(StreamBody::new(frames)))
}

impl Follower {
    /// The next lines; in the first call, those that exist already.
    async fn next(&mut self) -> Option<String> {
        loop {
            // Read before the lines, so that lines printed in between are found in the next call.
            let seen = *self.last.borrow_and_update();
            let lines = self.logs.lines(&self.request.model, self.request.query());
            self.request.tail = None;
            let shown = lines.last().map_or(0, |line| line.line.number);
            self.request.after = self.request.after.max(seen).max(shown);
            if !lines.is_empty() {
                return Some(text(&lines, self.request.json));
            }
            self.last.changed().await.ok()?;
            sleep(BATCH).await;
        }
    }
}

/// Lines in the format of the answer.
fn text(lines: &[ReplicaLine], json: bool) -> String {
    let mut text = String::new();
    for line in lines {
        if json {
            // It has only texts and numbers, so this cannot fail.
            text.push_str(&serde_json::to_string(line).unwrap_or_default());
        } else {
            text.push_str(&format!("[{}] {}", line.replica, line.line.text));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_or_the_error_says_what_is_wrong() {
        let asked = |path, query| LogRequest::parse(path, query);
        let plain = LogRequest {
            model: "a/b".into(),
            ..LogRequest::default()
        };
        for path in ["/models/a/b/logs", "/models/a%2Fb/logs"] {
            assert_eq!(asked(path, None), Some(Ok(plain.clone())));
        }
        let all = "replica=a%2Fb-1&tail=5&after=7&follow&format=json";
        assert_eq!(
            asked("/models/a/b/logs", Some(all)),
            Some(Ok(LogRequest {
                replica: Some("a/b-1".into()),
                tail: Some(5),
                after: 7,
                follow: true,
                json: true,
                ..plain.clone()
            }))
        );
        for path in ["/models/a", "/logs", "/models/a/pause", "/models/%FF/logs"] {
            assert_eq!(asked(path, None), None, "{path}");
        }
        for (query, expected) in [
            ("tail=-1", "tail: found \"-1\", expected a whole number"),
            ("tail", "tail: found \"true\", expected a whole number"),
            ("after=99999999999999999999", "after: found"),
            ("follow=maybe", "expected true or false"),
            ("format=xml", "expected text or json"),
            ("since=5", "there is no \"since\" here; there are replica"),
        ] {
            let why = asked("/models/a/logs", Some(query)).unwrap().unwrap_err();
            assert!(why.contains(expected), "{query}: {why}");
        }
    }
}
