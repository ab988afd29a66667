//! The events of the admin address: read by a thread, or printed unchanged.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::Duration,
};

use serde_json::{Map, Value};

use super::super::decisions::Decision;
use crate::admin_client::{AdminClient, NoAnswer};

/// The path of the events.
pub(super) const PATH: &str = "/events";
/// The pause before reconnecting to a proxy that is unreachable.
const AGAIN: Duration = Duration::from_secs(1);
/// Updates that may be queued for the screen.
const WAITING: usize = 64;

/// An update from the proxy.
#[derive(Debug)]
pub(super) enum Update {
    /// Connected: complete events follow.
    Connected,
    /// Not connected, and why.
    Away(String),
    /// The proxy's own state.
    Proxy(Value),
    /// Decisions, oldest first.
    Decisions(Vec<Decision>),
    /// The changed fields of each model; null: the model has gone.
    Models(Map<String, Value>),
}

/// Reads events from `first`, and reconnects whenever they end.
pub(super) fn read(client: AdminClient, first: BufReader<TcpStream>) -> Receiver<Update> {
    let (updates, received) = mpsc::sync_channel(WAITING);
    thread::spawn(move || {
        let mut answer = Ok(first);
        loop {
            let why = match answer {
                Ok(events) => pass_on(&client, events, &updates),
                Err(why) => Some(why),
            };
            let Some(why) = why else { return };
            if updates.send(Update::Away(why.into_sentence())).is_err() {
                return;
            }
            thread::sleep(AGAIN);
            answer = client.get(PATH);
        }
    });
    received
}

/// Prints each event as a line of JSON, such as `{"models":{…}}`, until the reader of our output
/// has gone.
///
/// # Errors
/// Why the events have ended.
pub(super) fn print(
    client: &AdminClient,
    events: impl BufRead,
    mut out: impl Write,
) -> Result<(), String> {
    let mut name = String::new();
    for line in events.lines() {
        let line = line.map_err(|error| client.gone(&error).into_sentence())?;
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut name);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let written = writeln!(out, "{{\"{name}\":{data}}}").and_then(|()| out.flush());
            if written.is_err() {
                return Ok(());
            }
        }
    }
    Err(format!("{} has ended the connection", client.address()))
}

/// Passes events on until they end. Returns why; `None`: the receiver has gone.
fn pass_on(
    client: &AdminClient,
    events: BufReader<TcpStream>,
    updates: &SyncSender<Update>,
) -> Option<NoAnswer> {
    updates.send(Update::Connected).ok()?;
    let mut name = String::new();
    for line in events.lines() {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Some(client.gone(&error)),
        };
        if let Some(event) = line.strip_prefix("event: ") {
            event.clone_into(&mut name);
        } else if let Some(data) = line.strip_prefix("data: ") {
            match parse(&name, data) {
                Ok(Some(update)) => updates.send(update).ok()?,
                Ok(None) => {}
                Err(error) => {
                    let address = client.address();
                    let why = format!("{address} sends events that are not understood: {error}");
                    return Some(NoAnswer::Refused(why));
                }
            }
        }
    }
    let why = format!("{} has ended the connection", client.address());
    Some(NoAnswer::Gone(why))
}

/// Parses an event; `None`: an unknown event of a newer proxy.
fn parse(name: &str, data: &str) -> serde_json::Result<Option<Update>> {
    Ok(Some(match name {
        "proxy" => Update::Proxy(serde_json::from_str(data)?),
        "decisions" => Update::Decisions(serde_json::from_str(data)?),
        "models" => Update::Models(serde_json::from_str(data)?),
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_understood_and_those_of_newer_proxies_skipped() {
        assert!(matches!(parse("later", "?"), Ok(None)));
        assert!(matches!(
            parse("models", r#"{"m":null}"#),
            Ok(Some(Update::Models(_)))
        ));
        assert!(parse("models", "[]").is_err());
        assert!(parse("decisions", r#"[{"model":"m"}]"#).is_ok());
    }
}
