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

const fn sets(path: &'static str) -> Route {
    Route::new(Post, Is(path), Refused(SETTINGS))
}

/// SGLang takes GET and other methods for these, too.
const fn sets_by_any_method(path: &'static str) -> Route {
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
    sets("/init_weight_transfer_engine"),
    sets("/update_weights"),
    sets("/abort_requests"),
    sets("/update_weights_from_disk"),
    sets("/update_weights_from_tensor"),
    sets("/update_weights_from_distributed"),
    sets("/update_weights_from_ipc"),
    sets("/update_weight_version"),
    sets("/init_weights_update_group"),
    sets("/destroy_weights_update_group"),
    sets("/init_weights_send_group_for_remote_instance"),
    sets("/send_weights_to_remote_instance"),
    sets("/weights_checker"),
    sets("/pause_generation"),
    sets("/continue_generation"),
    sets("/abort_request"),
    sets_by_any_method("/flush_cache"),
    sets_by_any_method("/set_internal_state"),
    sets_by_any_method("/set_trace_level"),
    sets_by_any_method("/configure_logging"),
    sets_by_any_method("/start_profile"),
    sets_by_any_method("/stop_profile"),
    sets_by_any_method("/release_memory_occupation"),
    sets_by_any_method("/resume_memory_occupation"),
    sets_by_any_method("/slow_down"),
    sets_by_any_method("/clear_hicache_storage_backend"),
    sets_by_any_method("/start_expert_distribution_record"),
    sets_by_any_method("/stop_expert_distribution_record"),
    sets_by_any_method("/dump_expert_distribution_record"),
    sets_by_any_method("/freeze_gc"),
    sets_by_any_method("/hicache/storage-backend"),
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
