//! Checks how the sources of the workspace are laid out. `tests/workspace.rs` has the rules; here is
//! what finds the facts: which file imports from which ([`Crate`], [`circles`]), and which types,
//! modules and functions a file defines ([`Source::definitions`]).
//!
//! A file imports from another if it names something that the other defines, by a `use` or by a path
//! in its code. Names are followed through re-exports (`pub use`), module aliases and globs to the
//! file that defines them. An import of a whole module is no import by itself; what is named through
//! it is. What a module takes from the modules that it is inside of is left out: Rust lets it see their
//! private items, so that they are read as one.
//!
//! A module under `#[cfg(test)]` counts as a file of its own, also where it stands in one of other code:
//! nothing but tests can import from it. Other items under `#[cfg(test)]` are left out.
//!
//! It reads tokens and not types, so it does not see:
//! - methods called on a value, whose type another file defines, and types that are inferred;
//! - paths that a macro puts together; the tokens that are given to a macro are seen;
//! - trait implementations that are found by the compiler alone;
//! - items of a function body, and names that come through a glob from another crate.

mod graph;
mod module;
mod source;
mod tokens;

pub use graph::{Edges, circles};
pub use module::Crate;
pub use source::{Source, rust_files};
pub use tokens::{Definition, Visibility};
