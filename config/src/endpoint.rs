//! `http://host[:port]`, or `https://`, to an [`Endpoint`].

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::Endpoint;

/// What an endpoint must look like, for messages.
pub(crate) const EXPECTED: &str =
    "http://host or http://host:port (or https), with no path, query or user";

impl Endpoint {
    /// The endpoint that `text` names; only `http://host[:port]` and `https://host[:port]`.
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

/// Whether `host` is an IPv4 address or a name as DNS has them (RFC 1123; `_` as Docker's names).
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
