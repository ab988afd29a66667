//! Load balancing: which of a model's replicas gets a request.

use std::fmt;

/// How a replica is chosen for a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LoadBalancing {
    /// `powerOfTwo`: the less busy of two replicas picked at random.
    #[default]
    PowerOfTwo,
    /// `leastRequest`: the replica with the fewest requests.
    LeastRequest,
    /// `roundRobin`: each replica in turn.
    RoundRobin,
    /// `prefix`: the replica that has seen the longest beginning of the prompt.
    Prefix(PrefixAffinity),
    /// `session`: the same replica for all requests of a session.
    Session(SessionAffinity),
}

/// The settings of `prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixAffinity {
    /// A prompt is compared in blocks of so many bytes.
    pub block_bytes: usize,
    /// Bytes of a request's body, from its beginning, that are looked at.
    pub max_bytes: usize,
    /// How many blocks are remembered, each with one replica that has seen it.
    pub table_size: usize,
    /// How busy the replica with the longest matching prefix may be. Above that, another one is
    /// chosen.
    pub load_factor: LoadFactor,
}

/// The settings of `session`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionAffinity {
    /// Which part of a request identifies its session.
    pub key: SessionKey,
    /// How busy the replica of a session may be. Above that, another one is chosen.
    pub load_factor: LoadFactor,
}

/// Where a request says which session it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionKey {
    /// The header with this name (in lower case).
    Header(String),
    /// The cookie with this name.
    Cookie(String),
    /// The member with this name of the JSON object in the body.
    BodyField(String),
}

/// The load that a preferred replica may have, as a multiple of the mean, in hundredths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadFactor(u32);

// === impl LoadBalancing ===

impl LoadBalancing {
    /// Every strategy with its default settings, in the order the documentation lists them.
    #[must_use]
    pub fn all() -> [Self; 5] {
        [
            Self::PowerOfTwo,
            Self::LeastRequest,
            Self::RoundRobin,
            Self::Prefix(PrefixAffinity::default()),
            Self::Session(SessionAffinity::default()),
        ]
    }

    /// Whether the strategy prefers certain replicas for a request because of its contents.
    #[must_use]
    pub fn has_affinity(&self) -> bool {
        matches!(self, Self::Prefix(_) | Self::Session(_))
    }

    /// As it is written in manifests, without its settings.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::PowerOfTwo => "powerOfTwo",
            Self::LeastRequest => "leastRequest",
            Self::RoundRobin => "roundRobin",
            Self::Prefix(_) => "prefix",
            Self::Session(_) => "session",
        }
    }
}

impl fmt::Display for LoadBalancing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        match self {
            Self::PowerOfTwo | Self::LeastRequest | Self::RoundRobin => Ok(()),
            Self::Prefix(prefix) => write!(
                f,
                " (blockBytes {}, maxBytes {}, tableSize {}, loadFactor {})",
                prefix.block_bytes, prefix.max_bytes, prefix.table_size, prefix.load_factor
            ),
            Self::Session(session) => {
                write!(f, " ({}, loadFactor {})", session.key, session.load_factor)
            }
        }
    }
}

// === impl PrefixAffinity ===

impl Default for PrefixAffinity {
    fn default() -> Self {
        Self {
            block_bytes: 256,
            max_bytes: 64 * 1024,
            table_size: 1 << 17,
            load_factor: LoadFactor::default(),
        }
    }
}

// === impl SessionKey ===

impl Default for SessionKey {
    fn default() -> Self {
        Self::Header("x-session-id".to_owned())
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::BodyField(name) => write!(f, "bodyField {name}"),
        }
    }
}

// === impl LoadFactor ===

impl LoadFactor {
    /// A factor in hundredths; at least 100, because below it no replica might be within the
    /// bound.
    #[must_use]
    pub fn from_percent(percent: u32) -> Self {
        Self(percent.max(100))
    }

    /// In hundredths.
    #[must_use]
    pub fn percent(self) -> u32 {
        self.0
    }
}

impl Default for LoadFactor {
    /// 1.25, the usual factor of consistent hashing with bounded loads.
    fn default() -> Self {
        Self(125)
    }
}

impl fmt::Display for LoadFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0) / 100.0)
    }
}
