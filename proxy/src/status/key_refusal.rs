//! Why an API key, or the lack of one, lets no request in: the values of a metric label.

/// Why a request is refused before it arrives for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// It has no key.
    Missing,
    /// It has a key that there is not.
    Unknown,
    /// Its key has expired.
    Expired,
    /// Its key may not be used for the model.
    Model,
    /// Its key has had its requests of a minute.
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
