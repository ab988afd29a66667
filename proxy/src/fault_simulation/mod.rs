//! A deterministic simulation of the data plane with faults.
//!
//! The real connection handling, pipeline, hold queue, load balancing, upstream codecs and ledger
//! run on a simulated network and clock ([`crate::net::simulated`]). Callers and replicas are
//! simulated, and all their faults follow from a seed: connections are reset, stall, or are
//! partitioned; sides are closed at any byte; responses are late, broken or missing; replicas
//! crash, vanish, are replaced or removed; the machine sleeps; the proxy drains. [`invariants`]
//! has what must always hold, and [`World`] records violations.
//!
//! `make simulate-faults` runs more seeds. `FAULT_SEEDS=17` runs one seed, and prints all its
//! events.

mod ask;
mod callers;
mod http1_caller;
mod http1_replica;
mod http1_text;
mod http2_caller;
mod http2_replica;
mod invariants;
mod manner;
mod operator;
mod replicas;
mod run;
mod served;
mod tests;
mod world;

use self::world::World;
