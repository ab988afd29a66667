//! Where a value came from. Every setting carries its [`Origin`], so that `tailback check`, the
//! admin pages and the error messages can answer "who said so?" without a second look-up.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::variables::flag;

/// A document of a manifest file: what it describes and where it stands.
///
/// Two places are equal when they name the same object in the same file: a comment added further
/// up moves the lines, but changes nothing.
#[derive(Debug, Clone)]
pub struct ObjectLocation {
    /// The manifest file, as it was given on the command line or found in the folder.
    pub file: Arc<Path>,
    /// Which document of the file, counted from 1.
    pub document: usize,
    /// The line the value (or, for a whole object, the document) starts on, counted from 1.
    pub line: usize,
    /// `metadata.name` of the object.
    pub name: String,
}

/// Who set a value, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The model's own document.
    Model(ObjectLocation),
    /// The document of the server the model runs on.
    Server(ObjectLocation),
    /// An option of the command line.
    Option(&'static str),
    /// The option of the command line that says the same as this environment variable.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// Nobody: the built-in default.
    Default,
}

/// A value and who set it. Reads like the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// Who set it.
    pub origin: Origin,
}

// === impl ObjectLocation ===

impl PartialEq for ObjectLocation {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.name == other.name
    }
}

impl Eq for ObjectLocation {}

impl fmt::Display for ObjectLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, document {}, line {})",
            self.name,
            self.file.display(),
            self.document,
            self.line
        )
    }
}

// === impl Origin ===

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(place) => write!(f, "model {place}"),
            Self::Server(place) => write!(f, "server {place}"),
            Self::Option(name) => write!(f, "option {name}"),
            Self::Flag(name) => match flag(name) {
                Some(flag) => write!(f, "option --{flag}"),
                None => write!(f, "option for {name}"),
            },
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

// === impl Setting ===

impl<T> Setting<T> {
    /// `value`, set by `origin`.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }
}

impl<T> Deref for Setting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize) -> ObjectLocation {
        ObjectLocation {
            file: Path::new("examples/simple.yaml").into(),
            document: 2,
            line,
            name: "tfsimple".into(),
        }
    }

    #[test]
    fn origins_read_as_a_person_would_say_them() {
        assert_eq!(
            Origin::Model(place(31)).to_string(),
            "model tfsimple (examples/simple.yaml, document 2, line 31)"
        );
        assert_eq!(
            Origin::Environment("SELDON_X").to_string(),
            "environment SELDON_X"
        );
        assert_eq!(
            Origin::Flag("TAILBACK_LISTEN").to_string(),
            "option --listen"
        );
        assert_eq!(Origin::Default.to_string(), "default");
    }

    #[test]
    fn a_setting_that_only_moved_down_the_file_is_the_same_setting() {
        assert_eq!(
            Setting::new(3, Origin::Server(place(4))),
            Setting::new(3, Origin::Server(place(9)))
        );
    }
}
