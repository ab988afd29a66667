//! What can be wrong with a configuration. Each message says where, what was found, and what is
//! expected; [`Errors`] carries all of them at once, so that one run shows everything to mend.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Origin;

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was given to read.
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
    /// A file as a whole is not what it must be: too large, not a file, not UTF-8.
    #[error("{}: found {found}, expected {expected}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// A file is not YAML, or YAML beyond the bounds.
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
    /// A field of a document does not hold what it must.
    #[error("{spot}: found {found}, expected {expected}")]
    Value {
        /// Which field.
        spot: Box<FieldLocation>,
        /// What it holds, or `nothing`.
        found: String,
        /// What it must hold.
        expected: String,
    },
    /// A document breaks a rule that is not about one value alone.
    #[error("{spot}: {message}")]
    Rule {
        /// Which field, or the whole document.
        spot: Box<FieldLocation>,
        /// What the rule is and how to keep it.
        message: String,
    },
    /// The manifests were read, and there is no model in them.
    #[error("{read}: no Model found; there must be at least one")]
    NoModel {
        /// What was read, for people.
        read: String,
    },
    /// An environment variable, or the option that takes its place, does not hold what it must.
    #[error("{origin}: found {found}, expected {expected}")]
    Variable {
        /// Which.
        origin: Origin,
        /// Its value in quotes, or `nothing`.
        found: String,
        /// What it must hold.
        expected: String,
    },
    /// A variable that looks like one of ours, and is none.
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
    /// What the document describes, as far as it is known: `Model iris`.
    pub object: String,
    /// Which line, counted from 1.
    pub line: usize,
    /// The path of the field, `spec.process.command[2]`; empty for the whole document.
    pub field: String,
}

/// Everything that is wrong, in the order it was found. Never empty.
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
    /// `Ok(value)` if nothing is wrong, else all that is.
    pub(crate) fn none_or<T>(errors: Vec<Error>, value: T) -> Result<T, Self> {
        if errors.is_empty() {
            Ok(value)
        } else {
            Err(Self(errors))
        }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each of them.
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
