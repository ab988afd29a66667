//! Circles among files.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Each file, and the files that it imports from.
pub type Edges = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// The groups of files that import each other, directly or through others.
#[must_use]
pub fn circles(edges: &Edges) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> = edges
        .keys()
        .map(|file| (file, reachable(edges, file)))
        .collect();
    let mut found = BTreeSet::new();
    for (file, from_here) in &reached {
        let back = from_here.iter().filter(|other| {
            reached
                .get(*other)
                .is_some_and(|there| there.contains(*file))
        });
        let circle: BTreeSet<PathBuf> = back.map(|other| (*other).clone()).collect();
        if !circle.is_empty() {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// The files that `from` imports from, directly or through others. `from` is one of them only if
/// there is a way back to it.
fn reachable<'a>(edges: &'a Edges, from: &PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&PathBuf> = edges.get(from).into_iter().flatten().collect();
    while let Some(file) = open.pop() {
        if found.insert(file) {
            open.extend(edges.get(file).into_iter().flatten());
        }
    }
    found
}
