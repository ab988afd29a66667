//! Benchmarks of Tailback: `benches/` for the ledger and load balancing, and `data-plane` for the
//! proxy compared with others.
