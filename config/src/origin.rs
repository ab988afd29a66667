//! Where values come from. Every setting carries its [`Origin`], so that `tailback config`, the
//! admin address and error messages can show it.

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::variables::flag;

/// The location of an object in a manifest file.
///
/// Two locations are equal if they name the same object in the same file, even if the line has
/// moved.
#[derive(Debug, Clone)]
pub struct ObjectLocation {
    /// The manifest file, as it was given on the command line or found in the folder.
    pub file: Arc<Path>,
    /// Which document of the file, counted from 1.
    pub document: usize,
    /// The line where the value, or for an object its document, starts, counted from 1.
    pub line: usize,
    /// `metadata.name` of the object.
    pub name: String,
}

/// What has set a value, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The model's own document.
    Model(ObjectLocation),
    /// The document of the server the model runs on.
    Server(ObjectLocation),
    /// The kind of model server that the server's document names as `runtime`.
    Runtime(&'static str),
    /// An option of the command line.
    Option(&'static str),
    /// The command-line option that overrides this environment variable.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// The built-in default.
    Default,
}

/// A value and its origin. Dereferences to the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Its origin.
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
            Self::Runtime(name) => write!(f, "runtime {name}"),
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
        assert_eq!(Origin::Runtime("vllm").to_string(), "runtime vllm");
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
