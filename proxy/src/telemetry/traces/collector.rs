//! A client of the collector in the settings, which takes OTLP messages by gRPC or HTTP.

use std::{fs, io, path::Path, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Uri,
    header::{CONTENT_TYPE, USER_AGENT},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::KeyValue;
use opentelemetry_proto::{
    tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_client::TraceServiceClient,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::Message;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tailback_config::{OtlpProtocol, Traces, UpstreamTls};
use tonic::{
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

use crate::{net::tls, telemetry::build_info};

/// How long a connection to the collector may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The longest response that is read: it has a count and a sentence.
const LONGEST_ANSWER: usize = 64 * 1024;
const AGENT: &str = concat!("tailback/", env!("CARGO_PKG_VERSION"));

/// The collector.
#[derive(Debug)]
pub(super) struct Collector {
    connection: CollectorConnection,
    resource: ResourceAttributesWithSchema,
}

#[derive(Debug)]
enum CollectorConnection {
    Grpc {
        client: TraceServiceClient<Channel>,
        headers: MetadataMap,
    },
    Http {
        client: Box<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>,
        url: Uri,
        headers: HeaderMap,
    },
}

impl Collector {
    /// A client that connects at the first export. Must run within a tokio runtime.
    pub(super) fn new(traces: &Traces) -> io::Result<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &traces.headers {
            let name = HeaderName::try_from(name.to_ascii_lowercase());
            let name = name.map_err(io::Error::other)?;
            headers.append(name, value.parse().map_err(io::Error::other)?);
        }
        let connector = connector(traces.ca.as_deref())?;
        let connection = match traces.protocol {
            OtlpProtocol::Grpc => {
                let endpoint = Endpoint::from_shared(traces.endpoint.clone());
                let endpoint = endpoint.and_then(|endpoint| endpoint.user_agent(AGENT));
                let endpoint = endpoint.map_err(io::Error::other)?.timeout(traces.timeout);
                let channel = endpoint.connect_with_connector_lazy(connector);
                CollectorConnection::Grpc {
                    client: TraceServiceClient::new(channel),
                    headers: MetadataMap::from_headers(headers),
                }
            }
            OtlpProtocol::Http => {
                let kind = HeaderValue::from_static("application/x-protobuf");
                headers.insert(CONTENT_TYPE, kind);
                headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
                CollectorConnection::Http {
                    client: Box::new(Client::builder(TokioExecutor::new()).build(connector)),
                    url: traces.endpoint.parse().map_err(io::Error::other)?,
                    headers,
                }
            }
        };
        Ok(Self {
            connection,
            resource: (&resource(traces)).into(),
        })
    }

    /// Exports `spans`. Returns the collector's message about spans that it has rejected, if there
    /// is one.
    ///
    /// # Errors
    /// Why the export failed, as a sentence.
    pub(super) async fn export(
        &mut self,
        spans: Vec<SpanData>,
    ) -> Result<Option<ExportTracePartialSuccess>, String> {
        let message = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
        };
        let response = match &mut self.connection {
            CollectorConnection::Grpc { client, headers } => {
                let mut request = tonic::Request::new(message);
                request.metadata_mut().clone_from(headers);
                let response = client.export(request).await;
                response.map_err(|status| status.to_string())?.into_inner()
            }
            CollectorConnection::Http {
                client,
                url,
                headers,
            } => {
                let mut request = Request::new(Full::from(message.encode_to_vec()));
                *request.method_mut() = http::Method::POST;
                url.clone_into(request.uri_mut());
                headers.clone_into(request.headers_mut());
                let response = client.request(request).await;
                let (head, body) = response.map_err(|error| sources(&error))?.into_parts();
                if !head.status.is_success() {
                    return Err(format!("it answered {}", head.status));
                }
                let body = Limited::new(body, LONGEST_ANSWER).collect().await;
                let body = body.map_err(|error| error.to_string())?.to_bytes();
                // A collector that answers nothing, or something else, has taken all spans.
                ExportTraceServiceResponse::decode(body).unwrap_or_default()
            }
        };
        let rejected = response.partial_success;
        Ok(rejected.filter(|rejected| rejected.rejected_spans > 0))
    }
}

/// An error with its causes.
fn sources(error: &dyn std::error::Error) -> String {
    let more = std::iter::successors(error.source(), |error| error.source());
    more.fold(error.to_string(), |text, source| {
        format!("{text}: {source}")
    })
}

/// In clear text or with TLS, depending on the URL; trusts the authorities in `ca`, or those of
/// the system.
fn connector(ca: Option<&Path>) -> io::Result<HttpsConnector<HttpConnector>> {
    let spec = UpstreamTls {
        ca: match ca {
            Some(file) => certificates(file)?,
            None => Vec::new(),
        },
        server_name: None,
    };
    let tls = tls::client(&spec, &[]).map_err(io::Error::other)?;
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT));
    http.enforce_http(false);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http))
}

/// The certificates in a PEM file, at least one.
fn certificates(file: &Path) -> io::Result<Vec<Vec<u8>>> {
    let wrong = |why: String| {
        let why = format!("OTEL_EXPORTER_OTLP_CERTIFICATE: {}: {why}", file.display());
        io::Error::other(why)
    };
    let text = fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let found = CertificateDer::pem_slice_iter(&text).map(|found| found.map(|der| der.to_vec()));
    let found: Vec<_> = found
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    match found.is_empty() {
        true => Err(wrong(
            "it has no certificate in it, expected PEM".to_owned(),
        )),
        false => Ok(found),
    }
}

fn resource(traces: &Traces) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.name", traces.service_name.clone()),
        KeyValue::new("service.version", build_info::VERSION),
        KeyValue::new("telemetry.sdk.language", "rust"),
        KeyValue::new("telemetry.sdk.name", "opentelemetry"),
    ];
    let given = traces.resource.iter().cloned();
    attributes.extend(given.map(|(key, value)| KeyValue::new(key, value)));
    Resource::builder_empty()
        .with_attributes(attributes)
        .build()
}
