//! Probes of a replica: whether it can serve requests now.
//!
//! A probe is a function of an address and of the manifest's readiness check. It has no state, and
//! opens a connection of its own, so that it sees what a new connection sees.

mod grpc;
mod http;
mod life;

use std::time::Duration;

use tailback_config::Readiness;
use thiserror::Error;
use tokio::net::TcpStream;

pub use self::life::shows_life;
use crate::replica::{Address, Replica};

/// The default time limit of a probe.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Where a replica is probed.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The address for requests.
    pub http: Address<'a>,
    /// The address for gRPC, if it differs.
    pub grpc: Option<Address<'a>>,
}

/// Why a probe did not find a replica ready. The message is a sentence without the replica's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotReady {
    /// The connection failed: nothing listens, or the address cannot be reached.
    #[error("cannot connect to {authority}: {why}")]
    NoConnection {
        /// `host:port`
        authority: String,
        /// The system's error message.
        why: String,
    },
    /// There was a connection, but not the expected answer.
    #[error("{0}")]
    Answer(String),
    /// There was no answer in time.
    #[error("no response within {} s", .0.as_secs_f64())]
    Silent(Duration),
}

impl<'a> Target<'a> {
    /// One address for HTTP and gRPC.
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

/// Probes once, for no longer than `limit`. A replica passes if its readiness is a line of output
/// or is not checked: neither can be seen at its address.
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
