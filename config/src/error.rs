//! Errors in a configuration. Each message says where, what was found, and what is expected.
//! [`Errors`] has all of them, so that one run shows everything that must be corrected.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Origin;

/// One error in a configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No path was given.
    #[error("no manifest given: expected files (*.yaml, *.yml) or folders of them")]
    NoPaths,
    /// A file or folder cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be a manifest: it is too large, not a file, or not UTF-8.
    #[error("{}: found {found}, expected {expected}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What is expected.
        expected: String,
    },
    /// A file is not YAML, or exceeds the limits of nesting and size.
    #[error("{}: document {document}, line {line}, column {column}: {message}", file.display())]
    Syntax {
        /// The file.
        file: Arc<Path>,
        /// Which document, counted from 1.
        document: usize,
        /// Which line, counted from 1.
        line: usize,
        /// Which column, counted from 1.
        column: usize,
        /// What the parser found.
        message: String,
    },
    /// A field has a wrong value.
    #[error("{spot}: found {found}, expected {expected}")]
    Value {
        /// Which field.
        spot: Box<FieldLocation>,
        /// Its value, or `nothing`.
        found: String,
        /// The value that is expected.
        expected: String,
    },
    /// A document breaks a rule that is about more than one value.
    #[error("{spot}: {message}")]
    Rule {
        /// Which field, or the whole document.
        spot: Box<FieldLocation>,
        /// The rule, and how to comply.
        message: String,
    },
    /// The manifests have no model.
    #[error("{read}: no Model found; there must be at least one")]
    NoModel {
        /// The paths that were read.
        read: String,
    },
    /// An environment variable, or the option that overrides it, has a wrong value.
    #[error("{origin}: found {found}, expected {expected}")]
    Variable {
        /// The variable or option.
        origin: Origin,
        /// Its value in quotes, or `nothing`.
        found: String,
        /// The value that is expected.
        expected: String,
    },
    /// An unknown variable with Tailback's prefix.
    #[error("environment {name}: there is no such setting{hint}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// `; did you mean …?`, or nothing.
        hint: String,
    },
    /// The files cannot be watched for changes.
    #[error("{}: cannot be watched for changes: {source}", path.display())]
    Watch {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: notify::Error,
    },
}

/// A field of a document, or the whole document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldLocation {
    /// The file.
    pub file: Arc<Path>,
    /// Which document, counted from 1.
    pub document: usize,
    /// Kind and name of the object, as far as they are known: `Model iris`.
    pub object: String,
    /// Which line, counted from 1.
    pub line: usize,
    /// The path of the field, `spec.process.command[2]`; empty for the whole document.
    pub field: String,
}

/// All errors, in the order in which they were found. Never empty.
#[derive(Debug)]
pub struct Errors(Vec<Error>);

// === impl FieldLocation ===

impl fmt::Display for FieldLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: document {}", self.file.display(), self.document)?;
        if !self.object.is_empty() {
            write!(f, " ({})", self.object)?;
        }
        write!(f, ", line {}", self.line)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        Ok(())
    }
}

// === impl Errors ===

impl Errors {
    /// `Ok(value)` if there are no errors, else all of them.
    pub(crate) fn none_or<T>(errors: Vec<Error>, value: T) -> Result<T, Self> {
        if errors.is_empty() {
            Ok(value)
        } else {
            Err(Self(errors))
        }
    }

    /// The number of errors.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The errors, in the order in which they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl From<Vec<Error>> for Errors {
    fn from(errors: Vec<Error>) -> Self {
        Self(errors)
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0 {
            writeln!(f, "{error}")?;
        }
        let count = self.0.len();
        write!(f, "{count} {}", if count == 1 { "error" } else { "errors" })
    }
}

impl std::error::Error for Errors {}
