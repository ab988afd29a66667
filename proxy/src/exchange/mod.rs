//! One request and its answer: where it stands and until when that may last
//! ([`StreamState`]), its bodies, and its place in the accounts ([`Exchange`]).

mod accounting;
pub mod body;
mod connection;
mod deadline;
mod fair_share;
mod request_body;
mod stream;
mod watchdog;

use std::time::Duration;

pub(crate) use self::watchdog::Watchdog;
pub use self::{
    accounting::{Account, AccountRef, Exchange, ReplicaHandle},
    connection::{Connection, Scheme, Written},
    deadline::{Deadline, Phase},
    request_body::{BodyReturn, RequestBody, StreamedBody},
    stream::{RequestBodyState, StreamState},
};

/// While draining, an idle connection is closed after this: a caller that is
/// just sending its next request still gets an answer, with `connection: close`.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
