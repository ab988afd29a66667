//! Authorization on the admin address: by the token, or by coming from this host.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, uri::Authority};
use subtle::ConstantTimeEq;
use tailback_config::Token;

use super::error;

/// Refuses all but the bearer of the token. Where there is none, everybody is refused, and
/// `without` says why.
pub(super) fn refuse_all_but_bearer(
    headers: &HeaderMap,
    token: Option<&Token>,
    without: &str,
) -> Option<Response<Bytes>> {
    let Some(token) = token else {
        return Some(error(StatusCode::FORBIDDEN, without));
    };
    if is_bearer(headers, token) {
        return None;
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
    headers: &HeaderMap,
    host: Option<&str>,
    caller: Option<IpAddr>,
    token: Option<&Token>,
) -> Option<Response<Bytes>> {
    let local = caller.is_some_and(|caller| caller.to_canonical().is_loopback());
    if token.is_none() && local && host.is_none_or(is_local) {
        return None;
    }
    refuse_all_but_bearer(
        headers,
        token,
        "what replicas print is shown to other hosts only where TAILBACK_ADMIN_TOKEN is set, which callers then send; \
         without it, call 127.0.0.1 or localhost on the host that Tailback runs on",
    )
}

/// Whether `host`, with or without a port, is this host's name for itself.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let host = authority.host();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse();
    host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Compares in constant time, so that timing does not reveal how much of a guess is right.
fn is_bearer(headers: &HeaderMap, token: &Token) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, given) = value.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(given.trim())
    });
    given.is_some_and(|given| given.as_bytes().ct_eq(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, authorization.parse().unwrap())])
    }

    #[test]
    fn only_the_exact_token_is_accepted() {
        let token = Token::parse("0123456789abcdef").unwrap();
        for (value, opens) in [
            ("Bearer 0123456789abcdef", true),
            ("bearer  0123456789abcdef", true),
            ("Bearer 0123456789abcdeX", false),
            ("Bearer 0123456789abcdef0", false),
            ("Bearer", false),
            ("Basic 0123456789abcdef", false),
            ("0123456789abcdef", false),
        ] {
            assert_eq!(is_bearer(&headers(value), &token), opens, "{value}");
            let refused = refuse_all_but_bearer(&headers(value), Some(&token), "");
            assert_eq!(refused.is_none(), opens, "{value}");
        }
        assert!(!is_bearer(&HeaderMap::new(), &token));
        let headers = headers("Bearer 0123456789abcdef");
        let refused = refuse_all_but_bearer(&headers, None, "no");
        assert_eq!(refused.unwrap().status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn without_a_token_only_this_host_by_its_own_name_sees_what_is_secret() {
        let token = Token::parse("0123456789abcdef").unwrap();
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
            let refused = refuse_strangers(&none, host, caller, None);
            assert_eq!(refused.is_none(), expected, "{host:?} {caller:?}");
            let refused = refuse_strangers(&none, host, caller, Some(&token));
            assert_eq!(refused.unwrap().status(), StatusCode::UNAUTHORIZED);
        }
        let far = Some("10.0.0.1".parse().unwrap());
        let bearer = headers("Bearer 0123456789abcdef");
        assert!(refuse_strangers(&bearer, Some("a"), far, Some(&token)).is_none());
        assert!(refuse_strangers(&none, None, None, None).is_some());
    }
}
