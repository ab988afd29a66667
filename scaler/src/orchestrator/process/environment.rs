//! The environment of a replica's command: the variables in its manifest, and those variables of
//! the proxy that programs, model servers and their libraries expect in a user's session. No
//! others are passed on, so the proxy's secrets are not.

use std::{env, ffi::OsString};

/// The prefix of variables that are never passed on, whatever a manifest says; with a leading `_`,
/// too.
const OWN: &str = "TAILBACK_";

/// Names of variables that are passed on; one that ends with `*` is a prefix.
const INHERITED: &[&str] = &[
    // The session.
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_*",
    // The dynamic linker, Python and its virtual environments.
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PYTHON*",
    "VIRTUAL_ENV",
    "CONDA_*",
    // Certificates and proxies for downloads.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    // Devices.
    "CUDA_*",
    "NVIDIA_*",
    "NCCL_*",
    "CUBLAS_*",
    "CUDNN_*",
    "HIP_*",
    "ROCR_*",
    "ROCM_*",
    "HSA_*",
    "GPU_*",
    "RCCL_*",
    "ONEAPI_*",
    "SYCL_*",
    "ZE_*",
    "NEURON_*",
    "TPU_*",
    "VK_*",
    "MLX_*",
    // Threads and arithmetic.
    "OMP_*",
    "KMP_*",
    "MKL_*",
    "OPENBLAS_*",
    "NUMEXPR_*",
    "GOMP_*",
    "MALLOC_*",
    // The places of models. HF_TOKEN downloads gated models.
    "HF_*",
    "HUGGINGFACE_*",
    "TRANSFORMERS_*",
    "TOKENIZERS_*",
    "SAFETENSORS_*",
    "TORCH*",
    "PYTORCH_*",
    "TRITON_*",
    "TF_*",
    "XLA_*",
    "JAX_*",
    "ONNX*",
    "ORT_*",
    // Model servers.
    "VLLM_*",
    "SGLANG_*",
    "SGL_*",
    "LLAMA_*",
    "GGML_*",
    "OLLAMA_*",
    "TGI_*",
    "MLSERVER_*",
    "RAY_*",
    "UVICORN_*",
];

/// The variables of the proxy's environment that a command inherits: the list above, and `more`.
pub(super) fn inherited(more: &[String]) -> Vec<(OsString, OsString)> {
    env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|name| is_inherited(name, more)))
        .collect()
}

fn is_inherited(name: &str, more: &[String]) -> bool {
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    };
    !name.trim_start_matches('_').starts_with(OWN)
        && (INHERITED.iter().any(|pattern| fits(pattern))
            || more.iter().any(|pattern| fits(pattern)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_inherits_a_session_and_devices_and_no_secret_of_the_proxy() {
        for (name, more, expected) in [
            ("PATH", "", true),
            ("PATHS", "", false),
            ("LC_ALL", "", true),
            ("CUDA_VISIBLE_DEVICES", "", true),
            ("HF_HOME", "", true),
            ("AWS_SECRET_ACCESS_KEY", "", false),
            ("AWS_SECRET_ACCESS_KEY", "AWS_*", true),
            ("AWS", "AWS_*", false),
            ("FOO", "FOO", true),
            ("FOO", "*", true),
            ("TAILBACK_ADMIN_TOKEN", "", false),
            ("TAILBACK_ADMIN_TOKEN", "*", false),
            ("TAILBACK_ADMIN_TOKEN", "TAIL*", false),
            ("SELDON_LAG_THRESHOLD", "", false),
        ] {
            let found = is_inherited(name, &[more.to_owned()]);
            assert_eq!(found, expected, "{name} with {more:?}");
        }
    }
}
