//! `tailback upgrade`: signals the proxy on this host to start its successor, and reports the
//! result.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use tailback_config::Env;
use tailback_scaler::orchestrator::process;

use crate::admin_client::AdminClient;

/// How long to wait for a result: longer than the running process waits for its successor.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);

/// What `/server_info` of the running process reports.
struct Seen {
    identity: String,
    version: String,
    failed: u64,
    failure: String,
}

/// Asks the running process to upgrade, waits for the result and returns it as a sentence.
///
/// # Errors
/// Why there was no upgrade; in most cases the running process goes on serving.
pub fn upgrade(env: &Env) -> Result<String, String> {
    let client = AdminClient::new(env)?;
    let before = look(&client)?;
    let pid = process::running(&before.identity).ok_or_else(|| {
        "the Tailback at the admin address runs on another host or in a container: run this command there"
            .to_owned()
    })?;
    kill(pid, Signal::SIGUSR2).map_err(|error| {
        format!("cannot signal process {pid}: {error}; run this command as the user that Tailback runs as, or as root")
    })?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        thread::sleep(LOOK);
        match look(&client) {
            Ok(now) if now.identity != before.identity => {
                return Ok(format!(
                    "tailback {} took over from {} without a gap\n",
                    now.version, before.version
                ));
            }
            Ok(now) if now.failed != before.failed => {
                return Err(format!(
                    "the upgrade failed, the running process goes on: {}",
                    now.failure
                ));
            }
            Ok(_) => {}
            Err(why) if process::running(&before.identity).is_none() => {
                return Err(format!("the running process has ended: {why}"));
            }
            // No answer, but the process still runs: it may be busy.
            Err(_) => {}
        }
    }
    Err(format!(
        "no result of the upgrade within {} s; see the log of the running process",
        PATIENCE.as_secs()
    ))
}

fn look(client: &AdminClient) -> Result<Seen, String> {
    let page = client.page("/server_info")?;
    let page: Value = serde_json::from_str(&page).map_err(|_| {
        "the admin address does not answer as a Tailback that can be upgraded: restart it"
            .to_owned()
    })?;
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let upgrade = &page["upgrade"];
    Ok(Seen {
        identity: text(&page["process"]),
        version: text(&page["version"]),
        failed: upgrade["failed"].as_u64().unwrap_or_default(),
        failure: text(&upgrade["failure"]),
    })
}
