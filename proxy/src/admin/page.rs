//! The live page: `/` and its files, embedded at build time from `proxy/page`.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

/// The page may load its own files and connect to its own address, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file at `path`, if the page has it.
pub(super) fn file(path: &str) -> Option<Response<Bytes>> {
    let (kind, content) = match path {
        "/" => (
            "text/html; charset=utf-8",
            include_bytes!("../../page/dist/index.html").as_slice(),
        ),
        "/page.js" => (
            "text/javascript; charset=utf-8",
            include_bytes!("../../page/dist/page.js").as_slice(),
        ),
        "/page.css" => (
            "text/css; charset=utf-8",
            include_bytes!("../../page/dist/page.css").as_slice(),
        ),
        _ => return None,
    };
    let mut response = Response::new(Bytes::from_static(content));
    *response.headers_mut() = HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        // Revalidated at each load, because an upgrade brings new files.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]);
    Some(response)
}
