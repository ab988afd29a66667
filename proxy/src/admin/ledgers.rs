//! `/ledgers`: what the ledgers say, a line of JSON each time it changes, for as
//! long as somebody listens. It changes nothing.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tailback_scaler::peers::herald::Lines;
use tonic::body::Body;

pub(super) fn lines(lines: Lines) -> Response<Body> {
    let frames = stream::unfold(lines, |mut lines| async move {
        let line = lines.next().await?;
        let frame = Frame::data(Bytes::from(line.text()));
        Some((Ok::<_, Infallible>(frame), lines))
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    response
}
