//! All APIs as one table, and the look-up in it.

use std::{ops::Range, sync::LazyLock};

use http::{HeaderMap, Method, header::CONTENT_TYPE};

use super::{
    Api,
    anthropic::Anthropic,
    grpc::Grpc,
    inference::Inference,
    kserve_v1::KserveV1,
    ollama::Ollama,
    openai::OpenAi,
    rerank::Rerank,
    route::{Handling, Route},
    tgi::Tgi,
};

/// The APIs. Of requests that no row has, errors look like the first one's, or, in gRPC, like
/// gRPC's.
pub(super) static PROTOCOLS: [Api; 8] = [
    &Inference, &OpenAi, &Anthropic, &Rerank, &KserveV1, &Ollama, &Tgi, &Grpc,
];

/// What may precede the paths of OpenAI's API, as KServe's servers have it.
const OPENAI_PREFIX: &str = "/openai";

/// What the table has for a request.
#[derive(Clone, Debug)]
pub struct Match {
    /// The API that the request is of.
    pub api: Api,
    /// Its row; `None`: there is none.
    pub route: Option<&'static Route>,
    /// The part of its path that names the model, or begins with its name.
    pub name: Range<usize>,
}

impl Match {
    /// What becomes of the request; `None`: nothing.
    #[must_use]
    pub fn handling(&self) -> Option<&'static Handling> {
        self.route.map(|route| &route.handling)
    }
}

/// The row of a request. `path` is [normal](super::normal()), and without its query.
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

/// Why a request to `path` is refused, whatever model it names, if it is. `path` is decoded.
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

/// The methods by which `path` may be asked, as `Allow` lists them; empty if there is no row for
/// this very path.
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

/// How much of `path` precedes the path that the table has.
fn prefix(path: &str) -> usize {
    match path.strip_prefix(OPENAI_PREFIX) {
        Some(rest) if rest.starts_with("/v1/") => OPENAI_PREFIX.len(),
        _ => 0,
    }
}

/// Whether the content type is `application/grpc`, `application/grpc+proto`, …; not
/// `application/grpc-web`, which is another protocol.
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

/// The rows, by the first letters of their paths: those of one letter pair are few. The most
/// specific ones come first.
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
    // Stable: an API's own order is that of how often they are sent.
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
