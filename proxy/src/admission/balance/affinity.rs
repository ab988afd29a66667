//! Which replica a request prefers, and for what reason.

/// The part of a request that makes it prefer a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity<'a> {
    /// It prefers none.
    #[default]
    None,
    /// The chained hashes of its prompt's blocks, first block first.
    Prefix(&'a [u64]),
    /// The hash of its session's key.
    Session(u64),
}
