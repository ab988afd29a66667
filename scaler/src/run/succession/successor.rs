//! The predecessor's side: follows the process that took over.

use std::{
    future::pending,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
    time::sleep,
};

use super::{PredecessorLine, SuccessorLine, text};
use crate::{orchestrator::process::Processes, peers::publisher::CountsUpdates};

/// How often the replicas' loads are checked for changes.
const LOOK: Duration = Duration::from_millis(20);

/// Follows the successor at `link`, and reports counts and loads to it until it has ended; then
/// `gone` gets `true`. Must be called within a tokio runtime.
pub(in crate::run) fn serve(
    link: UnixStream,
    processes: Arc<Processes>,
    updates: CountsUpdates,
    gone: watch::Sender<bool>,
) {
    let (reader, writer) = link.into_split();
    let received = Arc::new(Received::default());
    let (follower, teller) = (received.clone(), processes.clone());
    tokio::spawn(async move {
        if let Err(error) = follow(reader, &processes, &follower).await {
            tracing::warn!(%error, "cannot read from the process that took over");
        }
        gone.send_replace(true);
    });
    tokio::spawn(async move {
        // An error here means that the successor has ended, which the other task notices.
        let _ = tell(writer, &teller, updates, &received).await;
    });
}

/// What was received from the successor: the number of its last line.
#[derive(Default)]
struct Received {
    last: AtomicU64,
    news: Notify,
}

async fn follow(
    reader: OwnedReadHalf,
    processes: &Processes,
    received: &Received,
) -> io::Result<()> {
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        let line: SuccessorLine = serde_json::from_str(&line)?;
        processes.apply(line.set);
        received.last.store(line.number, Ordering::Release);
        received.news.notify_one();
    }
    Ok(())
}

async fn tell(
    mut writer: OwnedWriteHalf,
    processes: &Processes,
    updates: CountsUpdates,
    received: &Received,
) -> io::Result<()> {
    let mut before = None;
    // Dropped after the last update, because the scaler waits for that.
    let mut updates = Some(updates);
    loop {
        let mut line = PredecessorLine::default();
        let update = async {
            match &mut updates {
                Some(updates) => updates.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            update = update => {
                if update.is_none() {
                    updates = None;
                }
                line.counts = update;
            }
            () = received.news.notified() => {}
            () = sleep(LOOK) => {}
        }
        // Read before the loads, so that they include the effect of that line.
        line.seen = received.last.load(Ordering::Acquire);
        let now = (line.seen, processes.loads());
        if before.as_ref() != Some(&now) {
            line.loads = Some(now.1.clone());
            before = Some(now);
        }
        if line.loads.is_some() || line.counts.is_some() {
            writer.write_all(text(&line).as_bytes()).await?;
        }
    }
}
