//! Estimates `Retry-After` for a model without room, from measurements.

use tailback_scaler::status::{ModelStatus, StatusStore};

use crate::models::Model;

/// Upper limit of the estimate, in seconds.
const LONGEST: f64 = 600.0;

/// The number of seconds after which a request for `model` should be repeated.
pub(super) fn retry_after(status: &StatusStore, model: &Model) -> u32 {
    let (held, inside) = (model.ledger.held(), model.ledger.in_flight());
    let served = inside.saturating_sub(held);
    let seconds = status.read(&model.config.name, |status| estimate(status, held, served));
    seconds.flatten().unwrap_or(1)
}

/// If no replica is ready, the duration of the last start. Otherwise, the time that the `held`
/// requests will take at the rate at which the `served` ones end. `None` if nothing was measured.
fn estimate(status: &ModelStatus, held: u64, served: u64) -> Option<u32> {
    let seconds = match status.ready_count {
        0 => status.start_up_seconds?,
        _ => held as f64 * status.service_seconds? / served.max(1) as f64,
    };
    // Lossless, because it is clamped to 1..=600.
    Some(seconds.ceil().clamp(1.0, LONGEST) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(ready: u32, start_up: Option<f64>, service: Option<f64>) -> ModelStatus {
        ModelStatus {
            ready_count: ready,
            start_up_seconds: start_up,
            service_seconds: service,
            ..ModelStatus::default()
        }
    }

    #[test]
    fn retry_after_is_a_start_or_the_time_to_serve_the_held_requests() {
        for (ready, start_up, service, held, served, expected) in [
            (0, Some(42.1), Some(5.0), 100, 0, Some(43)),
            (0, None, Some(5.0), 100, 0, None),
            // 100 are held; 8 are served at a time, each for 5 s.
            (2, Some(42.1), Some(5.0), 100, 8, Some(63)),
            (2, Some(42.1), Some(0.001), 100, 8, Some(1)),
            (2, Some(42.1), None, 100, 8, None),
            (1, None, Some(60.0), 10_000, 1, Some(600)),
            (1, None, Some(60.0), 0, 0, Some(1)),
            (0, Some(f64::INFINITY), None, 1, 0, Some(600)),
        ] {
            let status = status(ready, start_up, service);
            assert_eq!(estimate(&status, held, served), expected, "{status:?}");
        }
    }
}
