//! Tailback's scaler. It counts the requests in flight of each model, decides how many replicas
//! each model should have, and asks the model's orchestrator for them.
//!
//! The modules, from the lowest. A module imports only from those above it in this list:
//!
//! 1. [`clock`], [`ledger`], [`replica`]: what the data plane and the scaler share, lock-free.
//! 2. [`tuning`], [`signals`] and [`policy`]: the demand that readings of the ledger show, and
//!    how many replicas it needs ([`decision`] has the reasons). [`constraints`] limit that, and
//!    [`model_scaler`] ties them together for one model. [`placement`] decides on which shared
//!    server or device each replica goes. All of it is pure: no I/O, and the time comes with the
//!    reading.
//! 3. [`replica_logs`]: the last lines that replicas printed. [`server_status`]: the state of
//!    multi-model servers. [`orchestrator`]: starts and stops replicas. [`peers`]: other proxies.
//! 4. `health`: watches replicas that have become ready. [`status`]: what the admin address shows.
//! 5. [`run`]: the loop that ties all this together. [`simulate`] runs the same model scaler on a
//!    virtual clock.
//!
//! `docs/architecture.md` has recipes for adding a policy ([`ScalingPolicy`](policy::ScalingPolicy)),
//! an orchestrator ([`Orchestrator`](orchestrator::Orchestrator)), and a rule to compare with
//! ([`Contender`](simulate::Contender)).
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
