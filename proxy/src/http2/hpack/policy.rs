//! Which fields are worth an entry of the peer's dynamic table, and which must not get one.

use Worth::*;

/// What to do with a field that no table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// Index it: it is likely to be the same in the next request or response.
    Always,
    /// Index it if it has come before.
    Again,
    /// Do not index it: it is hardly ever the same twice.
    Never,
    /// Do not index it, nor may anyone who passes it on: it is a secret. All callers share a connection
    /// to a replica, so one could try values until it becomes shorter (RFC 7541, 7.1). That holds
    /// for short secrets above all (7.1.3), but no field says whether it is long enough.
    Secret,
}

/// The name of a field that is known here.
#[derive(Clone, Copy)]
pub(super) struct NameAndWorth {
    name: &'static str,
    pub(super) worth: Worth,
    /// The index of the name in the static table. 0: it is not there.
    pub(super) index: usize,
}

const fn known(index: usize, name: &'static str, worth: Worth) -> NameAndWorth {
    NameAndWorth { name, worth, index }
}

/// All regular names of the static table, and others of which something is known. What is not here is
/// indexed if it comes again.
static KNOWN: [NameAndWorth; 90] = [
    known(15, "accept-charset", Always),
    known(16, "accept-encoding", Always),
    known(17, "accept-language", Always),
    known(18, "accept-ranges", Always),
    known(19, "accept", Always),
    known(20, "access-control-allow-origin", Always),
    known(21, "age", Never),
    known(22, "allow", Always),
    known(23, "authorization", Secret),
    known(24, "cache-control", Always),
    known(25, "content-disposition", Again),
    known(26, "content-encoding", Always),
    known(27, "content-language", Always),
    known(28, "content-length", Never),
    known(29, "content-location", Never),
    known(30, "content-range", Never),
    known(31, "content-type", Always),
    known(32, "cookie", Secret),
    known(33, "date", Never),
    known(34, "etag", Never),
    known(35, "expect", Always),
    known(36, "expires", Never),
    known(37, "from", Again),
    known(38, "host", Again),
    known(39, "if-match", Never),
    known(40, "if-modified-since", Never),
    known(41, "if-none-match", Never),
    known(42, "if-range", Never),
    known(43, "if-unmodified-since", Never),
    known(44, "last-modified", Never),
    known(45, "link", Again),
    known(46, "location", Never),
    known(47, "max-forwards", Again),
    known(48, "proxy-authenticate", Again),
    known(49, "proxy-authorization", Secret),
    known(50, "range", Never),
    known(51, "referer", Again),
    known(52, "refresh", Again),
    known(53, "retry-after", Again),
    known(54, "server", Always),
    known(55, "set-cookie", Secret),
    known(56, "strict-transport-security", Always),
    known(57, "transfer-encoding", Always),
    known(58, "user-agent", Always),
    known(59, "vary", Always),
    known(60, "via", Always),
    known(61, "www-authenticate", Again),
    // gRPC.
    known(0, "te", Always),
    known(0, "grpc-accept-encoding", Always),
    known(0, "grpc-encoding", Always),
    known(0, "grpc-status", Always),
    known(0, "grpc-timeout", Never),
    known(0, "grpc-trace-bin", Never),
    known(0, "grpc-tags-bin", Never),
    // A request and its trace.
    known(0, "b3", Never),
    known(0, "idempotency-key", Never),
    known(0, "request-id", Never),
    known(0, "sentry-trace", Never),
    known(0, "traceparent", Never),
    known(0, "tracestate", Never),
    known(0, "uber-trace-id", Never),
    known(0, "x-amzn-requestid", Never),
    known(0, "x-amzn-trace-id", Never),
    known(0, "x-b3-parentspanid", Never),
    known(0, "x-b3-spanid", Never),
    known(0, "x-b3-traceid", Never),
    known(0, "x-client-request-id", Never),
    known(0, "x-cloud-trace-context", Never),
    known(0, "x-correlation-id", Never),
    known(0, "x-datadog-parent-id", Never),
    known(0, "x-datadog-trace-id", Never),
    known(0, "x-envoy-upstream-service-time", Never),
    known(0, "x-request-id", Never),
    known(0, "x-request-start", Never),
    // What inference servers say.
    known(0, "openai-processing-ms", Never),
    known(0, "x-process-time", Never),
    known(0, "x-ratelimit-remaining-requests", Never),
    known(0, "x-ratelimit-remaining-tokens", Never),
    known(0, "x-ratelimit-reset-requests", Never),
    known(0, "x-ratelimit-reset-tokens", Never),
    known(0, "x-response-time", Never),
    // Secrets.
    known(0, "api-key", Secret),
    known(0, "apikey", Secret),
    known(0, "x-access-token", Secret),
    known(0, "x-amz-security-token", Secret),
    known(0, "x-api-key", Secret),
    known(0, "x-auth-token", Secret),
    known(0, "x-csrf-token", Secret),
    known(0, "x-forwarded-access-token", Secret),
    known(0, "x-goog-api-key", Secret),
];

