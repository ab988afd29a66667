//! HeaderEncoder and decoder together, and beside those of others.

mod differential;
mod rfc;

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::*;

/// A name and a value.
type Pair = (Vec<u8>, Vec<u8>);

fn pair(name: &str, value: &[u8]) -> Pair {
    (name.as_bytes().to_vec(), value.to_vec())
}

fn as_pair(field: &Field) -> Pair {
    match field {
        Field::Authority(value) => pair(":authority", value),
        Field::Method(method) => pair(":method", method.as_str().as_bytes()),
        Field::Path(value) => pair(":path", value),
        Field::Scheme(value) => pair(":scheme", value),
        Field::Protocol(value) => pair(":protocol", value),
        Field::Status(status) => pair(":status", status.as_str().as_bytes()),
        Field::Regular(name, value) => pair(name.as_str(), value.as_bytes()),
    }
}

fn decode(
    decoder: &mut HeaderDecoder,
    block: &[u8],
) -> Result<(Vec<Field>, DecodedBlock), CompressionError> {
    let mut fields = Vec::new();
    let read = decoder.decode(block, usize::MAX, |field| fields.push(field))?;
    Ok((fields, read))
}

/// The size of a header list.
fn size<'a>(pairs: impl IntoIterator<Item = &'a Pair>) -> usize {
    let size = |(name, value): &Pair| name.len() + value.len() + 32;
    pairs.into_iter().map(size).sum()
}

/// Encodes a field, whatever it is.
fn encode(encoder: &mut HeaderEncoder, field: &Field, out: &mut Vec<u8>) {
    match field {
        Field::Authority(value) => encoder.authority(value, out),
        Field::Method(method) => encoder.method(method, out),
        Field::Path(value) => encoder.path(value, out),
        Field::Scheme(value) => encoder.scheme(value == "https", out),
        Field::Status(status) => encoder.status(*status, out),
        Field::Regular(name, value) => encoder.field(name, value, out),
        Field::Protocol(_) => unreachable!("not sent"),
    }
}

fn regular(name: &'static str, value: &'static str) -> Field {
    Field::Regular(
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

/// Encodes a block of fields.
fn block(encoder: &mut HeaderEncoder, fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for field in fields {
        encode(encoder, field, &mut out);
    }
    out
}

/// A request by gRPC.
fn request(timeout: &'static str, trace: &'static str) -> Vec<Field> {
    vec![
        Field::Method(Method::POST),
        Field::Scheme("http".into()),
        Field::Path("/inference.GRPCInferenceService/ModelInfer".into()),
        Field::Authority("llama.models.svc:8080".into()),
        regular("te", "trailers"),
        regular("content-type", "application/grpc"),
        regular("user-agent", "grpc-python/1.62.1 grpc-c/39.0.0 (linux)"),
        regular("grpc-accept-encoding", "identity, deflate, gzip"),
        regular("grpc-timeout", timeout),
        regular("traceparent", trace),
        regular("authorization", "Bearer sk-0123456789"),
        regular("x-forwarded-for", "10.1.2.3"),
    ]
}

#[test]
fn what_repeats_takes_a_byte_and_what_changes_takes_its_value() {
    let (mut encoder, mut decoder) = (HeaderEncoder::new(), HeaderDecoder::new());
    let mut lengths = Vec::new();
    for (timeout, trace) in [
        ("1S", "00-1"),
        ("999m", "00-2"),
        ("998m", "00-3"),
        ("1S", "00-4"),
    ] {
        let fields = request(timeout, trace);
        let block = block(&mut encoder, &fields);
        let (decoded, read) = decode(&mut decoder, &block).unwrap();
        assert_eq!(decoded, fields);
        assert_eq!(
            read.size,
            size(&fields.iter().map(as_pair).collect::<Vec<_>>())
        );
        lengths.push(block.len());
    }
    // Nine fields of a byte, the timeout (1 + 1 + 4 bytes, later 0: its first value has an entry),
    // the trace (1 + 1 + 4 or more), and the secret (2 + 1 + 20).
    assert_eq!(
        lengths[2],
        9 + (1 + 1 + 1 + 4) + (1 + 1 + 1 + 4) + (2 + 1 + 20)
    );
}
