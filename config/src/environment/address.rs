//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// The forms of an address, for messages.
pub const EXPECTED: &str = "an address and a port, such as 127.0.0.1:9000, localhost:9000 or [::]:9000; \
     :9000 for all addresses; a port alone for 127.0.0.1";

/// Reads an address to listen on: `127.0.0.1:9000`, `[::]:9000`, a resolvable host name with a
/// port, `:9000` (all IPv4 addresses), or `9000` (127.0.0.1).
#[must_use]
pub fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    // `parse` alone would accept "+9000".
    let port = port
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(port)?;
    let port = port.parse().ok()?;
    let ip: IpAddr = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED.into(),
        // Without a resolver, so that it is the same on every machine.
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        name => resolved(name)?,
    };
    Some(SocketAddr::new(ip, port))
}

/// The first address of the host `name`, IPv4 preferred.
fn resolved(name: &str) -> Option<IpAddr> {
    let plausible = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    let found = plausible.then(|| (name, 0).to_socket_addrs().ok())??;
    let mut found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_people_write_it() {
        for (text, expected) in [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:9000", "127.0.0.1:9000"),
            (":9000", "0.0.0.0:9000"),
            ("*:9000", "0.0.0.0:9000"),
            ("9000", "127.0.0.1:9000"),
        ] {
            assert_eq!(
                parse(text).map(|address| address.to_string()).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        for wrong in [
            "",
            ":",
            "here",
            "localhost",
            "localhost:",
            "70000",
            ":70000",
            "-1",
            "+9000",
            "127.0.0.1",
            "::1",
            "a b:9000",
            "http://localhost:9000",
            "no-such-host.invalid:9000",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
