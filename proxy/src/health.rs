//! `tailback health`: asks the proxy on this host whether it is alive.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use tailback_config::{EXPECTED_ADDRESS, Env, parse_address};

const ADMIN: &str = "TAILBACK_ADMIN";
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9006);
const PATIENCE: Duration = Duration::from_secs(2);

/// Checks that `/healthz` answers 200.
///
/// # Errors
/// A sentence that says what was answered instead, or why there was no answer.
pub fn check(env: &Env) -> Result<(), String> {
    page(env, "/healthz").map(drop)
}

/// Returns the body of the admin page at `path` if it answers 200.
///
/// # Errors
/// A sentence that says what was answered instead, or why there was no answer.
pub(crate) fn page(env: &Env, path: &str) -> Result<String, String> {
    let address = address(env)?;
    let answer = ask(address, path).map_err(|e| format!("{address} does not answer: {e}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
        _ => Err(format!(
            "{address} answered {:?}",
            answer.lines().next().unwrap_or_default()
        )),
    }
}

/// The admin address to ask.
pub(crate) fn address(env: &Env) -> Result<SocketAddr, String> {
    let text = env
        .get(ADMIN)
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let Some(text) = text else {
        return Ok(DEFAULT);
    };
    parse_address(text).map(from_here).ok_or_else(|| {
        format!(
            "{}: found {text:?}, expected {EXPECTED_ADDRESS}",
            env.origin(ADMIN)
        )
    })
}

/// The address by which this host reaches a listener on `address`: an unspecified IP (`0.0.0.0`,
/// `::`) becomes the loopback.
pub(crate) fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_on_the_loopback_when_the_proxy_listens_on_all_addresses() {
        let all = Env::from([(ADMIN, "0.0.0.0:1234")]);
        assert_eq!(address(&all).unwrap().to_string(), "127.0.0.1:1234");
        assert_eq!(address(&Env::default()).unwrap(), DEFAULT);
        for same in ["localhost:1234", ":1234", "1234"] {
            assert_eq!(
                address(&Env::from([(ADMIN, same)])).unwrap().to_string(),
                "127.0.0.1:1234"
            );
        }
        assert!(
            address(&Env::from([(ADMIN, "here")]))
                .unwrap_err()
                .contains("\"here\"")
        );
    }
}
