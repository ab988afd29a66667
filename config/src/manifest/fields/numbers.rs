//! Reads numbers: counts, times and sizes.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Value;
use crate::number;
use crate::yaml::Data;

impl Value<'_> {
    /// A number without quotes for which `fits` holds.
    pub(crate) fn number<T: std::str::FromStr>(
        &self,
        expected: &str,
        fits: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let number = self.plain().and_then(|text| text.parse().ok());
        self.expect(number.filter(fits), &self.unquoted(expected))
    }

    pub(crate) fn count(&self) -> Option<u32> {
        let count = self.plain().and_then(|text| text.parse().ok());
        self.expect(count, &self.unquoted("a whole number from 0 to 4294967295"))
    }

    pub(crate) fn count_from_one(&self) -> Option<NonZeroU32> {
        let count = self.plain().and_then(|text| text.parse().ok());
        self.expect(count, &self.unquoted("a whole number from 1 to 4294967295"))
    }

    pub(crate) fn seconds(&self) -> Option<Duration> {
        self.seconds_or("seconds, such as 0, 0.5 or 60, below 1000000000")
    }

    /// Seconds. `expected` describes what is allowed, for messages.
    pub(crate) fn seconds_or(&self, expected: &str) -> Option<Duration> {
        let seconds = self.plain().and_then(number::seconds);
        self.expect(seconds, &self.unquoted(expected))
    }

    /// Seconds above 0.
    pub(crate) fn seconds_above_zero(&self) -> Option<Duration> {
        let seconds = self
            .plain()
            .and_then(number::seconds)
            .filter(|seconds| !seconds.is_zero());
        self.expect(
            seconds,
            &self.unquoted("seconds above 0, such as 0.5 or 60, below 1000000000"),
        )
    }

    pub(crate) fn bytes(&self) -> Option<u64> {
        let bytes = self.node.text().and_then(number::bytes);
        self.expect(
            bytes,
            "bytes as Kubernetes writes them, such as 100Ki, 512Mi, 1.5Gi or 1000000",
        )
    }

    /// `expected`, with a hint to leave out quotes if they are the error.
    fn unquoted(&self, expected: &str) -> String {
        match &self.node.data {
            Data::Quoted(text) if number::seconds(text).is_some() => {
                format!("{expected}, without quotes")
            }
            _ => expected.to_owned(),
        }
    }
}
