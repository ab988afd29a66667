//! KServe V1, which is TensorFlow Serving's protocol. Its paths resemble those of OpenAI's models.

use bytes::Bytes;
use serde_json::json;

use super::{
    ApiProtocol,
    pattern::Pattern::Between,
    route::{Handling::Inference, Methods::Post, ModelIn::Path, Route},
};
use crate::{message::Response, protocol::ProxyError};

/// KServe V1 and TensorFlow Serving.
#[derive(Debug)]
pub(super) struct KserveV1;

static ROUTES: &[Route] = &[
    Route::new(Post, Between("/v1/models/", ":predict"), Inference(Path)),
    Route::new(Post, Between("/v1/models/", ":explain"), Inference(Path)),
    Route::new(Post, Between("/v1/models/", ":classify"), Inference(Path)),
    Route::new(Post, Between("/v1/models/", ":regress"), Inference(Path)),
];

impl ApiProtocol for KserveV1 {
    fn name(&self) -> &'static str {
        "KServe V1"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        error.json(&json!({ "error": error.message() }))
    }
}
