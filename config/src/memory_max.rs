//! How much memory the whole process may have before it sheds load.

use std::fmt;
use std::path::PathBuf;

use crate::cgroup;
use crate::number::{self, show_bytes};

/// `TAILBACK_MEMORY_MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryMax {
    /// Not set: [`SHARE`] of the control group's limit; no limit if the control group has none.
    ControlGroup,
    /// This many bytes.
    Bytes(u64),
    /// `none`: no limit.
    Unlimited,
}

/// A limit that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryLimit {
    /// In bytes; not zero.
    pub bytes: u64,
    /// The control group's file that the limit was computed from; `None`: the variable sets it.
    pub file: Option<PathBuf>,
}

/// The share of a control group's limit that the measured memory may take. The rest is for memory
/// that is not measured: the kernel's own for this process, and growth between two measurements.
const SHARE: (u64, u64) = (7, 8);

/// Bytes that the program itself needs. A smaller limit could not be kept by shedding load.
const LEAST: u64 = 64 << 20;
pub(crate) const EXPECTED: &str = "bytes of at least 64Mi, such as 512Mi or 2Gi, or none";

impl MemoryMax {
    /// Parses a value of the variable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::Unlimited),
            _ => number::bytes(text)
                .filter(|bytes| *bytes >= LEAST)
                .map(Self::Bytes),
        }
    }

    /// The limit, with the control group's present limit; `None`: there is none.
    #[must_use]
    pub fn limit(self) -> Option<MemoryLimit> {
        match self {
            Self::Unlimited => None,
            Self::Bytes(bytes) => Some(MemoryLimit { bytes, file: None }),
            Self::ControlGroup => {
                let (bytes, file) = cgroup::memory_limit()?;
                let bytes = bytes / SHARE.1 * SHARE.0;
                // With less, the program itself would exceed the limit.
                (bytes >= LEAST).then_some(MemoryLimit {
                    bytes,
                    file: Some(file),
                })
            }
        }
    }
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&show_bytes(self.bytes))?;
        match &self.file {
            Some(file) => write!(formatter, ", {}/{} of {}", SHARE.0, SHARE.1, file.display()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_elsewhere_and_too_small_ones_are_refused() {
        for (text, expected) in [
            ("none", Some(MemoryMax::Unlimited)),
            ("64Mi", Some(MemoryMax::Bytes(64 << 20))),
            ("2G", Some(MemoryMax::Bytes(2_000_000_000))),
            ("63Mi", None),
            ("0", None),
            ("-1", None),
            ("50%", None),
        ] {
            assert_eq!(MemoryMax::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn a_limit_says_where_it_is_from() {
        let group = MemoryLimit {
            bytes: 224 << 20,
            file: Some("/sys/fs/cgroup/memory.max".into()),
        };
        let shown = "224Mi, 7/8 of /sys/fs/cgroup/memory.max";
        assert_eq!(group.to_string(), shown);
        let set = MemoryMax::Bytes(1 << 30).limit();
        assert_eq!(set.unwrap().to_string(), "1Gi");
        assert_eq!(MemoryMax::Unlimited.limit(), None);
    }
}
