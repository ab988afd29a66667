//! The meaning of a column, or of a field of an object, by its name.

/// The meaning of a column or field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Timestamp,
    TimestampMilliseconds,
    /// Of service.
    Seconds,
    /// Of service.
    Milliseconds,
    ContextTokens,
    GeneratedTokens,
    Model,
    Status,
}

/// Length of the longest known name, in bytes.
const LONGEST: usize = 21;

impl Column {
    /// The meaning of `name`, in upper or lower case, with or without spaces, `_` and `-` between
    /// words. `None`: it is ignored.
    pub(super) fn named(name: &str) -> Option<Self> {
        let mut letters = [0; LONGEST];
        let mut length = 0;
        for byte in name.bytes() {
            if !matches!(byte, b' ' | b'_' | b'-') {
                *letters.get_mut(length)? = byte.to_ascii_lowercase();
                length += 1;
            }
        }
        Some(match &letters[..length] {
            b"timestamp" | b"time" | b"arrived" => Self::Timestamp,
            b"timestampms" | b"timestampmilliseconds" | b"timems" | b"arrivedms" => {
                Self::TimestampMilliseconds
            }
            b"serviceseconds" | b"service" | b"durationseconds" | b"duration" => Self::Seconds,
            b"servicemilliseconds" | b"servicems" | b"durationmilliseconds" | b"durationms" => {
                Self::Milliseconds
            }
            b"contexttokens" | b"inputtokens" | b"prompttokens" | b"requesttokens"
            | b"inputlength" => Self::ContextTokens,
            b"generatedtokens" | b"outputtokens" | b"completiontokens" | b"responsetokens"
            | b"outputlength" => Self::GeneratedTokens,
            b"model" => Self::Model,
            b"status" => Self::Status,
            _ => return None,
        })
    }
}

impl Column {
    /// Its meaning in words.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::TimestampMilliseconds => "timestamp in milliseconds",
            Self::Seconds => "seconds of service",
            Self::Milliseconds => "milliseconds of service",
            Self::ContextTokens => "tokens in",
            Self::GeneratedTokens => "tokens out",
            Self::Model => "model",
            Self::Status => "status",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_however_they_are_written() {
        for (name, expected) in [
            ("TIMESTAMP", Some(Column::Timestamp)),
            ("Time Stamp", Some(Column::Timestamp)),
            ("service_seconds", Some(Column::Seconds)),
            ("Service-Seconds", Some(Column::Seconds)),
            ("duration_milliseconds", Some(Column::Milliseconds)),
            ("ContextTokens", Some(Column::ContextTokens)),
            ("Request tokens", Some(Column::ContextTokens)),
            ("Response tokens", Some(Column::GeneratedTokens)),
            ("input_length", Some(Column::ContextTokens)),
            ("output_length", Some(Column::GeneratedTokens)),
            ("timestamp_ms", Some(Column::TimestampMilliseconds)),
            ("Total tokens", None),
            ("", None),
            ("duration_milliseconds_or_so", None),
        ] {
            assert_eq!(Column::named(name), expected, "{name:?}");
        }
    }
}
