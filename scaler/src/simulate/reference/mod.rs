//! The rules of the field, for comparison only: nothing of this runs live.
//!
//! Each is written from its project's own documentation, and each reads the
//! lag including what is held, as these do where a proxy or router in front of
//! the replicas reports it. Where a project leaves the target per replica to
//! its user, it is the replica's concurrency, or 70 % of it; see each one.

mod hpa;
mod keda;
mod knative;
mod kubeai;
mod ray;
mod static_pool;

pub use self::{
    hpa::Hpa, keda::Keda, knative::Knative, kubeai::KubeAi, ray::Ray, static_pool::StaticPool,
};

/// What every rule is bounded by and aims at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// Requests one replica takes at once, or should have.
    pub concurrency: f64,
    /// Fewest replicas.
    pub min: u32,
    /// Most replicas.
    pub max: u32,
}

impl Aim {
    /// Whole replicas for `load` at `target` each, within the bounds.
    fn replicas(&self, load: f64, target: f64) -> u32 {
        let wanted = (load / target.max(f64::MIN_POSITIVE) - 1e-9).ceil();
        // `as` saturates, and turns NaN into 0.
        (wanted.max(0.0) as u32).clamp(self.min, self.max.max(self.min))
    }
}

#[cfg(test)]
mod tests;
