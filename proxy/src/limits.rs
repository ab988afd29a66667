//! How long a request waits for its replica: the model's `timeouts`, as plain values.

use std::time::Duration;

use tailback_config::{RequestTimeouts, Timeouts};

/// The limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Connecting, including the TLS handshake.
    pub connect: Duration,
    /// From the end of the request to the response's header.
    pub response_header: Duration,
    /// From the response's header to the first byte of its body.
    pub first_byte: Duration,
    /// Without a byte in either direction.
    pub stream_idle: Duration,
    /// The whole request; `Duration::MAX`: no limit.
    pub total: Duration,
}

/// Which limit has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`RequestLimits::response_header`]
    ResponseHeader,
    /// [`RequestLimits::first_byte`]
    FirstByte,
    /// [`RequestLimits::stream_idle`]
    StreamIdle,
    /// [`RequestLimits::total`]
    Total,
}

impl Limit {
    /// Its name in manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ResponseHeader => "timeouts.responseHeaderSeconds",
            Self::FirstByte => "timeouts.firstByteSeconds",
            Self::StreamIdle => "timeouts.streamIdleSeconds",
            Self::Total => "timeouts.totalSeconds",
        }
    }
}

impl RequestLimits {
    /// The limits while the request's model is not known yet, so that nothing has been sent to a
    /// replica.
    #[must_use]
    pub fn without_model(timeouts: &Timeouts) -> Self {
        Self {
            connect: Duration::MAX,
            response_header: Duration::MAX,
            first_byte: Duration::MAX,
            stream_idle: timeouts.stream_idle,
            total: Duration::MAX,
        }
    }
}

impl From<&RequestTimeouts> for RequestLimits {
    fn from(timeouts: &RequestTimeouts) -> Self {
        Self {
            connect: timeouts.connect.value,
            response_header: timeouts.response_header.value,
            first_byte: timeouts.first_byte.value,
            stream_idle: timeouts.stream_idle.value,
            total: timeouts.total.value.unwrap_or(Duration::MAX),
        }
    }
}
