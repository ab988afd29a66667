//! Why a request is refused because of its API key: the values of a metric label.

/// Why a request is refused before its model is known to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// It has no key.
    Missing,
    /// Its key is unknown.
    Unknown,
    /// Its key has expired.
    Expired,
    /// Its key may not be used for the model.
    Model,
    /// Its key has used up its requests per minute.
    Rate,
    /// Its key has too many requests at once.
    Concurrency,
}

impl KeyRefusal {
    /// All, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Missing,
        Self::Unknown,
        Self::Expired,
        Self::Model,
        Self::Rate,
        Self::Concurrency,
    ];

    /// The value of the metric label `reason`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Model => "model",
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
        }
    }
}
