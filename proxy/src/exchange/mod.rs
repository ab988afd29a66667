//! One request and its response: its phase and deadline ([`StreamState`]), its bodies, and its
//! accounting ([`Exchange`]).

mod account;
mod accounting;
pub mod body;
mod body_pace;
mod cancellation;
mod connection;
mod deadline;
mod fair_share;
mod footprint;
mod live_requests;
mod pipelined;
mod presence;
mod request_body;
mod rounds;
mod stream;
mod unread;
mod watchdog;

use std::time::Duration;

pub use self::{
    account::{Account, AccountRef, ReplicaHandle},
    accounting::Exchange,
    connection::{Connection, Scheme, Written},
    deadline::{Deadline, Phase},
    fair_share::FairShare,
    footprint::Footprint,
    live_requests::{LiveRequests, RequestList},
    presence::{RequestView, Step, Subject},
    request_body::{BodyReturn, RequestBody, StreamedBody},
    stream::{RequestBodyState, StreamState},
};
pub(crate) use self::{rounds::in_each_round, watchdog::Watchdog};

/// How long an idle connection is kept while draining. A caller that is about to send its next
/// request still gets a response, with `connection: close`.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
