//! Several proxies as one: what they count together, and which of them leads.

pub mod election;
pub mod line;
pub mod sum;
