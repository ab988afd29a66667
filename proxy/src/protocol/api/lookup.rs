//! The table of all APIs, and the look-up of a request in it.

use std::{ops::Range, sync::LazyLock};

use http::{Method, header::CONTENT_TYPE};

use super::{
    Api,
    anthropic::Anthropic,
    grpc::Grpc,
    inference::Inference,
    kserve_v1::KserveV1,
    management::Management,
    ollama::Ollama,
    openai::OpenAi,
    rerank::Rerank,
    route::{Handling, Route},
    tgi::Tgi,
};
use crate::message::HeaderMap;

/// All APIs. Errors of requests that match no row have the form of the first one, or in gRPC that
/// of gRPC.
pub(super) static PROTOCOLS: [Api; 9] = [
    &Inference,
    &OpenAi,
    &Anthropic,
    &Rerank,
    &KserveV1,
    &Ollama,
    &Tgi,
    &Management,
    &Grpc,
];

/// A prefix that may precede the paths of OpenAI's API, as on KServe's servers.
const OPENAI_PREFIX: &str = "/openai";

/// The result of a look-up.
#[derive(Clone, Debug)]
pub struct Match {
    /// The API that the request belongs to.
    pub api: Api,
    /// The matching row, if there is one.
    pub route: Option<&'static Route>,
    /// The byte range of the path that is the model's name, or begins with it.
    pub name: Range<usize>,
}

impl Match {
    /// How the request is handled, if a row matches.
    #[must_use]
    pub fn handling(&self) -> Option<&'static Handling> {
        self.route.map(|route| &route.handling)
    }
}

/// Looks up a request. `path` must be [normal](super::normal()), without its query.
#[must_use]
pub fn find(headers: &HeaderMap, method: &Method, path: &str) -> Match {
    let grpc = is_grpc(headers);
    let skipped = prefix(path);
    let rest = &path[skipped..];
    let mut other_method = None;
    for row in INDEX.rows(grpc, rest) {
        let Some(name) = row.route.pattern.find(rest) else {
            continue;
        };
        if !row.route.fits(headers) {
            continue;
        }
        if row.route.methods.allow(method) {
            return Match {
                api: row.api,
                route: Some(row.route),
                name: name.start + skipped..name.end + skipped,
            };
        }
        other_method = other_method.or(Some(row.api));
    }
    let own: Api = if grpc { &Grpc } else { PROTOCOLS[0] };
    Match {
        api: other_method.unwrap_or(own),
        route: None,
        name: 0..0,
    }
}

/// Why requests to `path` are refused whatever model they name; `None` if they are not. `path` must
/// be decoded.
#[must_use]
pub fn refusal(method: &Method, path: &str) -> Option<&'static str> {
    let path = &path[prefix(path)..];
    let mut rows = INDEX.rows(false, path);
    rows.find(|row| row.route.methods.allow(method) && row.route.pattern.find(path).is_some())
        .and_then(|row| match row.route.handling {
            Handling::Refused(why) => Some(why),
            _ => None,
        })
}

/// The methods that `path` takes, in the form of `Allow`; empty if no row has exactly this path.
#[must_use]
pub fn allowed_methods(path: &str) -> String {
    let path = &path[prefix(path)..];
    let mut methods: Vec<&str> = Vec::new();
    for row in INDEX.rows(false, path) {
        if !row.route.pattern.is_open() && row.route.pattern.find(path).is_some() {
            methods.extend(row.route.methods.listed());
        }
    }
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

/// The length of a prefix that the paths in the table do not have.
fn prefix(path: &str) -> usize {
    match path.strip_prefix(OPENAI_PREFIX) {
        Some(rest) if rest.starts_with("/v1/") => OPENAI_PREFIX.len(),
        _ => 0,
    }
}

/// Whether the content type is `application/grpc`, `application/grpc+proto` and the like.
/// `application/grpc-web` is a different protocol.
fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some(content_type) = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()) else {
        return false;
    };
    content_type.len() >= GRPC.len()
        && content_type[..GRPC.len()].eq_ignore_ascii_case(GRPC)
        && matches!(
            content_type.get(GRPC.len()),
            None | Some(b'+' | b';' | b' ')
        )
}

/// The rows in buckets by the first letters of their paths, so that a look-up tries few. In a
/// bucket, the most specific rows come first.
struct Index {
    rest: [Vec<Row>; BUCKETS],
    grpc: Vec<Row>,
}

const BUCKETS: usize = 32;

#[derive(Clone, Copy)]
struct Row {
    api: Api,
    route: &'static Route,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut all: Vec<Row> = PROTOCOLS
        .iter()
        .flat_map(|&api| api.routes().iter().map(move |route| Row { api, route }))
        .collect();
    // A stable sort keeps the order by frequency within each API.
    all.sort_by_key(|row| (row.route.header.is_none(), row.route.pattern.breadth()));
    let (grpc, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|row| row.api.is_grpc());
    let mut buckets = [const { Vec::new() }; BUCKETS];
    for row in rest {
        buckets[bucket(row.route.pattern.literal())].push(row);
    }
    Index {
        rest: buckets,
        grpc,
    }
});

impl Index {
    fn rows(&self, grpc: bool, path: &str) -> impl Iterator<Item = &Row> {
        match grpc {
            true => self.grpc.iter(),
            false => self.rest[bucket(path)].iter(),
        }
    }
}

fn bucket(path: &str) -> usize {
    match path.as_bytes() {
        [b'/', first, second, ..] => (usize::from(*first) * 7 + usize::from(*second)) % BUCKETS,
        _ => 0,
    }
}