/// The number of slots. A power of two, and enough that few names collide.
const SLOTS: usize = 256;

/// For each slot the place in `KNOWN` plus one, or 0. A name is in the first free slot from that of its
/// hash on.
static PLACES: [u8; SLOTS] = places();

const fn places() -> [u8; SLOTS] {
    let mut places = [0; SLOTS];
    let mut nth = 0;
    while nth < KNOWN.len() {
        let mut slot = hash(KNOWN[nth].name.as_bytes()) as usize % SLOTS;
        while places[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        nth += 1;
        places[slot] = nth as u8;
    }
    places
}

/// What is known of a name, of which `hash` is the hash.
pub(super) fn of(name: &[u8], hash: u32) -> NameAndWorth {
    let mut slot = hash as usize % SLOTS;
    while let Some(known) = KNOWN.get(usize::from(PLACES[slot]).wrapping_sub(1)) {
        if known.name.as_bytes() == name {
            return *known;
        }
        slot = (slot + 1) % SLOTS;
    }
    known(0, "", Again)
}

/// A hash that reads eight bytes at a time: of each name, and of values. Whoever finds texts that
/// collide makes look-ups slower by the length of a table, no more.
pub(super) const fn hash(text: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (first, last) = match (text.first_chunk(), text.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (text.first_chunk(), text.last_chunk()) {
            (Some(first), Some(last)) => (
                u32::from_le_bytes(*first) as u64,
                u32::from_le_bytes(*last) as u64,
            ),
            _ => match text {
                [first, .., last] => (*first as u64, *last as u64),
                [only] => (*only as u64, 0),
                [] => (0, 0),
            },
        },
    };
    // What is between the first eight bytes and the last ones, or a part of that.
    let middle = match text.split_at_checked(8) {
        Some((_, rest)) if rest.len() > 8 => match rest.first_chunk() {
            Some(middle) => u64::from_le_bytes(*middle),
            None => 0,
        },
        _ => 0,
    };
    let mixed = (first ^ text.len() as u64)
        .wrapping_mul(FACTOR)
        .rotate_left(32)
        ^ last;
    let mixed = (mixed.wrapping_mul(FACTOR).rotate_left(32) ^ middle).wrapping_mul(FACTOR);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::{super::static_table, *};

    #[test]
    fn each_known_name_is_found_and_has_its_index() {
        for known in &KNOWN {
            let found = of(known.name.as_bytes(), hash(known.name.as_bytes()));
            assert_eq!((found.name, found.index), (known.name, known.index));
            let entry = static_table::get(known.index);
            let name = entry.map(|field| format!("{:?}", field.name()));
            let expected = format!("Regular(\"{}\")", known.name);
            assert_eq!(name, (known.index > 0).then_some(expected));
        }
        assert_eq!(of(b"unknown", hash(b"unknown")).worth, Again);
    }

    #[test]
    fn every_regular_name_of_the_static_table_is_known() {
        let indexes = KNOWN
            .iter()
            .map(|known| known.index)
            .filter(|index| *index > 0);
        assert!(indexes.eq(15..=61));
    }
}
