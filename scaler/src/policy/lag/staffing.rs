//! Square-root staffing: how many replicas a steady load needs.
//!
//! An offered load of a = λ·S slots that arrives at random needs n = a + β√a slots so that hardly
//! any request waits. Source: Halfin & Whitt, "Heavy-Traffic Limits for Queues with Many
//! Exponential Servers", Operations Research 29 (1981): a request waits with the probability 1 ÷
//! (1 + β·Φ(β)/φ(β)), where φ and Φ are the density and the distribution of the standard normal.
//! It waits longer than T with e^(−(n−a)T/S) times that probability.
//!
//! β is not a setting. A further replica is worth it as long as the late work that it saves, at
//! its price, exceeds the replica's own cost.

use std::f64::consts::PI;

/// Largest number of replicas beyond the load.
const MOST_STEPS: u32 = 10_000;

/// An offered load, and the wait that it tolerates.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfferedLoad {
    /// Offered load λ·S, in slots.
    pub offered: f64,
    /// Variance of the load, in multiples of a Poisson process's; at least 1.
    pub dispersion: f64,
    /// Mean time in service S, in seconds.
    pub service: f64,
    /// Tolerated wait T, in seconds.
    pub target: f64,
}

/// The smallest number of replicas, of `slots` each, at which one more is not worth it. Late work
/// costs `price` times as much as a slot.
pub(super) fn replicas(load: OfferedLoad, slots: f64, price: f64) -> u32 {
    if !(load.offered > 0.0 && load.offered.is_finite()) {
        return 0;
    }
    // Starts at the first count above the load; only about √a more follow.
    let mut count = (load.offered / slots).floor() + 1.0;
    let mut late = late(load, count * slots);
    for _ in 0..MOST_STEPS {
        let less_late = self::late(load, (count + 1.0) * slots);
        if price * load.offered * (late - less_late) <= slots {
            break;
        }
        (count, late) = (count + 1.0, less_late);
    }
    // `as` saturates.
    count as u32
}

/// The share of requests that wait longer than the target if there are `slots` slots.
pub(super) fn late(load: OfferedLoad, slots: f64) -> f64 {
    let room = slots - load.offered;
    if room <= 0.0 {
        return 1.0;
    }
    let beta = room / (load.offered * load.dispersion).sqrt();
    let density = (-beta * beta / 2.0).exp() / (2.0 * PI).sqrt();
    let waits = density / (density + beta * below(beta));
    let longer =
        (-room * load.target / (load.service * load.dispersion).max(f64::MIN_POSITIVE)).exp();
    waits * longer
}

/// The standard normal distribution for x ≥ 0, to 10⁻⁷ (Abramowitz & Stegun, 26.2.17).
fn below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let series = t
        * (0.319_381_530
            + t * (-0.356_563_782
                + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    1.0 - (-x * x / 2.0).exp() / (2.0 * PI).sqrt() * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_erlang() {
        // Erlang's formula C(n, a), by its recursion, and the exponential tail.
        let exact = |n: u32, a: f64, factor: f64| {
            let mut blocked = 1.0;
            for k in 1..=n {
                blocked = a * blocked / (f64::from(k) + a * blocked);
            }
            let rho = a / f64::from(n);
            blocked / (1.0 - rho * (1.0 - blocked)) * (-(f64::from(n) - a) * factor).exp()
        };
        for (slots, offered) in [
            (16, 15.0),
            (20, 15.0),
            (8, 3.0),
            (110, 100.0),
            (130, 100.0),
            (1060, 1000.0),
        ] {
            for target in [0.0, 0.2, 1.0] {
                let load = OfferedLoad {
                    offered,
                    service: 1.0,
                    target,
                    dispersion: 1.0,
                };
                let (found, exact) = (late(load, f64::from(slots)), exact(slots, offered, target));
                assert!(
                    (found - exact).abs() < 0.04,
                    "{slots} for {offered}: {found} against {exact}"
                );
            }
        }
    }

    #[test]
    fn head_room_grows_with_the_root_of_the_load() {
        let needed = |offered: f64, service: f64| {
            let load = OfferedLoad {
                offered,
                service,
                target: 1.0,
                dispersion: 1.0,
            };
            replicas(load, 1.0, 10.0)
        };
        for (offered, service, expected) in [
            (0.0, 1.0, 0),
            (0.5, 5.0, 2),
            (10.0, 5.0, 16),
            (100.0, 5.0, 116),
            (1000.0, 5.0, 1032),
            // Service is short compared with the tolerated wait, so hardly more than the load is
            // needed.
            (10.0, 0.1, 11),
        ] {
            let found = needed(offered, service);
            assert_eq!(found, expected, "{offered} of {service} s");
        }
    }
}
