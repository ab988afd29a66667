//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

/// What an address may be.
pub const EXPECTED: &str = "an address and a port, such as 127.0.0.1:9000, localhost:9000 or [::]:9000; \
     :9000 for all addresses; a port alone for 127.0.0.1";

/// The address that `text` stands for: `127.0.0.1:9000`, `[::]:9000`, a host name that this machine
/// can resolve and a port, `:9000` (all addresses of IPv4) or `9000` (the loopback).
#[must_use]
pub fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    // "+9000" would be a number, too.
    let port = port
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(port)?;
    let port = port.parse().ok()?;
    let ip: IpAddr = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED.into(),
        // The same everywhere, and without asking anybody.
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        name => resolved(name)?,
    };
    Some(SocketAddr::new(ip, port))
}

/// The first address of the host `name`, one of IPv4 if there is any.
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
