//! The rules, by example and for all fleets, on a virtual clock.

mod capacity;
mod checks;
mod fixtures;
mod nonsense;
mod properties;
mod rest;
mod rules;
mod servers;
mod world;
