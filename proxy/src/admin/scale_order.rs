//! The body of `POST /models/{name}/scale`.

use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Number;
use tokio::time::timeout;

/// Most bytes of the body.
const LARGEST: usize = 4096;
/// How long the body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time, in seconds. A lasting count belongs in the manifest.
const LONGEST: u64 = 24 * 60 * 60;
/// The largest count; a larger one is taken for a typing error.
const MOST: u32 = 10_000;

/// A count, and the seconds for which it holds.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleBody {
    /// How many replicas, at most 10,000.
    #[serde(deserialize_with = "replicas")]
    pub replicas: u32,
    /// For how long, at most a day.
    #[serde(deserialize_with = "whole")]
    pub seconds: u64,
}

fn replicas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    whole(deserializer).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// In JSON, `3.0` is a whole number, too.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let float = || number.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0);
    let whole = number.as_u64().or_else(|| float().map(|n| n as u64));
    whole.ok_or_else(|| D::Error::custom(format!("{number} is not a whole number from 0")))
}

impl ScaleBody {
    /// Reads and parses a body. The error says what is wrong with it.
    pub(super) async fn read(body: Incoming) -> Result<Self, String> {
        let body = timeout(PATIENCE, Limited::new(body, LARGEST).collect()).await;
        let body =
            body.map_err(|_| format!("no whole body came within {} s", PATIENCE.as_secs()))?;
        let body = body.map_err(|error| {
            format!("the body cannot be read (it may have {LARGEST} bytes): {error}")
        })?;
        Self::parse(&body.to_bytes())
    }

    /// Parses a body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let parsed: Self = serde_json::from_slice(body).map_err(|error| {
            format!(r#"expected JSON such as {{"replicas": 3, "seconds": 600}}: {error}"#)
        })?;
        if parsed.replicas > MOST {
            return Err(format!("replicas: {} is more than {MOST}", parsed.replicas));
        }
        if parsed.seconds > LONGEST {
            return Err(format!(
                "seconds: {} is more than {LONGEST}, a day; for longer set minReplicas and maxReplicas of the model",
                parsed.seconds
            ));
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_and_a_time_are_taken_and_anything_else_is_explained() {
        let parse = |body: &str| ScaleBody::parse(body.as_bytes());
        let three = ScaleBody {
            replicas: 3,
            seconds: 600,
        };
        for body in [
            r#"{"replicas": 3, "seconds": 600}"#,
            r#"{"seconds": 6e2, "replicas": 3.0}"#,
        ] {
            assert_eq!(parse(body).as_ref(), Ok(&three));
        }
        for (body, why) in [
            ("", "expected JSON such as"),
            (
                r#"{"replicas": 3.5, "seconds": 1}"#,
                "3.5 is not a whole number",
            ),
            (
                r#"{"replicas": 1e30, "seconds": 1}"#,
                "4294967295 is more than 10000",
            ),
            (
                r#"{"replicas": "3", "seconds": 1}"#,
                "expected a JSON number",
            ),
            (r#"{"replicas": 3}"#, "missing field `seconds`"),
            (
                r#"{"replicas": -3, "seconds": 1}"#,
                "-3 is not a whole number",
            ),
            (
                r#"{"replicas": 3, "seconds": 1, "x": 2}"#,
                "unknown field `x`",
            ),
            (
                r#"{"replicas": 3, "seconds": 86401}"#,
                "86401 is more than 86400, a day",
            ),
            (
                r#"{"replicas": 10001, "seconds": 1}"#,
                "10001 is more than 10000",
            ),
        ] {
            let found = parse(body).unwrap_err();
            assert!(found.contains(why), "{body}: {found}");
        }
    }
}
