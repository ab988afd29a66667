//! Documents that were skipped because their kind is not read here.

use std::collections::BTreeMap;
use std::fmt;

use crate::FieldLocation;

/// Documents of kinds that are not read here, in the order in which they were found.
///
/// It is displayed as a notice, such as `skipped documents of other kinds: 2 Experiment,
/// 1 Pipeline`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped(Vec<(String, FieldLocation)>);

impl Skipped {
    /// Adds the document at `spot`. `kind` is a plain word.
    pub(crate) fn add(&mut self, kind: String, spot: FieldLocation) {
        self.0.push((kind, spot));
    }

    /// Whether no document was skipped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where the documents are.
    pub fn iter(&self) -> impl Iterator<Item = &FieldLocation> {
        self.0.iter().map(|(_, spot)| spot)
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = BTreeMap::<&str, usize>::new();
        for (kind, _) in &self.0 {
            *counts.entry(kind).or_default() += 1;
        }
        let counts = counts.iter().map(|(kind, count)| format!("{count} {kind}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        write!(f, "skipped documents of other kinds: {counts}")
    }
}
