//! API keys: who may send requests, for which models, and how many.

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::SystemTime;

use crate::ObjectLocation;
use crate::name::is_name;

/// A caller that is known by an API key, or by its TLS certificate. Only the key's hash is kept,
/// never the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name, in metrics and in the access log.
    pub name: String,
    /// The document that describes it.
    pub place: ObjectLocation,
    /// The SHA-256 hash of the key; `None`: callers are known by `certificate` alone.
    pub sha256: Option<Sha256>,
    /// The SHA-256 fingerprint (of the DER) of the client certificate that stands for the key on
    /// TLS connections; `None`: no certificate does.
    pub certificate: Option<Sha256>,
    /// The models it may be used for; `None`: all.
    pub models: Option<Vec<NamePattern>>,
    /// The highest class of its requests in hold queues; `None`: any.
    pub class: Option<String>,
    /// Most requests a minute; `None`: no limit.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Most requests at once; `None`: no limit.
    pub concurrency: Option<NonZeroU32>,
    /// The time from which on it is not valid; `None`: it never expires.
    pub expires: Option<SystemTime>,
}

/// A SHA-256 hash (FIPS 180-4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

/// A name, or, with `*` at its end, the beginning of names: `gpt-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    start: String,
    is_whole: bool,
}

impl ApiKey {
    /// The form of times, for messages.
    pub const TIME_EXPECTED: &str =
        "a time such as 2027-01-31T12:00:00Z, or a day such as 2027-01-31";

    /// A key without limits that is to be added to a file; `None` if it cannot have this name.
    #[must_use]
    pub fn new(name: &str, sha256: Sha256) -> Option<Self> {
        let place = ObjectLocation {
            file: Path::new("").into(),
            document: 1,
            line: 1,
            name: name.to_owned(),
        };
        is_name(name).then(|| Self {
            name: name.to_owned(),
            place,
            sha256: Some(sha256),
            certificate: None,
            models: None,
            class: None,
            requests_per_minute: None,
            concurrency: None,
            expires: None,
        })
    }

    /// Reads a time of RFC 3339 in UTC, or a day, which stands for its beginning.
    #[must_use]
    pub fn parse_time(text: &str) -> Option<SystemTime> {
        let whole = match text.contains('T') {
            true => text.to_owned(),
            false => format!("{text}T00:00:00Z"),
        };
        humantime::parse_rfc3339(&whole).ok()
    }

    /// Whether it has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// Whether it may be used for a model that has these names, its own and its aliases.
    pub fn allows<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        let Some(models) = &self.models else {
            return true;
        };
        names.any(|name| models.iter().any(|pattern| pattern.matches(name)))
    }
}

impl NamePattern {
    /// The last character of a pattern that stands for all names with the same beginning.
    const WILDCARD: char = '*';

    /// Reads a name, or the beginning of names and `*`; `None` if `*` is not at the end, or `text`
    /// is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let start = text.strip_suffix(Self::WILDCARD);
        let is_fit = !text.is_empty() && !start.unwrap_or(text).contains(Self::WILDCARD);
        is_fit.then(|| Self {
            start: start.unwrap_or(text).to_owned(),
            is_whole: start.is_none(),
        })
    }

    /// Whether `name` is the pattern's name, or has its beginning.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.is_whole {
            true => name == self.start,
            false => name.starts_with(&self.start),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.is_whole { "" } else { "*" };
        write!(f, "{}{rest}", self.start)
    }
}

impl Sha256 {
    /// Reads 64 hexadecimal digits, with or without colons between the bytes, as `openssl` writes
    /// fingerprints.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = match text.contains(':') {
            true => {
                let pairs = text.split(':');
                let pairs = pairs.map(|pair| (pair.len() == 2).then_some(pair));
                pairs.collect::<Option<Vec<_>>>()?.concat().into_bytes()
            }
            false => text.as_bytes().to_vec(),
        };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_64_digits_with_or_without_colons() {
        let plain = "00ff".repeat(16);
        let hash = Sha256::parse(&plain).unwrap();
        assert_eq!(hash.to_string(), plain);
        let colons = vec!["00:FF"; 16].join(":");
        assert_eq!(Sha256::parse(&colons), Some(hash));
        for wrong in [
            "",
            "00",
            &plain[1..],
            &format!("{plain}0"),
            &plain.replacen('0', "g", 1),
            &plain.replacen("00", "é", 1),
            &colons.replacen("00:", "0:0", 1),
        ] {
            assert_eq!(Sha256::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_its_beginning() {
        let matches =
            |pattern: &str, name: &str| NamePattern::parse(pattern).unwrap().matches(name);
        assert!(matches("a", "a") && !matches("a", "ab"));
        assert!(matches("a*", "a") && matches("a*", "ab") && !matches("a*", "b"));
        assert!(matches("*", "anything"));
        for wrong in ["", "a*b", "**", "*a"] {
            assert_eq!(NamePattern::parse(wrong), None, "{wrong}");
        }
    }
}
