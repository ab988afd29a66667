//! `/ledgers`: the counts of this proxy's ledgers for other proxies, one line of JSON per change,
//! until the client disconnects. Reading it changes nothing.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header::CONTENT_TYPE};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tailback_scaler::peers::publisher::CountsUpdates;
use tonic::body::Body;

use super::render_turn::RenderTurns;

pub(super) fn serve(updates: CountsUpdates, turns: RenderTurns) -> Response<Body> {
    let frames = stream::unfold((updates, turns), |(mut updates, turns)| async move {
        let update = updates.next().await?;
        // All readers hear of a change at once.
        turns.next().await;
        let frame = Frame::data(Bytes::from(update.text()));
        Some((Ok::<_, Infallible>(frame), (updates, turns)))
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-ndjson"),
    );
    response
}
