//! Tailback's scaler. It counts the requests in flight of each model, decides how many replicas
//! each model should have, and asks the model's orchestrator for them.
//!
//! The modules, from the lowest. A module imports only from those above it in this list:
//!
//! 1. [`clock`], [`ledger`], [`replica`]: what the data plane and the scaler share, without a
//!    lock.
//! 2. [`tuning`], [`signals`] and [`policy`]: the demand that readings of the ledger show, and
//!    how many replicas it needs ([`decision`] has the reasons). [`constraints`] limit that, and
//!    [`model_scaler`] ties them together for one model. All of it is pure: no I/O, and the time
//!    comes with the reading. [`placement`] says where the replicas go that models on shared
//!    servers and hosts should have.
//! 3. [`replica_logs`]: what replicas printed last. [`server_status`]: servers that host many models, as shown. [`orchestrator`]: what starts and stops replicas; [`peers`]: the other proxies.
//! 4. `health`: watches replicas that have become ready. [`status`]: what the admin address shows.
//! 5. [`run`]: the loop that ties all this together. [`simulate`] runs the same model scaler on a
//!    virtual clock.
//!
//! To add a policy, write a [`ScalingPolicy`](policy::ScalingPolicy) in a file below
//! `policy/`, name it in `tailback_config::Policy` and in [`policy::named`]; rules to
//! compare with go below `simulate/reference/` and into
//! [`Contender`](simulate::Contender). To add an orchestrator, write an
//! [`Orchestrator`](orchestrator::Orchestrator) below `orchestrator/`, a kind of server
//! in `tailback_config::Kind`, and a line each in `run/orchestrators.rs`.
//!
//! Why all of this is one crate: `docs/decisions/scaler-one-crate.md`, with figures.

pub mod clock;
pub mod ledger;
pub mod replica;
mod sync;

#[cfg(not(tailback_loom))]
pub mod constraints;
#[cfg(not(tailback_loom))]
pub mod decision;
#[cfg(not(tailback_loom))]
mod health;
#[cfg(not(tailback_loom))]
pub mod manual_count;
#[cfg(not(tailback_loom))]
pub mod model_scaler;
#[cfg(not(tailback_loom))]
pub mod orchestrator;
#[cfg(not(tailback_loom))]
pub mod peers;
#[cfg(not(tailback_loom))]
pub mod placement;
#[cfg(not(tailback_loom))]
pub mod policy;
#[cfg(not(tailback_loom))]
pub mod replica_logs;
#[cfg(not(tailback_loom))]
pub mod run;
#[cfg(not(tailback_loom))]
pub mod server_status;
#[cfg(not(tailback_loom))]
pub mod signals;
#[cfg(not(tailback_loom))]
pub mod simulate;
#[cfg(not(tailback_loom))]
pub mod standing_orders;
#[cfg(not(tailback_loom))]
pub mod status;
#[cfg(not(tailback_loom))]
pub mod tuning;
