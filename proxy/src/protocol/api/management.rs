//! Requests that manage a replica of vLLM, SGLang or llama.cpp: they load adapters and weights, put it to
//! sleep, or change its settings. None of them says which replica is meant, and its other callers would
//! not know of it.

use bytes::Bytes;

use super::{
    ApiProtocol,
    inference::{REPOSITORY, SETTINGS},
    openai::openai_error,
    pattern::Pattern::{Below, Is},
    route::{
        Handling::Refused,
        Methods::{Any, Post},
        Route,
    },
};
use crate::{message::Response, protocol::ProxyError};

/// Management of replicas.
#[derive(Debug)]
pub(super) struct Management;

const fn loads(path: &'static str) -> Route {
    Route::new(Post, Is(path), Refused(REPOSITORY))
}

/// Some of these take GET, too.
const fn sets(path: &'static str) -> Route {
    Route::new(Any, Is(path), Refused(SETTINGS))
}

static ROUTES: &[Route] = &[
    loads("/v1/load_lora_adapter"),
    loads("/v1/unload_lora_adapter"),
    loads("/load_lora_adapter"),
    loads("/unload_lora_adapter"),
    loads("/load_lora_adapter_from_tensors"),
    loads("/models/load"),
    loads("/models/unload"),
    sets("/sleep"),
    sets("/wake_up"),
    sets("/pause"),
    sets("/resume"),
    sets("/collective_rpc"),
    sets("/reset_prefix_cache"),
    sets("/reset_mm_cache"),
    sets("/reset_encoder_cache"),
    sets("/scale_elastic_ep"),
    sets("/start_profile"),
    sets("/stop_profile"),
    sets("/init_weight_transfer_engine"),
    sets("/update_weights"),
    sets("/update_weights_from_disk"),
    sets("/update_weights_from_tensor"),
    sets("/update_weights_from_distributed"),
    sets("/update_weights_from_ipc"),
    sets("/update_weight_version"),
    sets("/init_weights_update_group"),
    sets("/destroy_weights_update_group"),
    sets("/release_memory_occupation"),
    sets("/resume_memory_occupation"),
    sets("/flush_cache"),
    sets("/clear_hicache_storage_backend"),
    sets("/set_internal_state"),
    sets("/pause_generation"),
    sets("/continue_generation"),
    sets("/abort_request"),
    sets("/configure_logging"),
    sets("/slow_down"),
    // What llama.cpp answers to GET are questions.
    Route::new(Post, Below("/slots"), Refused(SETTINGS)),
    Route::new(Post, Is("/lora-adapters"), Refused(SETTINGS)),
    Route::new(Post, Is("/props"), Refused(SETTINGS)),
];

impl ApiProtocol for Management {
    fn name(&self) -> &'static str {
        "Management of replicas"
    }

    fn routes(&self) -> &'static [Route] {
        ROUTES
    }

    fn error(&self, error: &ProxyError) -> Response<Bytes> {
        openai_error(error)
    }
}
