//! The thread that watches the memory of the process.

use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use metrics::gauge;
use tailback_config::MemoryLimit;

use super::{Level, Overload, TICK, allocator, usage::Usage};

/// The shortest time between two requests to the allocator to give memory back.
const PURGE: Duration = Duration::from_millis(250);
/// The shortest time between two log lines about the level, unless the level is the highest one
/// since.
const QUIET: Duration = Duration::from_secs(10);

/// Watches the memory from now on, for as long as the process runs.
///
/// # Errors
/// If the system does not report the memory in use, or a thread cannot be started.
pub fn start(limit: &MemoryLimit) -> io::Result<Arc<Overload>> {
    let usage = Usage::open()?;
    let overload = Arc::new(Overload::new(limit.bytes));
    gauge!("tailback_memory_limit_bytes").set(limit.bytes as f64);
    let watched = overload.clone();
    thread::Builder::new()
        .name("overload".into())
        .spawn(move || watch(&watched, usage))?;
    Ok(overload)
}

fn watch(overload: &Overload, mut usage: Usage) {
    let (used_bytes, level_gauge) = (
        gauge!("tailback_memory_used_bytes"),
        gauge!("tailback_memory_level"),
    );
    let mut log = ChangeLog::default();
    let mut purged = Instant::now();
    loop {
        // If a reading fails, the previous one stays in force.
        if let Ok(used) = usage.read(overload.partner()) {
            let (before, level) = overload.looked(used);
            used_bytes.set(used as f64);
            level_gauge.set(f64::from(level as u8));
            if let Some(unsaid) = log.due(before, level, Instant::now()) {
                report(level, used, overload.limit, unsaid);
            }
            if level > Level::Normal && purged.elapsed() >= PURGE {
                allocator::purge();
                purged = Instant::now();
            }
        }
        thread::sleep(TICK);
    }
}

fn report(level: Level, used: u64, limit: u64, unsaid: u32) {
    let what = match level {
        Level::Normal => "memory: no load is shed any more",
        Level::Scarce => "memory is scarce: idle connections are closed",
        Level::Tight => {
            "memory is tight: bodies are not kept waiting, and held requests with large ones are refused"
        }
        Level::Exhausted => {
            "memory is exhausted: new connections are refused, and those closed whose callers read nothing"
        }
    };
    match level {
        Level::Normal => tracing::info!(used, limit, unsaid, "{what}"),
        _ => tracing::warn!(used, limit, unsaid, "{what} (TAILBACK_MEMORY_MAX)"),
    }
}

/// Decides which changes of the level are logged.
#[derive(Debug, Default)]
struct ChangeLog {
    /// The time of the last line, and the highest level since.
    last: Option<(Instant, Level)>,
    /// The level in the last line.
    said: Option<Level>,
    /// Changes since then that were not logged.
    unsaid: u32,
}

impl ChangeLog {
    /// Whether to log that the level has changed from `before` to `level`, and how many changes
    /// were not logged before.
    fn due(&mut self, before: Level, level: Level, now: Instant) -> Option<u32> {
        let has_changed = level != before;
        let is_known = self.said.unwrap_or(Level::Normal) == level;
        if is_known {
            self.unsaid += u32::from(has_changed);
            return None;
        }
        let is_quiet = match self.last {
            Some((at, highest)) => now.duration_since(at) < QUIET && level <= highest,
            None => false,
        };
        if is_quiet {
            self.unsaid += u32::from(has_changed);
            return None;
        }
        let highest = match self.last {
            Some((at, highest)) if now.duration_since(at) < QUIET => highest.max(level),
            _ => level,
        };
        self.last = Some((now, highest));
        self.said = Some(level);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_logged_at_once_and_what_comes_and_goes_every_ten_seconds() {
        use Level::{Exhausted, Normal, Scarce, Tight};
        let start = Instant::now();
        let mut log = ChangeLog::default();
        let mut level = Normal;
        let mut at = |seconds: u64, next| {
            let due = log.due(level, next, start + Duration::from_secs(seconds));
            level = next;
            due
        };
        assert_eq!(at(0, Normal), None);
        assert_eq!(at(1, Scarce), Some(0));
        assert_eq!(at(1, Exhausted), Some(0));
        for second in 2..=9 {
            assert_eq!(
                at(second, if second % 2 == 0 { Normal } else { Tight }),
                None
            );
        }
        // A level that persists is logged in the end, without a further change.
        assert_eq!(at(30, Tight), Some(8));
        assert_eq!(at(50, Normal), Some(0));
        assert_eq!(at(90, Normal), None);
    }
}
