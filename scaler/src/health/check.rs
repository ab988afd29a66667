//! Active health checks: a replica's state from the results of its probes, with thresholds as in
//! Kubernetes and Envoy.

/// How many equal results in a row change a replica's state.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Successful probes that make it healthy again. Never 0.
    pub healthy: u32,
    /// Failed probes that make it unhealthy. Never 0.
    pub unhealthy: u32,
}

/// Whether a replica is healthy by its probes. It begins as healthy, because it has become ready.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckState {
    is_unhealthy: bool,
    /// Results in a row that contradict the state.
    row: u32,
}

impl CheckState {
    /// Takes a probe's result. Returns the new state if the state changes.
    pub fn checked(&mut self, is_good: bool, thresholds: Thresholds) -> Option<bool> {
        if is_good != self.is_unhealthy {
            self.row = 0;
            return None;
        }
        self.row = self.row.saturating_add(1);
        let enough = match is_good {
            true => thresholds.healthy,
            false => thresholds.unhealthy,
        };
        if self.row < enough {
            return None;
        }
        *self = Self {
            is_unhealthy: !is_good,
            row: 0,
        };
        Some(is_good)
    }

    /// Whether it is unhealthy.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        self.is_unhealthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_results_in_a_row_to_change_the_state() {
        let thresholds = Thresholds {
            healthy: 2,
            unhealthy: 3,
        };
        let mut state = CheckState::default();
        let results = [
            (false, None),
            (false, None),
            (true, None),
            (false, None),
            (false, None),
            (false, Some(false)),
            (false, None),
            (true, None),
            (false, None),
            (true, None),
            (true, Some(true)),
            (true, None),
        ];
        for (n, (is_good, expected)) in results.into_iter().enumerate() {
            assert_eq!(state.checked(is_good, thresholds), expected, "result {n}");
        }
        assert!(!state.is_unhealthy());
    }
}
