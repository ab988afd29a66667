//! The rules of other autoscalers, for comparison in simulations only.
//!
//! Each is a [`ScalingPolicy`](crate::policy::ScalingPolicy) in a file of its own, and is listed
//! in [`Contender`](super::Contender). [`Settings::slots`] is the concurrency, or target, of one
//! replica.
//!
//! Each is written from its project's documentation. Each reads the lag with held requests
//! included, as these autoscalers do when a proxy or router in front of the replicas reports it.
//! If a project leaves the target per replica to the user, it is the replica's concurrency or 70
//! % of it, as each file says.

mod hpa;
mod keda;
mod knative;
mod kubeai;
mod ray;
mod static_pool;

pub use self::{
    hpa::Hpa, keda::Keda, knative::Knative, kubeai::KubeAi, ray::Ray, static_pool::StaticPool,
};

use crate::{
    decision::Reason,
    policy::{Recommendation, Settings},
};

/// The number of replicas for `load` at `target` each, within the bounds.
fn replicas(load: f64, target: f64, settings: &Settings) -> u32 {
    let wanted = (load / target.max(f64::MIN_POSITIVE) - 1e-9).ceil();
    // `as` saturates and turns NaN into 0.
    bounded(wanted.max(0.0) as u32, settings)
}

fn bounded(replicas: u32, settings: &Settings) -> u32 {
    replicas.clamp(settings.min, settings.max.max(settings.min))
}

fn recommendation(policy: &'static str, replicas: u32) -> Recommendation {
    Recommendation {
        replicas,
        reason: Reason::Reference { policy, replicas },
    }
}

#[cfg(test)]
mod tests;
