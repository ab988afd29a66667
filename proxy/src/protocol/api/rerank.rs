//! Reranking, scoring, pooling and tokenizing, on the paths of vLLM, SGLang, llama.cpp and Jina's
//! servers. Cohere and Jina introduced these requests. Errors have OpenAI's form.

use bytes::Bytes;

use super::{
    ApiProtocol,
    openai::openai_error,
    pattern::Pattern::Is,
    route::{Handling::Inference, Methods::Post, ModelIn::Body, Route},
};
use crate::{message::Response, protocol::ProxyError};

/// Reranking, scoring, pooling and tokenizing.
#[derive(Debug)]
pub(super) struct Rerank;

static ROUTES: &[Route] = &[
    Route::new(Post, Is("/v1/rerank"), Inference(Body)),
    Route::new(Post, Is("/rerank"), Inference(Body)),
    Route::new(Post, Is("/v2/rerank"), Inference(Body)),
    Route::new(Post, Is("/v1/reranking"), Inference(Body)),
    Route::new(Post, Is("/reranking"), Inference(Body)),
    Route::new(Post, Is("/v2/embed"), Inference(Body)),
    Route::new(Post, Is("/score"), Inference(Body)),
    Route::new(Post, Is("/v1/score"), Inference(Body)),
    Route::new(Post, Is("/pooling"), Inference(Body)),
    Route::new(Post, Is("/v1/pooling"), Inference(Body)),
    Route::new(Post, Is("/classify"), Inference(Body)),
    Route::new(Post, Is("/v1/classify"), Inference(Body)),
    Route::new(Post, Is("/tokenize"), Inference(Body)),
    Route::new(Post, Is("/detokenize"), Inference(Body)),
];

impl ApiProtocol for Rerank {
    fn name(&self) -> &'static str {
        "Rerank, score, tokenize"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        openai_error(error)
    }
}
