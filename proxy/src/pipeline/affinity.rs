//! Between steps 2 and 3: determines the affinity of a request, if the model's load balancing has
//! one.

use std::rc::Rc;

use bytes::Bytes;
use http::{
    HeaderValue,
    header::{CONTENT_ENCODING, COOKIE},
};
use rapidhash::v3::rapidhash_v3;
use tailback_config::{LoadBalancing, SessionKey};
use tailback_scaler::{clock::Nanos, replica::Replica};

use super::upstream_request::UpstreamRequest;
use crate::{
    admission::balance::{Affinity, Taken, chain},
    exchange::{StreamState, body::BufferReservation},
    message::HeaderMap,
    models::ModelRef,
    protocol::{error::ProxyError, prompt},
    telemetry::metrics::Preference,
};

/// Bytes of a body in which a member with the session is searched.
const SESSION_BYTES: usize = 64 * 1024;

/// An [`Affinity`] that owns its data.
#[derive(Debug)]
pub(super) enum RequestAffinity {
    None,
    Prefix(Box<[u64]>),
    Session(u64),
}

impl RequestAffinity {
    /// For [`Balancer::take`](crate::admission::balance::Balancer::take).
    pub(super) fn get(&self) -> Affinity<'_> {
        match self {
            Self::None => Affinity::None,
            Self::Prefix(blocks) => Affinity::Prefix(blocks),
            Self::Session(session) => Affinity::Session(*session),
        }
    }
}

/// The affinity of the request. It reads as much of the body as the settings allow and the buffer
/// budget permits. Costs nothing if the strategy has no affinity.
pub(super) async fn read(
    model: &ModelRef,
    outgoing: &mut UpstreamRequest,
    state: &Rc<StreamState>,
    reservation: &mut BufferReservation<'_>,
) -> Result<RequestAffinity, ProxyError> {
    Ok(match &model.model.config.server.load_balancing {
        LoadBalancing::PowerOfTwo | LoadBalancing::LeastRequest | LoadBalancing::RoundRobin => {
            RequestAffinity::None
        }
        LoadBalancing::Prefix(prefix) => {
            let text = look(prefix.max_bytes, outgoing, state, reservation).await?;
            let blocks = chain(prompt::parts(&text), prefix.block_bytes);
            RequestAffinity::Prefix(blocks.into())
        }
        LoadBalancing::Session(session) => match &session.key {
            SessionKey::Header(name) => {
                let value = outgoing.headers().get(name.as_str());
                of_session(value.map(HeaderValue::as_bytes))
            }
            SessionKey::Cookie(name) => of_session(cookie(outgoing.headers(), name)),
            SessionKey::BodyField(name) => {
                let text = look(SESSION_BYTES, outgoing, state, reservation).await?;
                of_session(prompt::member(&text, name))
            }
        },
    })
}

fn of_session(value: Option<&[u8]>) -> RequestAffinity {
    match value {
        Some(value) if !value.is_empty() => RequestAffinity::Session(rapidhash_v3(value)),
        _ => RequestAffinity::None,
    }
}

/// The first `most` bytes of the body. A compressed or binary body cannot be compared.
async fn look(
    most: usize,
    outgoing: &mut UpstreamRequest,
    state: &Rc<StreamState>,
    reservation: &mut BufferReservation<'_>,
) -> Result<Bytes, ProxyError> {
    if state.api.get().is_grpc() || outgoing.headers().contains_key(CONTENT_ENCODING) {
        return Ok(Bytes::new());
    }
    // Boxed, because it waits only for large bodies, and its state would enlarge every request's
    // future.
    match outgoing.whole(most) {
        Some(text) => Ok(text),
        None => Box::pin(outgoing.look(most, state, reservation)).await,
    }
}

/// Counts the choice of a replica.
pub(super) fn count(model: &ModelRef, affinity: Affinity<'_>, taken: Taken) {
    let strategy = &model.model.config.server.load_balancing;
    if !strategy.has_affinity() {
        return;
    }
    let counts = &model.model.metrics.affinity;
    counts.chosen(taken.preference);
    if let (LoadBalancing::Prefix(prefix), Affinity::Prefix(blocks)) = (strategy, affinity) {
        let bytes = |blocks: usize| blocks * prefix.block_bytes;
        counts.prompt(bytes(blocks.len()), bytes(taken.known));
    }
}

/// A replica gets the request that was not chosen by the strategy.
pub(super) fn granted(
    model: &ModelRef,
    affinity: Affinity<'_>,
    replica: &Replica,
    preference: Preference,
) {
    model.balancer.granted(replica, affinity, Nanos::now());
    let taken = Taken {
        position: 0,
        preference,
        known: 0,
    };
    count(model, affinity, taken);
}

/// The value of a cookie (RFC 6265, 4.2.1). Of several, the first.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let lines = headers.get_all(COOKIE).map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|&byte| byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    });
    values.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_in_one_line_or_several() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; sid2=x;sid=\"u=1\"", "sid=other; b=2"] {
            headers.append(COOKIE, line.parse().unwrap());
        }
        assert_eq!(cookie(&headers, "sid"), Some(&b"\"u=1\""[..]));
        assert_eq!(cookie(&headers, "b"), Some(&b"2"[..]));
        assert_eq!(cookie(&headers, "si"), None);
    }
}
