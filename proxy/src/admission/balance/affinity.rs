//! Which replica a request prefers, and why.

/// Why a request should rather go to one replica than to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity<'a> {
    /// Nothing.
    #[default]
    None,
    /// The chained hashes of its prompt's blocks, first block first.
    Prefix(&'a [u64]),
    /// The hash of what tells its session from others.
    Session(u64),
}
