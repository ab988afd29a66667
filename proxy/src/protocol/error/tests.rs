//! The reference lists every error with its status, code and outcome.

use std::{fs, path::Path};

use super::*;

/// One sample of each error, and of each fault in [`ProxyError::Unnamed`].
fn samples() -> Vec<ProxyError> {
    let model = || "NAME".to_owned();
    let mut samples = vec![
        ProxyError::UnknownModel(model()),
        ProxyError::NoApiKey,
        ProxyError::WrongApiKey,
        ProxyError::ExpiredApiKey,
        ProxyError::ModelForbidden { model: model() },
        ProxyError::RateLimited {
            limit: 60,
            retry_after: 1,
        },
        ProxyError::ConcurrencyLimited { limit: 8 },
        ProxyError::NoModel,
        ProxyError::BadModelHeader,
        ProxyError::BadHost,
        ProxyError::BadLength,
        ProxyError::BadTarget,
        ProxyError::TransferCoding,
        ProxyError::GrpcNeedsHttp2,
        ProxyError::NoMethod,
        ProxyError::Refused("models are loaded and unloaded by the manifests, not by requests"),
        ProxyError::NotRouted(
            "the path does not say which model is meant: name it in the header seldon-model",
        ),
        ProxyError::WrongMethod {
            allowed: "GET, HEAD".into(),
        },
        ProxyError::BadPath,
        ProxyError::BadModelQuery,
        ProxyError::TwoModels {
            first: model(),
            second: "OTHER".into(),
        },
        ProxyError::Asleep { model: model() },
        ProxyError::Busy { model: model() },
        ProxyError::NoGrpc { model: model() },
        ProxyError::WrongProtocol { model: model() },
        ProxyError::Connect,
        ProxyError::NoRoom,
        ProxyError::MemoryShort,
        ProxyError::QueueFull {
            model: model(),
            limit: 10_000,
            retry_after: 1,
        },
        ProxyError::NotLoaded {
            model: "NAME".into(),
            why: "WHY".into(),
            retry_after: 1,
        },
        ProxyError::HeldTooLong {
            model: model(),
            seconds: 300.0,
            retry_after: 1,
        },
        ProxyError::SwitchedOff { model: model() },
        ProxyError::ShuttingDown,
        ProxyError::Unreachable { model: model() },
        ProxyError::UpstreamReset { model: model() },
        ProxyError::UpstreamHeader { model: model() },
        ProxyError::UpstreamSlow(Limit::ResponseHeader),
        ProxyError::PastDeadline,
        ProxyError::Cancelled,
        ProxyError::CallerSlow,
        ProxyError::CallerGone,
    ];
    let faults = [
        Fault::NotJson,
        Fault::NotForm,
        Fault::AmbiguousForm,
        Fault::NotUtf8,
        Fault::NotMessage,
        Fault::Absent,
        Fault::AbsentInMessage,
        Fault::Twice,
        Fault::TwiceInMessage,
        Fault::NotText,
        Fault::TooLong,
        Fault::Compressed,
        Fault::CompressedTooLong,
        Fault::OtherModel,
        Fault::NameTooLate,
        Fault::UnknownCoding,
        Fault::NotDecodable,
        Fault::Bomb,
        Fault::TooFar(268_435_456),
    ];
    samples.extend(faults.into_iter().map(ProxyError::Unnamed));
    samples
}

/// Fails to compile for a new variant: add a sample above, and a row to the reference.
fn is_sampled(error: &ProxyError) {
    match error {
        ProxyError::UnknownModel(_)
        | ProxyError::NoApiKey
        | ProxyError::WrongApiKey
        | ProxyError::ExpiredApiKey
        | ProxyError::ModelForbidden { .. }
        | ProxyError::RateLimited { .. }
        | ProxyError::ConcurrencyLimited { .. }
        | ProxyError::NoModel
        | ProxyError::BadModelHeader
        | ProxyError::BadHost
        | ProxyError::BadLength
        | ProxyError::BadTarget
        | ProxyError::TransferCoding
        | ProxyError::GrpcNeedsHttp2
        | ProxyError::NoMethod
        | ProxyError::Refused(_)
        | ProxyError::NotRouted(_)
        | ProxyError::WrongMethod { .. }
        | ProxyError::BadPath
        | ProxyError::BadModelQuery
        | ProxyError::TwoModels { .. }
        | ProxyError::Asleep { .. }
        | ProxyError::Busy { .. }
        | ProxyError::NoGrpc { .. }
        | ProxyError::WrongProtocol { .. }
        | ProxyError::Connect
        | ProxyError::NoRoom
        | ProxyError::MemoryShort
        | ProxyError::QueueFull { .. }
        | ProxyError::HeldTooLong { .. }
        | ProxyError::NotLoaded { .. }
        | ProxyError::SwitchedOff { .. }
        | ProxyError::ShuttingDown
        | ProxyError::Unreachable { .. }
        | ProxyError::UpstreamReset { .. }
        | ProxyError::UpstreamHeader { .. }
        | ProxyError::UpstreamSlow(_)
        | ProxyError::PastDeadline
        | ProxyError::Cancelled
        | ProxyError::CallerSlow
        | ProxyError::CallerGone => {}
        ProxyError::Unnamed(fault) => match fault {
            Fault::NotJson
            | Fault::NotForm
            | Fault::AmbiguousForm
            | Fault::NotUtf8
            | Fault::NotMessage
            | Fault::Absent
            | Fault::AbsentInMessage
            | Fault::Twice
            | Fault::TwiceInMessage
            | Fault::NotText
            | Fault::TooLong
            | Fault::Compressed
            | Fault::CompressedTooLong
            | Fault::OtherModel
            | Fault::NameTooLate
            | Fault::UnknownCoding
            | Fault::NotDecodable
            | Fault::Bomb
            | Fault::TooFar(_) => {}
        },
    }
}

#[test]
fn the_reference_lists_every_error_with_status_code_and_outcome() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/errors.md");
    let page = fs::read_to_string(page).unwrap();
    for error in samples() {
        is_sampled(&error);
        let details = error.details();
        let message = format!("`{}`", details.message);
        let row = page.lines().find(|line| line.contains(&message));
        let row = row.unwrap_or_else(|| panic!("{message} is not in errors.md"));
        if matches!(error, ProxyError::Unnamed(_)) {
            continue; // the two have a common row
        }
        // Over HTTP/1.1 there is no gRPC status.
        let code = match error {
            ProxyError::GrpcNeedsHttp2 => "–".to_owned(),
            _ => format!("`{}`", details.code.label()),
        };
        let outcome = details
            .outcome
            .map_or_else(|| "–".to_owned(), |o| format!("`{}`", o.label()));
        let expected = format!("| {} | {code} | {outcome} | ", details.status.as_u16());
        assert!(row.starts_with(&expected), "expected {expected} in {row}");
    }
}
