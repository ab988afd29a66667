//! A collector of traces, which decodes them by OpenTelemetry's published messages.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use tokio::{net::TcpListener, runtime::Builder};
use tonic::transport::server::TcpIncoming;

/// The collector; it ends with the test.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Seen,
}

#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    spans: Vec<Span>,
    resources: Vec<BTreeMap<String, String>>,
    /// The header fields of all exports.
    headers: Vec<http::HeaderMap>,
    /// What it says that it rejects of each export.
    rejects: i64,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protocol Buffers over HTTP/1.1.
    Http,
}

impl Collector {
    /// Starts it on a free port.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start(protocol: Protocol) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("its address");
        let seen = Seen::default();
        let all = seen.clone();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                match protocol {
                    Protocol::Grpc => grpc(listener, all).await,
                    Protocol::Http => http(listener, all).await,
                }
            });
        });
        Self { address, seen }
    }

    /// The spans that have come, by their names.
    ///
    /// # Panics
    /// If the collector did.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.seen.0.lock().expect("spans").spans.clone()
    }

    /// From now on it says that it rejects so many spans of each export.
    ///
    /// # Panics
    /// If the collector did.
    pub fn reject(&self, spans: i64) {
        self.seen.0.lock().expect("content").rejects = spans;
    }

    /// The attributes of the last export's resource.
    ///
    /// # Panics
    /// If the collector did, or nothing has come.
    #[must_use]
    pub fn resource(&self) -> BTreeMap<String, String> {
        let content = self.seen.0.lock().expect("resources");
        content.resources.last().expect("an export").clone()
    }

    /// A header field of the last export.
    ///
    /// # Panics
    /// If the collector did.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let content = self.seen.0.lock().expect("headers");
        let value = content.headers.last()?.get(name)?;
        Some(value.to_str().ok()?.to_owned())
    }
}

impl Seen {
    fn take(
        &self,
        headers: http::HeaderMap,
        request: ExportTraceServiceRequest,
    ) -> ExportTraceServiceResponse {
        let mut content = self.0.lock().expect("content");
        content.headers.push(headers);
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.unwrap_or_default();
            content.resources.push(attributes(&resource.attributes));
            let scopes = of_resource.scope_spans.into_iter();
            content.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        let rejected = ExportTracePartialSuccess {
            rejected_spans: content.rejects,
            error_message: "no room".to_owned(),
        };
        ExportTraceServiceResponse {
            partial_success: (content.rejects > 0).then_some(rejected),
        }
    }
}

/// Attributes as text.
#[must_use]
pub fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let one = |pair: &KeyValue| (pair.key.clone(), text(pair.value.as_ref()));
    all.iter().map(one).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(flag)) => flag.to_string(),
        Some(Value::ArrayValue(array)) => {
            let all: Vec<_> = array.values.iter().map(|value| text(Some(value))).collect();
            all.join(",")
        }
        other => format!("{other:?}"),
    }
}

async fn http(listener: TcpListener, seen: Seen) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = seen.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let seen = seen.clone();
            async move {
                let (head, body) = request.into_parts();
                assert_eq!(head.uri.path(), "/v1/traces");
                assert_eq!(head.headers["content-type"], "application/x-protobuf");
                let body = body.collect().await.expect("a body").to_bytes();
                let request = ExportTraceServiceRequest::decode(body).expect("an export");
                let answer = seen.take(head.headers, request).encode_to_vec();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(answer))))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn grpc(listener: TcpListener, seen: Seen) {
    let service = TraceServiceServer::new(seen);
    let server = tonic::transport::Server::builder().add_service(service);
    let incoming = TcpIncoming::from(listener);
    let _ = server.serve_with_incoming(incoming).await;
}

#[tonic::async_trait]
impl TraceService for Seen {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let (metadata, _, request) = request.into_parts();
        let answer = self.take(metadata.into_headers(), request);
        Ok(tonic::Response::new(answer))
    }
}
