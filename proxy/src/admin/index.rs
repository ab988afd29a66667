//! `/`: a page that lists what there is, for people who open the admin address in a browser.

use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use tailback_config::path_segment;

use crate::{models::RouteTable, telemetry::build_info};

/// Each page, and what it says.
const PAGES: [(&str, &str); 6] = [
    (
        "/models",
        "every model: counts, replicas, settings, and why the count is what it is",
    ),
    ("/decisions", "the last scale decisions, with their reasons"),
    ("/metrics", "Prometheus metrics"),
    ("/healthz", "200 while the process runs"),
    ("/readyz", "200, and 503 while draining"),
    (
        "/ledgers",
        "for other proxies: counts as they change, for as long as one listens",
    ),
];

/// The page.
pub(super) fn page(table: &RouteTable) -> Response<Bytes> {
    let mut text = format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Tailback</title>\n\
         <h1>Tailback {}</h1>\n<p>The admin address.</p>\n<ul>\n",
        build_info::VERSION
    );
    let mut item = |path: &str, shown: &str, meaning: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<li><a href=\"{path}\">{}</a> {meaning}</li>",
            escaped(shown)
        );
    };
    for (path, meaning) in PAGES {
        item(path, path, meaning);
    }
    let mut names: Vec<_> = table.models.values().map(|model| model.name()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        item(
            &format!("/models/{}", path_segment(name)),
            name,
            "this model",
        );
    }
    text.push_str(
        "</ul>\n<p>With the token, by POST: /models/{name}/pause and /models/{name}/resume.</p>\n",
    );
    let mut response = Response::new(Bytes::from(text));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

/// `text` as HTML shows it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
