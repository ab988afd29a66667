//! `tailback logs`: shows what the replicas of a model have printed, read from the admin address.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tailback_scaler::replica_logs::ReplicaLine;

use super::settings::AdminAddress;
use crate::health;

const TOKEN: &str = "TAILBACK_ADMIN_TOKEN";
/// How long to wait for a connection, and for an answer to begin.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a proxy that was upgraded or restarted may be away while it is followed.
const AWAY: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// The longest message of an error that is read.
const LONGEST: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Logs {
    /// The model, by its name or an alias
    #[arg(value_name = "MODEL")]
    model: String,
    /// Go on with what the replicas print, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Show one replica alone, by its name, such as my-model-0
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    /// Show no more than the last N lines of those that are there
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Print each line as JSON: replica, number, time, stream and text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminAddress,
}

/// Why there are no lines, or no more.
enum Stop {
    /// Nobody reads what is printed.
    Unread,
    /// The proxy refuses; why.
    Refused(String),
    /// The proxy is gone; why.
    Gone(String),
}

/// Prints the lines.
///
/// # Errors
/// Why they cannot be read.
pub(super) fn show(asked: &Logs) -> Result<(), String> {
    let env = asked.admin.clone().env();
    let address = health::address(&env)?;
    let mut after = 0;
    let mut since: Option<Instant> = None;
    loop {
        match read(asked, address, env.get(TOKEN), &mut after) {
            Ok(()) if !asked.follow => return Ok(()),
            Ok(()) => since = Some(Instant::now()),
            Err(Stop::Unread) => return Ok(()),
            // Begins to be waited for with the first line or the first failure.
            Err(Stop::Gone(_))
                if asked.follow && since.is_some_and(|since| since.elapsed() < AWAY) => {}
            Err(Stop::Refused(why) | Stop::Gone(why)) => return Err(why),
        }
        thread::sleep(LOOK);
    }
}

/// Prints lines until there are no more; `after` is the number of the last one. `Ok` if the proxy
/// has answered.
fn read(
    asked: &Logs,
    address: SocketAddr,
    token: Option<&str>,
    after: &mut u64,
) -> Result<(), Stop> {
    let gone = |error: io::Error| Stop::Gone(format!("{address} does not answer: {error}"));
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(gone)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
    (&stream)
        .write_all(request(asked, address, token, *after).as_bytes())
        .map_err(gone)?;
    let mut answer = BufReader::new(&stream);
    let status = status(&mut answer).map_err(gone)?;
    if status != 200 {
        let mut text = String::new();
        // A text that cannot be read is left out.
        let _ = answer.take(LONGEST).read_to_string(&mut text);
        return Err(Stop::Refused(refusal(address, status, &text)));
    }
    if asked.follow {
        // A replica may print nothing for as long as it wants.
        stream.set_read_timeout(None).map_err(gone)?;
    }
    let mut line = String::new();
    loop {
        line.clear();
        match answer.read_line(&mut line) {
            // What is cut off comes again, if the proxy comes back.
            Ok(0) => return Ok(()),
            Ok(_) if !line.ends_with('\n') => return Ok(()),
            Ok(_) => {}
            Err(_) if asked.follow => return Ok(()),
            Err(error) => return Err(gone(error)),
        }
        let Ok(one) = serde_json::from_str::<ReplicaLine>(&line) else {
            return Err(Stop::Refused(format!(
                "{address} answered what is no line of a replica: {line:?}"
            )));
        };
        *after = one.line.number;
        print(&one, &line, asked.json).map_err(|_| Stop::Unread)?;
    }
}

/// A request of HTTP/1.0, whose response is not cut into chunks and ends with the connection.
fn request(asked: &Logs, address: SocketAddr, token: Option<&str>, after: u64) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut query = format!("format=json&follow={}&after={after}", asked.follow);
    if let Some(replica) = &asked.replica {
        query += &format!("&replica={}", encoded(replica));
    }
    if let Some(tail) = asked.tail.filter(|_| after == 0) {
        query += &format!("&tail={tail}");
    }
    let token = token.map(|token| format!("authorization: Bearer {}\r\n", token.trim()));
    format!(
        "GET /models/{}/logs?{query} HTTP/1.0\r\nhost: {address}\r\n{}\r\n",
        encoded(&asked.model),
        token.unwrap_or_default()
    )
}

/// Reads the head of the response; its status.
fn status(answer: &mut impl BufRead) -> io::Result<u16> {
    let mut head = String::new();
    // A head that has no end is longer than any that a proxy sends.
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

fn print(one: &ReplicaLine, line: &str, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        out.write_all(line.as_bytes())?;
    } else {
        writeln!(out, "[{}] {}", one.replica, one.line.text)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

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
