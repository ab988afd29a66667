//! Tailback's scaler: it counts the requests that every model owes its callers,
//! decides how many replicas each model should have, and asks for them.
//!
//! From the ground up; a module imports only those above it in this list:
//!
//! 1. [`clock`], [`ledger`], [`replica`]: what the data plane writes and reads, without
//!    a lock;
//! 2. [`tuning`], [`signals`] and [`policy`]: demand, as readings of the ledger show it, and how many
//!    replicas that takes ([`decision`] has the reasons); [`constraints`]: what of it may
//!    be done; [`model_scaler`]: one model's evaluation. Pure: no I/O, and the time comes
//!    with the reading;
//! 3. [`orchestrator`]: who starts and stops replicas; [`peers`]: the other proxies;
//! 4. [`status`]: what the admin pages show;
//! 5. [`run`]: the loop that ties them together, and [`simulate`], which runs the same
//!    model scaler on a virtual clock.
//!
//! To add a policy, write a [`ScalingPolicy`](policy::ScalingPolicy) in a file below
//! `policy/`, name it in `tailback_config::Policy` and in [`policy::named`]; rules to
//! compare with go below `simulate/reference/` and into
//! [`Contender`](simulate::Contender). To add an orchestrator, write an
//! [`Orchestrator`](orchestrator::Orchestrator) below `orchestrator/`, a kind of server
//! in `tailback_config::Kind`, and a line each in `run/orchestrators.rs`.
//!
//! # Why one crate
//!
//! The orchestrators import nothing of the policies, nor the policies of them, so either
//! could be a crate. That would save little: what takes long to compile are their
//! dependencies, which a change of a policy does not compile again in any case. The
//! simulator has to be compiled with the policies, as it runs them. And the peers, which
//! share the Kubernetes client with its orchestrator, would make its parts public.

pub mod clock;
pub mod ledger;
pub mod replica;
mod sync;

#[cfg(not(tailback_loom))]
pub mod constraints;
#[cfg(not(tailback_loom))]
pub mod decision;
#[cfg(not(tailback_loom))]
pub mod model_scaler;
#[cfg(not(tailback_loom))]
pub mod orchestrator;
#[cfg(not(tailback_loom))]
pub mod peers;
#[cfg(not(tailback_loom))]
pub mod policy;
#[cfg(not(tailback_loom))]
pub mod run;
#[cfg(not(tailback_loom))]
pub mod signals;
#[cfg(not(tailback_loom))]
pub mod simulate;
#[cfg(not(tailback_loom))]
pub mod status;
#[cfg(not(tailback_loom))]
pub mod tuning;
