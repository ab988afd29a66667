//! Authorization on the admin address: by token, or because the call comes from this host.

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, uri::Authority};
use subtle::ConstantTimeEq;
use tailback_config::Token;
use tailback_scaler::clock::Nanos;

use super::{error, wrong_tokens::WrongTokens};

/// Decides who may change and read state on the admin address.
pub(super) struct Authorization {
    token: Option<Token>,
    wrong: WrongTokens,
}

impl Authorization {
    pub(super) fn new(token: Option<Token>) -> Self {
        Self {
            token,
            wrong: WrongTokens::new(),
        }
    }

    /// Whether a token is set; without one, nobody is authorised to change state.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Refuses every caller but the bearer of the token. If no token is set, every caller is
    /// refused with the reason `without`.
    pub(super) fn refuse_all_but_bearer(
        &self,
        headers: &HeaderMap,
        caller: Option<IpAddr>,
        without: &str,
    ) -> Option<Response<Bytes>> {
        let Some(token) = &self.token else {
            return Some(error(StatusCode::FORBIDDEN, without));
        };
        if let Some(given) = bearer(headers) {
            let now = Nanos::now();
            if let Err(wait) = self.wrong.check(caller, now) {
                return Some(slowed(wait));
            }
            // In constant time, so that timing does not reveal how much of a guess is right.
            if given.as_bytes().ct_eq(token.as_bytes()).into() {
                return None;
            }
            self.wrong.count(caller, now);
        }
        let mut response = error(
            StatusCode::UNAUTHORIZED,
            "expected the header authorization: Bearer, with the value of TAILBACK_ADMIN_TOKEN",
        );
        let scheme = HeaderValue::from_static("Bearer");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
        Some(response)
    }

    /// Refuses all but the bearer of the token. Where there is none, calls from this host to a name
    /// of this host are let through. The name counts because a page of another site in a browser on
    /// this host may call by a name of its own (DNS rebinding).
    pub(super) fn refuse_strangers(
        &self,
        headers: &HeaderMap,
        host: Option<&str>,
        caller: Option<IpAddr>,
    ) -> Option<Response<Bytes>> {
        let local = caller.is_some_and(|caller| caller.to_canonical().is_loopback());
        if self.token.is_none() && local && host.is_none_or(is_local) {
            return None;
        }
        self.refuse_all_but_bearer(
            headers,
            caller,
            "what replicas print is shown to other hosts only where TAILBACK_ADMIN_TOKEN is set, which callers then send; \
             without it, call 127.0.0.1 or localhost on the host that Tailback runs on",
        )
    }
}

/// The answer to a caller whose tokens are not checked for the time `wait`, because too many were
/// wrong.
fn slowed(wait: Duration) -> Response<Bytes> {
    let mut response = error(
        StatusCode::TOO_MANY_REQUESTS,
        "wrong tokens came from this address; try again later",
    );
    let seconds = HeaderValue::from(wait.as_secs() + 1);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// Whether `host`, with or without a port, is a loopback name.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, given) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(given.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
    }

    fn with_token() -> Authorization {
        Authorization::new(Token::parse("0123456789abcdef"))
    }

    #[test]
    fn only_the_exact_token_is_accepted() {
        let authorization = with_token();
        for (value, opens) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer  0123456789abcdef", true),
            ("Bearer 0123456789abcdeX", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
        ] {
            let refused = authorization.refuse_all_but_bearer(&headers(value), None, "");
            assert_eq!(refused.is_none(), opens, "{value}");
        }
        let none = authorization.refuse_all_but_bearer(&HeaderMap::new(), None, "");
        assert_eq!(none.unwrap().status(), StatusCode::UNAUTHORIZED);
        let headers = headers("Bearer 0123456789abcdef");
        let refused = Authorization::new(None).refuse_all_but_bearer(&headers, None, "no");
        assert_eq!(refused.unwrap().status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn whoever_guesses_is_slowed_down_and_nobody_else() {
        let authorization = with_token();
        let status = |value: &str, caller: &str| {
            let caller = Some(caller.parse().unwrap());
            let refused = authorization.refuse_all_but_bearer(&headers(value), caller, "");
            refused.map(|refused| refused.status())
        };
        // A client with an outdated token does not slow down others.
        for n in 0..20 {
            let old = format!("Bearer {n:016}");
            assert_eq!(status(&old, "10.0.0.1"), Some(StatusCode::UNAUTHORIZED));
        }
        assert_eq!(status("Bearer 0123456789abcdef", "10.0.0.1"), None);
        let guesses = (0..20_000).map(|n| status(&format!("Bearer {n:016}"), "10.0.0.1"));
        let slowed = guesses.filter(|&status| status == Some(StatusCode::TOO_MANY_REQUESTS));
        assert!(slowed.count() > 10_000);
        let right = "Bearer 0123456789abcdef";
        // Otherwise the status would reveal that the guess is right.
        assert_eq!(
            status(right, "10.0.0.1"),
            Some(StatusCode::TOO_MANY_REQUESTS)
        );
        assert_eq!(status(right, "10.0.0.2"), None);
    }

    #[test]
    fn without_a_token_only_this_host_by_its_own_name_sees_what_is_secret() {
        let (token, no_token) = (with_token(), Authorization::new(None));
        let none = HeaderMap::new();
        for (host, caller, expected) in [
            (Some("127.0.0.1:9006"), "127.0.0.1", true),
            (Some("LocalHost"), "::1", true),
            (Some("[::1]:9006"), "::ffff:127.0.0.1", true),
            (None, "127.0.0.1", true),
            (Some("evil.example:9006"), "127.0.0.1", false),
            (Some("localhost.evil.example"), "127.0.0.1", false),
            (Some(""), "127.0.0.1", false),
            (Some("127.0.0.1:9006"), "10.0.0.1", false),
        ] {
            let caller = Some(caller.parse().unwrap());
            let refused = no_token.refuse_strangers(&none, host, caller);
            assert_eq!(refused.is_none(), expected, "{host:?} {caller:?}");
            let refused = token.refuse_strangers(&none, host, caller);
            assert_eq!(refused.unwrap().status(), StatusCode::UNAUTHORIZED);
        }
        let far = Some("10.0.0.1".parse().unwrap());
        let bearer = headers("Bearer 0123456789abcdef");
        assert!(token.refuse_strangers(&bearer, Some("a"), far).is_none());
        assert!(no_token.refuse_strangers(&none, None, None).is_some());
    }
}
