//! A deterministic simulation of the data plane with faults.
//!
//! The real connections' handling, pipeline, hold queue, balancing, upstream codecs and ledger run on a
//! simulated network and clock ([`crate::net::simulated`]). Callers and replicas are simulated, and
//! all that goes wrong with them follows from a seed: connections that are reset, stall, or lose each
//! other's host, ends that are closed at any byte, late, broken and missing answers, replicas that
//! crash, vanish, are replaced or taken away, a machine that sleeps, a drain in between. What must
//! hold whatever happens is in [`invariants`], and [`World`] takes down what does not.
//!
//! `make simulate-faults` runs more seeds. `FAULT_SEEDS=17` runs one, with all that happened.

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
