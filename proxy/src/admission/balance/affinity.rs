//! What of a request speaks for some replicas rather than for others.

/// What a strategy may know of a request, besides that there is one.
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
