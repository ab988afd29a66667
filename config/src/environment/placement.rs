//! How models are loaded into servers that host many of them: Seldon's variables, with its
//! defaults.

use std::time::Duration;

use super::{FROM_ZERO, Reader, SECONDS, parse};
use crate::{Placement, number};

const MINUTES: &str = "minutes above 0, such as 0.5 or 120, below 10000000";
const FLAG: &str = "true or false";
const SHARE: &str = "a number from 0 to 1";

impl Reader<'_> {
    pub(super) fn placement(&mut self) -> Option<Placement> {
        let overcommit = self.value(
            "SELDON_OVERCOMMIT_PERCENTAGE",
            |text| parse(text).filter(|percent| *percent <= 1_000_000),
            "a whole number of percent, from 0 to 1000000",
        );
        let load_retries = self.value("SELDON_MAX_LOAD_RETRY_COUNT", parse, FROM_ZERO);
        let load_limit = self.value("SELDON_MAX_LOAD_ELAPSED_TIME_MINUTES", minutes, MINUTES);
        let unload_retries = self.value("SELDON_MAX_UNLOAD_RETRY_COUNT", parse, FROM_ZERO);
        let unload_limit = self.value("SELDON_MAX_UNLOAD_ELAPSED_TIME_MINUTES", minutes, MINUTES);
        let unload_grace = self.value(
            "SELDON_UNLOAD_GRACE_PERIOD_SECONDS",
            number::seconds,
            SECONDS,
        );
        let server_scaling = self.value("ENABLE_SERVER_AUTOSCALING", flag, FLAG);
        let packing = self.value("SERVER_PACKING_ENABLED", flag, FLAG);
        // Seldon packs at this share of all occasions, by chance. Tailback packs where it is
        // proven to fit, so the share has no effect.
        let share = self.value("SERVER_PACKING_PERCENTAGE", share, SHARE);
        share?;
        Some(Placement {
            overcommit: overcommit?,
            load_retries: load_retries?,
            load_limit: load_limit?,
            unload_retries: unload_retries?,
            unload_limit: unload_limit?,
            unload_grace: unload_grace?,
            server_scaling: server_scaling?,
            packing: packing?,
        })
    }
}

fn minutes(text: &str) -> Option<Duration> {
    let minutes = number::seconds(text)?;
    let limit = Duration::from_secs(10_000_000);
    (!minutes.is_zero() && minutes < limit).then(|| minutes * 60)
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn share(text: &str) -> Option<f64> {
    let share: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&share).then_some(share)
}
