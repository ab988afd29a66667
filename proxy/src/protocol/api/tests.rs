//! Tests of the table as a whole: what it finds for requests, and that the reference documents it.

use std::{collections::HashSet, fmt::Write as _, fs, path::Path};

use http::{
    Method,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use proptest::prelude::*;

use super::{
    lookup::{PROTOCOLS, allowed_methods, find, refusal},
    route::{Handling, ModelIn, Probe, Route},
};
use crate::{message::HeaderMap, protocol::ProxyError};

/// How a request is handled, in a word, and where it names its model.
fn found(content_type: &str, method: &str, path: &str) -> String {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    let found = find(&headers, &method.parse().unwrap(), path);
    let name = &path[found.name.clone()];
    let what = match found.handling() {
        None => "nothing".into(),
        Some(Handling::Inference(ModelIn::Path)) => format!("infer {name}"),
        Some(Handling::Inference(ModelIn::Nowhere(_))) => "infer nowhere".into(),
        Some(Handling::Inference(ModelIn::Response(_))) => "infer response".into(),
        Some(Handling::Inference(model_in)) => format!("infer {model_in:?}"),
        Some(Handling::Probe(_, ModelIn::Path)) => format!("ask {name}"),
        Some(Handling::Probe(_, ModelIn::Nowhere(_))) => "ask nowhere".into(),
        Some(Handling::Probe(_, model_in)) => format!("ask {model_in:?}"),
        Some(Handling::Local(_) | Handling::Models(_)) => "local".into(),
        Some(Handling::Service(_)) => "service".into(),
        Some(Handling::Refused(_)) => "refused".into(),
        Some(Handling::Passthrough) => format!("through {name}"),
    };
    format!("{}: {what}", found.api.name())
}

#[test]
fn each_request_has_its_api_and_where_its_model_is_named() {
    const OIP: &str = "Open Inference Protocol";
    for (method, path, api, what) in [
        ("POST", "/v2/models/m/infer", OIP, "infer m"),
        ("GET", "/v2/models/m/ready", OIP, "ask m"),
        ("HEAD", "/v2/models/a/b/ready", OIP, "ask a/b"),
        ("GET", "/v2/models/m", OIP, "ask m"),
        ("PUT", "/v2/models/m/x/y", OIP, "infer m/x/y"),
        ("POST", "/v2/models/m/generate_stream", OIP, "infer m"),
        ("GET", "/v2/models/stats", OIP, "ask nowhere"),
        ("POST", "/v2/models/", OIP, "nothing"),
        ("POST", "/v2/repository/index", OIP, "local"),
        ("POST", "/v2/repository/models/m/load", OIP, "refused"),
        ("GET", "/", OIP, "local"),
        ("GET", "/nowhere", OIP, "nothing"),
        ("GET", "/V2/models/m", OIP, "nothing"),
        ("GET", "/v1", "OpenAI", "nothing"),
        ("GET", "/v10/x", OIP, "nothing"),
        ("GET", "/upstream/m/slots", OIP, "through m/slots"),
        ("POST", "/v1/chat/completions", "OpenAI", "infer Body"),
        ("OPTIONS", "/v1/chat/completions", "OpenAI", "infer Body"),
        ("GET", "/v1/chat/completions", "OpenAI", "nothing"),
        (
            "POST",
            "/openai/v1/chat/completions",
            "OpenAI",
            "infer Body",
        ),
        ("GET", "/openai/v1/models/a%2Fb", "OpenAI", "local"),
        ("POST", "/openai/v2/models/m/infer", OIP, "nothing"),
        ("POST", "/v1/responses", "OpenAI", "infer Body"),
        ("GET", "/v1/responses/resp_1", "OpenAI", "infer response"),
        (
            "POST",
            "/v1/responses/resp_1/cancel",
            "OpenAI",
            "infer response",
        ),
        ("DELETE", "/v1/models/m", "OpenAI", "refused"),
        ("GET", "/v1/realtime", "OpenAI", "infer Query"),
        ("POST", "/v1/anything/else", "OpenAI", "infer Body"),
        ("POST", "/v1/messages", "Anthropic", "infer Body"),
        ("POST", "/v1/messages/batches", "Anthropic", "infer nowhere"),
        (
            "POST",
            "/v1/models/llama:8b:predict",
            "KServe V1",
            "infer llama:8b",
        ),
        ("POST", "/v1/models/m:delete", "OpenAI", "infer Body"),
        (
            "POST",
            "/v2/rerank",
            "Rerank, score, tokenize",
            "infer Body",
        ),
        ("POST", "/api/chat", "Ollama", "infer Body"),
        ("POST", "/api/show", "Ollama", "ask Body"),
        ("DELETE", "/api/delete", "Ollama", "refused"),
        ("POST", "/", "Text Generation Inference", "infer Body"),
    ] {
        let expected = format!("{api}: {what}");
        assert_eq!(
            found("application/json", method, path),
            expected,
            "{method} {path}"
        );
    }
}

#[test]
fn only_grpc_is_grpc() {
    const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
    const OTHER: &str = "Open Inference Protocol: nothing";
    for (content_type, path, expected) in [
        ("application/grpc", INFER, "gRPC: infer Message(1)"),
        ("application/grpc+proto", INFER, "gRPC: infer Message(1)"),
        ("application/gRPC; x=y", INFER, "gRPC: infer Message(1)"),
        ("application/grpc-web+proto", INFER, OTHER),
        ("application/json", INFER, OTHER),
        ("application/grpc", "/a.B/C", "gRPC: nothing"),
        ("application/grpc", "/v2/models/m/infer", "gRPC: nothing"),
        (
            "application/grpc",
            "/inference.GRPCInferenceService/ModelReady",
            "gRPC: ask Message(1)",
        ),
        (
            "application/grpc",
            "/inference.GRPCInferenceService/RepositoryModelUnload",
            "gRPC: refused",
        ),
        (
            "application/grpc",
            "/grpc.health.v1.Health/Watch",
            "gRPC: service",
        ),
        (
            "application/grpc",
            "/grpc.health.v1.Health/Other",
            "gRPC: nothing",
        ),
        (
            "application/grpc",
            "/inference.GRPCInferenceService/Other",
            "gRPC: nothing",
        ),
    ] {
        assert_eq!(
            found(content_type, "POST", path),
            expected,
            "{content_type} {path}"
        );
    }
}

#[test]
fn a_header_tells_requests_to_one_path_apart() {
    let mut headers = HeaderMap::new();
    assert_eq!(
        find(&headers, &Method::GET, "/v1/models").api.name(),
        "OpenAI"
    );
    headers.insert("anthropic-version", "2023-06-01".parse().unwrap());
    assert_eq!(
        find(&headers, &Method::GET, "/v1/models").api.name(),
        "Anthropic"
    );
}

#[test]
fn methods_of_a_path_are_told() {
    for (path, expected) in [
        ("/v1/models/m", "DELETE, GET, HEAD"),
        ("/v1/chat/completions", "POST"),
        ("/", "GET, HEAD, POST"),
        ("/nowhere", ""),
        ("/v1/unknown", ""),
    ] {
        assert_eq!(allowed_methods(path), expected, "{path}");
    }
}

#[test]
fn what_is_refused_is_refused_with_a_header_as_well() {
    assert!(refusal(&Method::POST, "/v2/repository/models/m/unload").is_some());
    assert!(refusal(&Method::POST, "/openai/v1/load_lora_adapter").is_some());
    assert!(refusal(&Method::POST, "/v2/repository/index").is_none());
    assert!(refusal(&Method::POST, "/v2/models/m/infer").is_none());
}

#[test]
fn no_two_rows_are_for_the_same_requests() {
    let mut seen = HashSet::new();
    for row in PROTOCOLS.iter().flat_map(|api| api.routes()) {
        let key = (row.pattern.to_string(), row.methods.to_string(), row.header);
        assert!(seen.insert(key), "{row:?}");
        assert!(row.pattern.literal().starts_with('/'), "{row:?}");
    }
}

#[test]
fn each_api_says_in_its_form_what_is_wrong_and_when_to_come_back() {
    let full = ProxyError::QueueFull {
        model: "m\"".into(),
        limit: 3,
        retry_after: 7,
    };
    for api in PROTOCOLS {
        let response = api.error(&full);
        if api.is_grpc() {
            assert_eq!(
                (response.status().as_u16(), response.body().len()),
                (200, 0)
            );
            assert_eq!(response.headers()["grpc-status"], "8");
            assert_eq!(response.headers()["grpc-message"], &*full.message());
            continue;
        }
        assert_eq!(response.status().as_u16(), 429, "{}", api.name());
        assert_eq!(response.headers()[RETRY_AFTER], "7", "{}", api.name());
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        let message = match &body["error"] {
            serde_json::Value::Object(error) => &error["message"],
            error => error,
        };
        assert_eq!(*message, *full.message(), "{}", api.name());
    }
}

/// The rows of one API as the reference shows them.
fn section(name: &str, routes: &[Route]) -> String {
    let mut text = format!(
        "\n### {name}\n\n| request | the model is named | what becomes of it |\n|---|---|---|\n"
    );
    for route in routes {
        let model = match route.model_in() {
            Some(ModelIn::Path) => "in the path",
            Some(ModelIn::Body) => "in the body's `model`",
            Some(ModelIn::Query) => "in the query's `model`",
            Some(ModelIn::Message(_)) => "in the first message",
            Some(ModelIn::Response(_)) => "by the response's id",
            Some(ModelIn::Nowhere(_)) => "nowhere",
            None => "–",
        };
        let what = match route.handling {
            Handling::Inference(ModelIn::Nowhere(why)) => {
                format!("inference, if one model with one replica is meant; else refused: {why}")
            }
            Handling::Inference(ModelIn::Response(why)) => format!(
                "inference, at the replica that keeps the response; if it is not known, as if the \
                 model were named nowhere: {why}"
            ),
            Handling::Inference(_) => "inference".to_owned(),
            Handling::Probe(Probe::Readiness(_), _) => "question: ready?".to_owned(),
            Handling::Probe(_, ModelIn::Nowhere(why)) => {
                format!("question, if one model is meant; else refused: {why}")
            }
            Handling::Probe(..) => "question".to_owned(),
            Handling::Local(local) | Handling::Models(local) => format!("answered: {}", local.what),
            Handling::Service(service) => format!("answered: {}", service.what()),
            Handling::Refused(why) => format!("refused: {why}"),
            Handling::Passthrough => "what the rest of the path is".to_owned(),
        };
        let header = route.header.map(|name| format!(" with `{name}`"));
        let (methods, header) = (route.methods, header.unwrap_or_default());
        writeln!(
            text,
            "| {methods} `{}`{header} | {model} | {what} |",
            route.pattern
        )
        .unwrap();
    }
    text
}

#[test]
fn the_reference_shows_the_table() {
    const BEGIN: &str =
        "<!-- The table of APIs: a test of the proxy writes it when MAKE_DOCS is set. -->\n";
    const END: &str = "\n<!-- The end of the table. -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/protocols.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("where the table begins");
    let (shown, after) = rest.split_once(END).expect("where the table ends");
    let sections = PROTOCOLS
        .iter()
        .map(|api| section(api.name(), api.routes()));
    let expected: String = sections.collect();
    if std::env::var_os("MAKE_DOCS").is_some() {
        fs::write(path, [before, BEGIN, &expected, END, after].concat()).unwrap();
    } else {
        assert_eq!(shown, expected, "MAKE_DOCS=1 makes it anew");
    }
}

proptest! {
    #[test]
    fn any_path_is_looked_up_without_harm(path in "/(v1|v2|openai/v1|api|upstream)?(/models|/|[a-z:é%]{1,4}){0,4}") {
        for method in [Method::GET, Method::POST, Method::OPTIONS, Method::PATCH] {
            let found = find(&HeaderMap::new(), &method, &path);
            prop_assert!(path.get(found.name).is_some());
        }
    }
}
