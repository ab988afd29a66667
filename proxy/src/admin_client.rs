//! Requests to the admin address of a running proxy, for commands that read from it.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tailback_config::{EXPECTED_ADDRESS, Env, parse_address};

const ADMIN: &str = "TAILBACK_ADMIN";
const TOKEN: &str = "TAILBACK_ADMIN_TOKEN";
const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9006);
/// How long to wait for a connection, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest response header, and the longest error message, that is read.
const LONGEST: u64 = 64 * 1024;

/// The admin address of a proxy, and the token for it.
#[derive(Clone)]
pub(crate) struct AdminClient {
    address: SocketAddr,
    token: Option<String>,
}

/// Why there is no answer; as a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The proxy refused the request.
    Refused(String),
    /// The proxy cannot be reached, or has ended.
    Gone(String),
}

impl NoAnswer {
    /// The sentence.
    pub(crate) fn into_sentence(self) -> String {
        let (Self::Refused(why) | Self::Gone(why)) = self;
        why
    }
}

impl AdminClient {
    /// From `TAILBACK_ADMIN` and `TAILBACK_ADMIN_TOKEN`.
    ///
    /// # Errors
    /// If the address is invalid.
    pub(crate) fn new(env: &Env) -> Result<Self, String> {
        Ok(Self {
            address: address(env)?,
            token: env.get(TOKEN).map(|token| token.trim().to_owned()),
        })
    }

    /// The proxy's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The body of the proxy's answer to `GET path`, as a stream, if the status is 200. Each read
    /// fails after 5 s without data.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn get(&self, path: &str) -> Result<BufReader<TcpStream>, NoAnswer> {
        let gone = |error| self.gone(&error);
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).map_err(gone)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
        stream
            .write_all(self.request(path).as_bytes())
            .map_err(gone)?;
        let mut answer = BufReader::new(stream);
        let status = status(&mut answer).map_err(gone)?;
        if status == 200 {
            return Ok(answer);
        }
        let mut text = String::new();
        // If the text cannot be read, the message goes without it.
        let _ = answer.take(LONGEST).read_to_string(&mut text);
        Err(NoAnswer::Refused(refusal(self.address, status, &text)))
    }

    /// The complete answer to `GET path`, if the status is 200.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn page(&self, path: &str) -> Result<String, String> {
        let mut text = String::new();
        let mut answer = self.get(path).map_err(NoAnswer::into_sentence)?;
        answer
            .read_to_string(&mut text)
            .map_err(|error| self.gone(&error).into_sentence())?;
        Ok(text)
    }

    /// As [`page`](Self::page), for a page in JSON.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn json(&self, path: &str) -> Result<Value, String> {
        let page = self.page(path)?;
        serde_json::from_str(&page).map_err(|error| {
            format!(
                "{} answers {path} with what is no JSON ({error}): is it the admin address of a Tailback?",
                self.address
            )
        })
    }

    /// The error if no data, or no more data, came.
    pub(crate) fn gone(&self, error: &io::Error) -> NoAnswer {
        // The errors of a read after its timeout.
        let silent = matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        );
        let why = match silent {
            true => format!("nothing came for {} s", PATIENCE.as_secs()),
            false => error.to_string(),
        };
        NoAnswer::Gone(format!("{} does not answer: {why}", self.address))
    }

    /// An HTTP/1.0 request, so that the response is not chunked and ends with the connection.
    fn request(&self, path: &str) -> String {
        let token = self.token.as_ref();
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
        format!(
            "GET {path} HTTP/1.0\r\nhost: {}\r\n{}\r\n",
            self.address,
            token.unwrap_or_default()
        )
    }
}

/// `text`, encoded for a path segment or a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The proxy's admin address.
fn address(env: &Env) -> Result<SocketAddr, String> {
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
fn from_here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Reads the response header, and returns the status.
fn status(answer: &mut impl BufRead) -> io::Result<u16> {
    let mut head = String::new();
    // A header longer than this is not from a proxy.
    let mut answer = answer.take(LONGEST);
    while !head.ends_with("\r\n\r\n") {
        if answer.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    status.ok_or_else(|| io::Error::other("what answers is not HTTP"))
}

/// The error in a response whose status is not 200.
fn refusal(address: SocketAddr, status: u16, text: &str) -> String {
    let page = serde_json::from_str::<Value>(text);
    let error = page
        .ok()
        .and_then(|page| Some(page["error"].as_str()?.to_owned()));
    match error {
        Some(error) if status == 401 => {
            format!("{error}: set {TOKEN} to the value that the proxy has")
        }
        Some(error) => error,
        None => format!("{address} answered {status}"),
    }
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

    #[test]
    fn an_error_says_what_the_proxy_said_and_what_to_do() {
        let address = "127.0.0.1:9006".parse().unwrap();
        for (status, text, expected) in [
            (
                404,
                r#"{"error":"there is no model \"x\""}"#,
                "there is no model \"x\"",
            ),
            (500, "<html>", "127.0.0.1:9006 answered 500"),
            (
                401,
                r#"{"error":"a"}"#,
                "a: set TAILBACK_ADMIN_TOKEN to the value that the proxy has",
            ),
        ] {
            assert_eq!(refusal(address, status, text), expected);
        }
    }

    #[test]
    fn the_status_is_read_and_what_is_not_http_is_told() {
        let read = |mut text: &[u8]| status(&mut text).map_err(|error| error.to_string());
        assert_eq!(read(b"HTTP/1.0 404 Not Found\r\na: b\r\n\r\nrest"), Ok(404));
        assert!(read(b"SSH-2.0\r\n\r\n").unwrap_err().contains("not HTTP"));
        assert!(read(b"HTTP/1.0 200 OK\r\n").is_err());
    }
}
