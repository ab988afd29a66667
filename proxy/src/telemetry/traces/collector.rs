//! The exporter for the collector that the settings name, from OpenTelemetry's crate for OTLP.

use std::{io, time::Duration};

use http::HeaderMap;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::KeyValue;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{
    Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::{Resource, trace::SpanExporter as _};
use tailback_config::{OtlpProtocol, Traces, UpstreamTls};
use tonic::{metadata::MetadataMap, transport::Endpoint};

use crate::{net::tls, telemetry::build_info};

/// How long a connection to the collector may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Makes the exporter. It connects when it first exports. Must run within a tokio runtime.
pub(super) fn exporter(traces: &Traces) -> io::Result<SpanExporter> {
    let mut exporter = match traces.protocol {
        OtlpProtocol::Grpc => grpc(traces)?,
        OtlpProtocol::Http => SpanExporter::builder()
            .with_http()
            .with_http_client(HyperClient::new(connector()?, traces.timeout, None))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&traces.endpoint)
            .with_timeout(traces.timeout)
            .with_headers(traces.headers.iter().cloned().collect())
            .build()
            .map_err(io::Error::other)?,
    };
    exporter.set_resource(&resource(traces));
    Ok(exporter)
}

fn grpc(traces: &Traces) -> io::Result<SpanExporter> {
    let mut headers = HeaderMap::new();
    for (name, value) in &traces.headers {
        let name = http::HeaderName::try_from(name.to_ascii_lowercase());
        let name = name.map_err(io::Error::other)?;
        headers.append(name, value.parse().map_err(io::Error::other)?);
    }
    let endpoint = Endpoint::from_shared(traces.endpoint.clone()).map_err(io::Error::other)?;
    let channel = endpoint
        .timeout(traces.timeout)
        .connect_with_connector_lazy(connector()?);
    SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_metadata(MetadataMap::from_headers(headers))
        .with_timeout(traces.timeout)
        .build()
        .map_err(io::Error::other)
}

/// In clear text or by TLS, as the URL says; trusts what the system trusts.
fn connector() -> io::Result<HttpsConnector<HttpConnector>> {
    let tls = tls::client(&UpstreamTls::default(), &[]).map_err(io::Error::other)?;
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(CONNECT));
    http.enforce_http(false);
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http))
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
