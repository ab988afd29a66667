//! Reads `loadBalancing`: which of a model's replicas gets a request.

use crate::listed::listed;
use crate::manifest::fields::{Fields, Value};
use crate::suggest::hint;
use crate::{LoadBalancing, LoadFactor, PrefixAffinity, SessionAffinity, SessionKey};

/// Where a session may be named.
const KEYS: [&str; 3] = ["header", "cookie", "bodyField"];
/// Longest name of a header, cookie or member, in bytes.
const LONGEST_NAME: usize = 128;
const BLOCK_BYTES: std::ops::RangeInclusive<usize> = 64..=65_536;
const MAX_BYTES: std::ops::RangeInclusive<u64> = 1024..=1024 * 1024;
const TABLE_SIZE: std::ops::RangeInclusive<usize> = 1024..=16_777_216;

/// Reads a strategy's name, or `{ strategy, … }` with its settings.
pub(super) fn read(value: &Value<'_>) -> Option<LoadBalancing> {
    if !value.is_map() {
        return read_strategy(value);
    }
    let before = value.failed();
    let fields = value.fields()?;
    let strategy = fields
        .required("strategy", &strategies())
        .and_then(|value| read_strategy(&value));
    let read = match strategy {
        Some(LoadBalancing::Prefix(_)) => read_prefix(&fields).map(LoadBalancing::Prefix),
        Some(LoadBalancing::Session(_)) => read_session(&fields).map(LoadBalancing::Session),
        other => other,
    };
    // Unknown fields are noted only if the strategy is known, because it decides which fields
    // exist.
    if read.is_some() {
        fields.finish();
    }
    read.filter(|_| value.failed() == before)
}

/// The names of all strategies, for messages.
fn strategies() -> String {
    let all = LoadBalancing::all();
    listed(all.iter().map(LoadBalancing::as_str), "or")
}

fn read_strategy(value: &Value<'_>) -> Option<LoadBalancing> {
    let text = value.text()?;
    let mut all = LoadBalancing::all().into_iter();
    let strategy = all.find(|strategy| strategy.as_str() == text);
    if strategy.is_none() {
        let all = LoadBalancing::all();
        let hint = hint(&text, all.iter().map(LoadBalancing::as_str));
        value.wrong(&format!("{}{hint}", strategies()));
    }
    strategy
}

fn read_prefix(fields: &Fields<'_>) -> Option<PrefixAffinity> {
    let default = PrefixAffinity::default();
    let block_bytes = fields
        .get("blockBytes")
        .map_or(Some(default.block_bytes), |value| {
            value.number("a whole number of bytes from 64 to 65536", |bytes| {
                BLOCK_BYTES.contains(bytes)
            })
        });
    let max_bytes = fields
        .get("maxBytes")
        .map_or(Some(default.max_bytes), |value| {
            let bytes = value.bytes()?;
            if !MAX_BYTES.contains(&bytes) {
                value.wrong("bytes from 1Ki to 1Mi");
                return None;
            }
            usize::try_from(bytes).ok()
        });
    let table_size = fields
        .get("tableSize")
        .map_or(Some(default.table_size), |value| {
            value.number("a whole number of blocks from 1024 to 16777216", |size| {
                TABLE_SIZE.contains(size)
            })
        });
    let load_factor = read_load_factor(fields);
    let prefix = PrefixAffinity {
        block_bytes: block_bytes?,
        max_bytes: max_bytes?,
        table_size: table_size?,
        load_factor: load_factor?,
    };
    if prefix.max_bytes < prefix.block_bytes {
        fields.rule(&format!(
            "maxBytes is {} and blockBytes {}, so that no block would be whole; expected maxBytes to be blockBytes at least",
            prefix.max_bytes, prefix.block_bytes
        ));
        return None;
    }
    Some(prefix)
}

fn read_session(fields: &Fields<'_>) -> Option<SessionAffinity> {
    let mut given = None;
    let before = fields.failed();
    for name in KEYS {
        let Some(value) = fields.get(name) else {
            continue;
        };
        if let Some((first, _)) = &given {
            value.rule(&format!(
                "`{first}` is set as well; expected one of header, cookie and bodyField"
            ));
        }
        let text = value.text().and_then(|text| read_key(&value, name, text));
        given = given.or(Some((name, text)));
    }
    let load_factor = read_load_factor(fields);
    let key = match given {
        None => SessionKey::default(),
        Some((_, key)) => key?,
    };
    let session = SessionAffinity {
        key,
        load_factor: load_factor?,
    };
    Some(session).filter(|_| fields.failed() == before)
}

fn read_key(value: &Value<'_>, name: &str, text: String) -> Option<SessionKey> {
    // RFC 9110, 5.6.2, for headers, and RFC 6265, 4.1.1, for cookies.
    let is_token = |text: &str| {
        let special = "!#$%&'*+-.^_`|~";
        let is_part = |c: char| c.is_ascii_alphanumeric() || special.contains(c);
        !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(is_part)
    };
    let is_member = |text: &str| {
        let is_plain = |c: char| !c.is_control() && !"\"\\".contains(c);
        !text.is_empty() && text.len() <= LONGEST_NAME && text.chars().all(is_plain)
    };
    let key = match name {
        "header" if is_token(&text) => SessionKey::Header(text.to_ascii_lowercase()),
        "cookie" if is_token(&text) => SessionKey::Cookie(text),
        "bodyField" if is_member(&text) => SessionKey::BodyField(text),
        "header" => return wrong(value, "the name of a header, such as x-session-id"),
        "cookie" => return wrong(value, "the name of a cookie, such as session"),
        _ => {
            let expected = "the name of a member of the body, such as user, without quotes, \
                            backslashes and control characters";
            return wrong(value, expected);
        }
    };
    Some(key)
}

fn wrong<T>(value: &Value<'_>, expected: &str) -> Option<T> {
    value.wrong(expected);
    None
}

fn read_load_factor(fields: &Fields<'_>) -> Option<LoadFactor> {
    let Some(value) = fields.get("loadFactor") else {
        return Some(LoadFactor::default());
    };
    let factor: f64 = value.number("a number from 1 to 100, such as 1.25", |factor| {
        (1.0..=100.0).contains(factor)
    })?;
    Some(LoadFactor::from_percent((factor * 100.0).round() as u32))
}
