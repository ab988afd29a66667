//! How connections to a server's replicas are opened: which HTTP version, with TLS or without.

use std::{io, sync::Arc};

use http::uri::Scheme;
use rustls::{
    ClientConfig,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tailback_config::{Protocol, Server};
use tokio_rustls::TlsConnector;

use crate::{
    net::{Socket, Transport, tls},
    status::MethodType,
};

/// Opens connections to a server's replicas. Made once per server when it is configured.
#[derive(Debug)]
pub struct Connector {
    protocol: Protocol,
    tls: Option<Result<Tls, rustls::Error>>,
}

#[derive(Debug)]
struct Tls {
    /// One configuration for each ALPN offer: HTTP/1.1, HTTP/2, or both.
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    either: Arc<ClientConfig>,
    /// The server name to verify instead of the endpoint's host.
    name: Option<String>,
}

/// The HTTP version to speak on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpOffer {
    Http1,
    Http2,
    /// The replica chooses, by ALPN.
    Either,
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be reached, or a handshake failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It took longer than `timeouts.connectSeconds`.
    #[error("no connection within timeouts.connectSeconds")]
    Slow,
    /// The endpoint's host cannot be the name in a certificate.
    #[error("the endpoint's host is not a valid TLS server name: {0}")]
    Name(#[from] InvalidDnsNameError),
    /// The TLS configuration is unusable.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// HTTP/2 is required, and the replica does not offer it.
    #[error("the replica does not offer HTTP/2")]
    NoHttp2,
    /// The request is gRPC, and the server's `protocol` is `http1`.
    #[error("the server speaks HTTP/1.1 only")]
    NoGrpc,
}

impl Connector {
    /// A connector for the replicas of `server`.
    #[must_use]
    pub fn new(server: &Server) -> Self {
        let tls = server.tls().map(|spec| {
            let offer = |protocols: &[&[u8]]| tls::client(spec, protocols).map(Arc::new);
            Ok(Tls {
                http1: offer(&[b"http/1.1"])?,
                http2: offer(&[b"h2"])?,
                either: offer(&[b"h2", b"http/1.1"])?,
                name: spec.server_name.clone(),
            })
        });
        Self {
            protocol: server.protocol,
            tls,
        }
    }

    /// Whether connections use TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The scheme in requests to the replicas (RFC 9110, 4.2).
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.is_secure() {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        }
    }

    /// Which HTTP version to offer. gRPC needs HTTP/2. On a clear-text connection the version
    /// cannot be negotiated, and every server speaks HTTP/1.1. Protocol upgrades need HTTP/1.1.
    pub(super) fn offer(
        &self,
        method: MethodType,
        upgrade: bool,
    ) -> Result<HttpOffer, ConnectError> {
        match (self.protocol, method) {
            (Protocol::Http1, MethodType::Grpc) => Err(ConnectError::NoGrpc),
            (Protocol::Http1, _) => Ok(HttpOffer::Http1),
            (Protocol::H2 | Protocol::H2c, _) | (Protocol::Auto, MethodType::Grpc) => {
                Ok(HttpOffer::Http2)
            }
            (Protocol::Auto, _) if self.is_secure() && !upgrade => Ok(HttpOffer::Either),
            (Protocol::Auto, _) => Ok(HttpOffer::Http1),
        }
    }

    /// Connects to `authority` (`host:port`). The certificate must be for the host in `name`.
    /// Returns the connection and the HTTP version to speak on it.
    pub(super) async fn open(
        &self,
        offer: HttpOffer,
        authority: &str,
        name: &str,
    ) -> Result<(Transport<Socket>, HttpOffer), ConnectError> {
        let socket = Socket::connect(authority).await?;
        let tls = match &self.tls {
            None => return Ok((Transport::clear(socket), offer)),
            Some(tls) => tls.as_ref().map_err(Clone::clone)?,
        };
        let config = match offer {
            HttpOffer::Http1 => &tls.http1,
            HttpOffer::Http2 => &tls.http2,
            HttpOffer::Either => &tls.either,
        };
        let host = tls.name.as_deref().unwrap_or_else(|| host(name));
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(config.clone())
            .connect(name, socket)
            .await?;
        let chosen = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => HttpOffer::Http2,
            _ if offer == HttpOffer::Http2 => return Err(ConnectError::NoHttp2),
            _ => HttpOffer::Http1,
        };
        Ok((Transport::tls(stream), chosen))
    }
}

/// The host of `host:port`, an IPv6 address without its brackets.
fn host(authority: &str) -> &str {
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(protocol: Protocol) -> Connector {
        Connector {
            protocol,
            tls: None,
        }
    }

    #[test]
    fn grpc_uses_http2_and_other_requests_the_configured_version() {
        for (protocol, method, expected) in [
            (Protocol::Auto, MethodType::Rest, Some(HttpOffer::Http1)),
            (Protocol::Auto, MethodType::Grpc, Some(HttpOffer::Http2)),
            (Protocol::Http1, MethodType::Rest, Some(HttpOffer::Http1)),
            (Protocol::Http1, MethodType::Grpc, None),
            (Protocol::H2c, MethodType::Rest, Some(HttpOffer::Http2)),
            (Protocol::H2, MethodType::Rest, Some(HttpOffer::Http2)),
        ] {
            let found = connector(protocol).offer(method, false).ok();
            assert_eq!(found, expected, "{protocol:?} {method:?}");
        }
    }

    #[test]
    fn hosts_are_without_port_and_brackets() {
        for (authority, expected) in [
            ("a.b:1", "a.b"),
            ("[::1]:1", "::1"),
            ("1.2.3.4:5", "1.2.3.4"),
        ] {
            assert_eq!(host(authority), expected);
        }
    }
}
