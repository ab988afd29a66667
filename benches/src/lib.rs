//! What Tailback costs: see `benches/` for the ledger and `data-plane` for the
//! proxy beside its peers.
