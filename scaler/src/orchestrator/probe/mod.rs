//! Probes of a replica: whether it can do what it is for now.
//!
//! A probe is a function of an address and of what the manifest says of readiness. It has no
//! state, and makes a connection of its own, so that it sees what a new connection would.

mod grpc;
mod http;
mod life;

use std::time::Duration;

use tailback_config::Readiness;
use thiserror::Error;
use tokio::net::TcpStream;

pub use self::life::shows_life;
use crate::replica::{Address, Replica};

/// How long one probe may take, where nothing else is said.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Where a replica is probed.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Where it takes requests.
    pub http: Address<'a>,
    /// Where it takes gRPC, if not there.
    pub grpc: Option<Address<'a>>,
}

/// Why a probe did not find a replica ready; as a sentence without the replica's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotReady {
    /// There is no connection: nothing listens, or nothing can be reached.
    #[error("cannot connect to {authority}: {why}")]
    NoConnection {
        /// `host:port`
        authority: String,
        /// The system's words.
        why: String,
    },
    /// There is a connection, and what came of it is not as it should be.
    #[error("{0}")]
    Answer(String),
    /// Nothing came in time.
    #[error("no response within {} s", .0.as_secs_f64())]
    Silent(Duration),
}

impl<'a> Target<'a> {
    /// One address for all.
    #[must_use]
    pub fn new(authority: &'a str) -> Self {
        Self {
            http: Address::new(authority),
            grpc: None,
        }
    }

    /// The addresses of `replica`.
    #[must_use]
    pub fn of(replica: &'a Replica) -> Self {
        Self {
            http: replica.address(),
            grpc: replica.grpc_address(),
        }
    }
}

/// Probes once, for no longer than `limit`. A replica whose readiness is a line of its output, or
/// is not probed at all, passes: that line is not to be had from its address.
///
/// # Errors
/// Why it is not ready.
pub async fn probe(target: Target<'_>, ready: &Readiness, limit: Duration) -> Result<(), NotReady> {
    let address = target.http;
    let probe = async {
        match ready {
            Readiness::Http(probe) => http::get(address, probe).await,
            Readiness::Grpc(probe) => {
                grpc::check(target.grpc.unwrap_or(address), &probe.service).await
            }
            Readiness::Tcp => connect(address.authority).await.map(drop),
            Readiness::Line(_) | Readiness::None => Ok(()),
        }
    };
    match tokio::time::timeout(limit, probe).await {
        Ok(answer) => answer,
        Err(_) => Err(NotReady::Silent(limit)),
    }
}

async fn connect(authority: &str) -> Result<TcpStream, NotReady> {
    let connected = TcpStream::connect(authority).await;
    connected.map_err(|error| NotReady::NoConnection {
        authority: authority.to_owned(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests;
