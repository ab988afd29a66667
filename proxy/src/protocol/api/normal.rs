//! Normalises paths (RFC 3986, 6.2.2) before they are looked up and forwarded, so that a server
//! does not interpret a path differently than the proxy did.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The result of [`normal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normal {
    /// The path is normal.
    Already,
    /// The normal form of the path.
    Changed(String),
    /// The path has dot segments, which some servers resolve to another path.
    Dots,
}

/// Normalises `path`: removes empty segments, which clients produce from a base URL ending in `/`,
/// and decodes escapes that are not needed (`%2D` becomes `-`). Paths with dot segments (`.` and
/// `..`, in any encoding) are refused.
#[must_use]
pub fn normal(path: &str) -> Normal {
    let mut before = 0;
    for byte in path.bytes() {
        match byte {
            b'/' | b'.' if before == b'/' => return changed(path),
            b'%' | b'\\' => return changed(path),
            _ => before = byte,
        }
    }
    Normal::Already
}

/// The same for a path that may need changes.
#[cold]
fn changed(path: &str) -> Normal {
    if has_dots(&percent_decode_str(path).collect::<Vec<u8>>()) {
        return Normal::Dots;
    }
    let unescaped = unescape(path);
    let mut normal = String::with_capacity(unescaped.len());
    for character in unescaped.chars() {
        if character != '/' || !normal.ends_with('/') {
            normal.push(character);
        }
    }
    match normal == path {
        true => Normal::Already,
        false => Normal::Changed(normal),
    }
}

/// Whether any server could see a dot segment in a decoded path: some treat `\` as `/`, decode
/// `%2F` before splitting, or cut off what follows `;`.
fn has_dots(decoded: &[u8]) -> bool {
    decoded
        .split(|&byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| {
            let name = segment.split(|&byte| byte == b';').next();
            matches!(name, Some(b"." | b".."))
        })
}

/// RFC 3986, 6.2.2.2: decodes escaped unreserved characters. A path with an invalid escape stays
/// unchanged, because decoding after it could create a new escape.
fn unescape(path: &str) -> Cow<'_, str> {
    let mut pieces = path.split('%');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| is_hex(digits));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return path.into();
        };
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(byte.into());
            text.push_str(&piece[2..]);
        } else {
            text.push('%');
            text.push_str(piece);
        }
    }
    text.into()
}

fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn empty_segments_and_needless_escapes_are_removed_and_dot_segments_found() {
        let changed = |path: &str| Normal::Changed(path.into());
        for (path, expected) in [
            ("/v1/chat/completions", Normal::Already),
            ("/", Normal::Already),
            ("", Normal::Already),
            ("*", Normal::Already),
            ("/v1/models/.hidden", Normal::Already),
            ("/v1/models/a..b/...", Normal::Already),
            ("/v1/models/%2e%2e%2e", changed("/v1/models/...")),
            ("/v1/models/a%2Fb", Normal::Already),
            ("/v1/models/a%2", Normal::Already),
            ("/v1/models/a%+1", Normal::Already),
            ("/%%34%31", Normal::Already),
            ("/%41%", Normal::Already),
            ("/v1/models/a%é", Normal::Already),
            ("/v1/models/a%20%C3%A9", Normal::Already),
            ("/v2/models/my%2Dmodel", changed("/v2/models/my-model")),
            ("/v2/%72epository/index", changed("/v2/repository/index")),
            ("//v1//chat///completions", changed("/v1/chat/completions")),
            ("/v1/models//", changed("/v1/models/")),
            ("//é", changed("/é")),
            ("/v2/models/../admin", Normal::Dots),
            ("/v2/models/%2e%2E/admin", Normal::Dots),
            ("/v2/models/m%2F..%2fadmin", Normal::Dots),
            ("/v2/models/..;x/admin", Normal::Dots),
            (r"/v2/models\..\admin", Normal::Dots),
            ("/v2/./models", Normal::Dots),
            ("/a/.%2e", Normal::Dots),
            ("//a/..", Normal::Dots),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(path in "/[/.a%2eE5cC;\\\\é]{0,24}") {
            match normal(&path) {
                Normal::Changed(changed) => {
                    prop_assert_eq!(normal(&changed), Normal::Already);
                    prop_assert!(!changed.contains("//"));
                    prop_assert!(!has_dots(&percent_decode_str(&changed).collect::<Vec<u8>>()));
                }
                Normal::Already => {
                    prop_assert!(!path.contains("//"));
                    prop_assert!(!has_dots(&percent_decode_str(&path).collect::<Vec<u8>>()));
                }
                Normal::Dots => {}
            }
        }
    }
}
