//! `tailback logs`: shows what the replicas of a model have printed, read from the admin address.

use std::{
    io::{self, BufRead, Write},
    thread,
    time::{Duration, Instant},
};

use tailback_scaler::replica_logs::ReplicaLine;

use super::settings::AdminAddress;
use crate::admin_client::{AdminClient, NoAnswer, encoded};

/// With `--follow`, how long a proxy that is being upgraded or restarted may be unreachable.
const AWAY: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

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

/// Why no more lines are printed.
enum Stop {
    /// The reader of our output has gone.
    Unread,
    /// The proxy does not answer.
    NoAnswer(NoAnswer),
}

/// Prints the lines.
///
/// # Errors
/// Why they cannot be read.
pub(super) fn show(asked: &Logs) -> Result<(), String> {
    let client = AdminClient::new(&asked.admin.clone().env())?;
    let mut after = 0;
    let mut since: Option<Instant> = None;
    loop {
        match read(asked, &client, &mut after) {
            Ok(()) if !asked.follow => return Ok(()),
            Ok(()) => since = Some(Instant::now()),
            Err(Stop::Unread) => return Ok(()),
            // The time begins with the first line or the first failure.
            Err(Stop::NoAnswer(NoAnswer::Gone(_)))
                if asked.follow && since.is_some_and(|since| since.elapsed() < AWAY) => {}
            Err(Stop::NoAnswer(why)) => return Err(why.into_sentence()),
        }
        thread::sleep(LOOK);
    }
}

/// Prints lines until there are no more. `after` is the number of the last printed line. `Ok` if
/// the proxy has answered.
fn read(asked: &Logs, client: &AdminClient, after: &mut u64) -> Result<(), Stop> {
    let gone = |error: io::Error| Stop::NoAnswer(client.gone(&error));
    let mut answer = client.get(&path(asked, *after)).map_err(Stop::NoAnswer)?;
    if asked.follow {
        // A replica may print nothing for any length of time.
        answer.get_ref().set_read_timeout(None).map_err(gone)?;
    }
    let mut line = String::new();
    loop {
        line.clear();
        match answer.read_line(&mut line) {
            // A line that was cut off comes again if the proxy comes back.
            Ok(0) => return Ok(()),
            Ok(_) if !line.ends_with('\n') => return Ok(()),
            Ok(_) => {}
            Err(_) if asked.follow => return Ok(()),
            Err(error) => return Err(gone(error)),
        }
        let Ok(one) = serde_json::from_str::<ReplicaLine>(&line) else {
            return Err(Stop::NoAnswer(NoAnswer::Refused(format!(
                "{} answered what is no line of a replica: {line:?}",
                client.address()
            ))));
        };
        *after = one.line.number;
        print(&one, &line, asked.json).map_err(|_| Stop::Unread)?;
    }
}

fn path(asked: &Logs, after: u64) -> String {
    let mut query = format!("format=json&follow={}&after={after}", asked.follow);
    if let Some(replica) = &asked.replica {
        query += &format!("&replica={}", encoded(replica));
    }
    if let Some(tail) = asked.tail.filter(|_| after == 0) {
        query += &format!("&tail={tail}");
    }
    format!("/models/{}/logs?{query}", encoded(&asked.model))
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
