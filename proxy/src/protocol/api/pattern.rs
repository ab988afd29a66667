//! Path patterns of the table's rows.

use std::{fmt, ops::Range};

/// The paths that one row matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Exactly this path.
    Is(&'static str),
    /// This path, and all paths below it.
    Below(&'static str),
    /// This prefix, then a model's name up to the end.
    Model(&'static str),
    /// A model's name between these two.
    Between(&'static str, &'static str),
    /// This prefix, then a model's name, then anything.
    BelowModel(&'static str),
}

/// Whether `path` is `above`, or a path below it.
#[must_use]
pub fn is_at_or_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Pattern {
    /// The byte range of `path` that is the model's name, or begins with it, if `path` matches; an
    /// empty range if the pattern has no name. Names may contain slashes, so where a name ends
    /// depends on the served models.
    #[must_use]
    pub fn find(self, path: &str) -> Option<Range<usize>> {
        let (start, end) = match self {
            Self::Is(whole) => return (path == whole).then_some(0..0),
            Self::Below(above) => return is_at_or_below(path, above).then_some(0..0),
            Self::Model(before) | Self::BelowModel(before) => {
                path.strip_prefix(before)?;
                (before.len(), path.len())
            }
            Self::Between(before, after) => {
                path.strip_prefix(before)?.strip_suffix(after)?;
                (before.len(), path.len() - after.len())
            }
        };
        (start < end).then_some(start..end)
    }

    /// The text that all matching paths begin with.
    #[must_use]
    pub fn literal(self) -> &'static str {
        match self {
            Self::Is(text)
            | Self::Below(text)
            | Self::Model(text)
            | Self::Between(text, _)
            | Self::BelowModel(text) => text,
        }
    }

    /// The order in which patterns are tried: smaller for patterns that match fewer paths.
    #[must_use]
    pub(super) fn breadth(self) -> (u8, usize) {
        match self {
            Self::Is(_) => (0, 0),
            Self::Between(..) => (1, 0),
            Self::Model(_) => (2, 0),
            Self::Below(text) | Self::BelowModel(text) => (3, usize::MAX - text.len()),
        }
    }

    /// Whether it matches arbitrary paths below a prefix.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Below(_) | Self::BelowModel(_))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(whole) => f.write_str(whole),
            Self::Below(above) => write!(f, "{above}[/…]"),
            Self::Model(before) => write!(f, "{before}{{model}}"),
            Self::Between(before, after) => write!(f, "{before}{{model}}{after}"),
            Self::BelowModel(before) => write!(f, "{before}{{model}}/…"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_the_pattern_has_them() {
        use Pattern::*;
        for (pattern, path, expected) in [
            (Is("/v2"), "/v2", Some("")),
            (Is("/v2"), "/v2/", None),
            (Below("/v1/files"), "/v1/files", Some("")),
            (Below("/v1/files"), "/v1/files/x", Some("")),
            (Below("/v1/files"), "/v1/filesx", None),
            (Model("/v1/models/"), "/v1/models/a/b", Some("a/b")),
            (Model("/v1/models/"), "/v1/models/", None),
            (
                Between("/v1/models/", ":predict"),
                "/v1/models/llama:8b:predict",
                Some("llama:8b"),
            ),
            (
                Between("/v1/models/", ":predict"),
                "/v1/models/:predict",
                None,
            ),
            (Between("/v2/models/", "/ready"), "/v2/models/ready", None),
            (
                BelowModel("/v2/models/"),
                "/v2/models/m/infer",
                Some("m/infer"),
            ),
        ] {
            let found = pattern.find(path).map(|name| &path[name]);
            assert_eq!(found, expected, "{pattern} {path}");
        }
    }
}
