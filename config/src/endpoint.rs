//! Addresses of replicas, such as `http://host:8080`, and how they are reached by TLS.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// The form of an endpoint, for messages.
pub(crate) const EXPECTED: &str =
    "http://host or http://host:port (or https), with no path, query or user";

/// The address of a replica or gateway, such as `http://host:8080`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `host:port`, as a `Host` header or a connector wants it; an IPv6 host is in brackets.
    pub authority: String,
    /// The host alone: a name or an address; IPv6 without brackets.
    pub host: String,
    /// The port; 80 where the address had none, 443 with `https`.
    pub port: u16,
    /// Whether it is reached by TLS (`https://`).
    pub secure: bool,
    /// The address for gRPC, if it is another one.
    pub grpc: Option<Box<Endpoint>>,
}

/// How replicas are reached by TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Certificates (DER) of the authorities that may have signed the replicas' certificates;
    /// empty: the system's.
    pub ca: Vec<Vec<u8>>,
    /// The name that their certificates must have; `None`: the endpoint's host.
    pub server_name: Option<String>,
}

// === impl Endpoint ===

impl Endpoint {
    /// Reads `http://host[:port]` or `https://host[:port]`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, secure) = match text.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => (text.strip_prefix("http://")?, false),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<Ipv6Addr>().ok()?;
                (
                    host,
                    if port.is_empty() {
                        None
                    } else {
                        Some(port.strip_prefix(':')?)
                    },
                )
            }
            None => {
                let (host, port) = match rest.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (rest, None),
                };
                is_host(host).then_some(())?;
                (host, port)
            }
        };
        let port = match port {
            None if secure => 443,
            None => 80,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port != 0)?
            }
            Some(_) => return None,
        };
        let host = host.to_ascii_lowercase();
        let authority = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        Some(Self {
            authority,
            host,
            port,
            secure,
            grpc: None,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority)
    }
}

/// Whether `host` is an IPv4 address or a DNS name (RFC 1123, and `_`, which Docker uses).
fn is_host(host: &str) -> bool {
    if host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_host_with_or_without_a_port_is_an_endpoint() {
        for (text, authority, host, port) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1", 8080),
            (
                "http://Triton.models",
                "triton.models:80",
                "triton.models",
                80,
            ),
            ("http://[::1]:9000", "[::1]:9000", "::1", 9000),
            ("http://[fe80::1]", "[fe80::1]:80", "fe80::1", 80),
            ("http://my_server:1", "my_server:1", "my_server", 1),
            ("https://a", "a:443", "a", 443),
            ("https://[::1]:1", "[::1]:1", "::1", 1),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(
                (&*endpoint.authority, &*endpoint.host, endpoint.port),
                (authority, host, port)
            );
        }
    }

    #[test]
    fn anything_else_is_not_an_endpoint() {
        for text in [
            "",
            "host:80",
            "https:/a",
            "HTTP://a",
            "http://",
            "http://a/",
            "http://a/v2",
            "http://a?b",
            "http://a#b",
            "http://user@a",
            "http://u:p@a:80",
            "http://a:",
            "http://a:0",
            "http://a:65536",
            "http://a:+80",
            "http://[::1",
            "http://[::1]80",
            "http://::1",
            "http://[127.0.0.1]",
            "http://999.1.1.1",
            "http://a b",
            "http://a\r\nHost: b",
            "http://-a",
            "http://a..b",
            "http://é",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_parsed_reads_back_the_same(text in "http://[a-z0-9.:@/\\[\\]-]{0,30}") {
            if let Some(endpoint) = Endpoint::parse(&text) {
                prop_assert_eq!(Endpoint::parse(&format!("http://{endpoint}")), Some(endpoint));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = Endpoint::parse(&text);
        }
    }
}
