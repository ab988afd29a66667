//! Names of objects, which follow Kubernetes' rules, and names of models, which may be any
//! printable text.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Longest name, in bytes.
const LONGEST: usize = 253;
/// Longest label of a Kubernetes name, in bytes.
const LONGEST_LABEL: usize = 63;

/// The form of a model's name, for messages.
pub(crate) const MODEL_EXPECTED: &str = "a name of 1 to 253 bytes that can be printed: no control characters, no line or paragraph \
     separators, no characters that change the direction of text, no space first or last, and not \
     . or .. alone";

/// All characters that must be percent-encoded in a path segment (RFC 3986, 3.3).
const NOT_IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// Whether a model may have this name, such as `Qwen/Qwen2.5-7B-Instruct` or `llama3:8b`.
///
/// `.`, `..` and names with outer spaces are refused: clients remove these from paths and header
/// values, so they would never arrive.
pub(crate) fn is_model_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && name.trim() == name
        && !matches!(name, "." | "..")
        && !name.chars().any(is_unprintable)
}

/// Whether `c` is a control character, a line or paragraph separator, or a mark of text
/// direction: each could make a log line misleading.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Whether `name` is a DNS subdomain name (RFC 1123), as Kubernetes requires of objects.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= LONGEST
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        })
}

/// Whether `name` is a DNS label (RFC 1123), as Kubernetes requires of namespaces and Services.
pub(crate) fn is_label(name: &str) -> bool {
    name.len() <= LONGEST_LABEL && !name.contains('.') && is_name(name)
}

/// Encodes `text` as one segment of a path (RFC 3986, 3.3): `Qwen/Qwen2.5` becomes
/// `Qwen%2FQwen2.5`.
#[must_use]
pub fn path_segment(text: &str) -> String {
    utf8_percent_encode(text, NOT_IN_SEGMENT).to_string()
}

/// Encodes `text` as one token of a JSON pointer (RFC 6901, 3).
pub(crate) fn pointer_token(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kubernetes_names_are_as_kubernetes_has_them() {
        for name in ["a", "iris", "llama-3.1-8b", "0", &"a".repeat(253)] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "Iris",
            "a_b",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a/b",
            "a b",
            "é",
            &"a".repeat(254),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_model_has_any_name_that_can_be_printed() {
        for name in [
            "Qwen/Qwen2.5-7B-Instruct",
            "meta-llama/Llama-3.1-8B",
            "llama3:8b",
            "gpt_4",
            "GPT 4 (old)",
            "iris%2F1",
            "\"quoted\" {and} $braced",
            "modèle-été",
            "模型",
            "...",
            &"a".repeat(253),
        ] {
            assert!(is_model_name(name), "{name}");
        }
        for name in [
            "",
            " a",
            "a ",
            ".",
            "..",
            "a\nb",
            "a\u{7f}",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{202e}b",
            &"a".repeat(254),
            &"é".repeat(127),
        ] {
            assert!(!is_model_name(name), "{name:?}");
        }
    }

    #[test]
    fn a_name_is_escaped_for_a_path_and_for_a_pointer() {
        assert_eq!(path_segment("meta/llama 3.1?"), "meta%2Fllama%203.1%3F");
        assert_eq!(path_segment("llama3:8b"), "llama3:8b");
        assert_eq!(path_segment("é%"), "%C3%A9%25");
        assert_eq!(pointer_token("a/b~c"), "a~1b~0c");
    }

    proptest! {
        #[test]
        fn a_segment_reads_back_the_same(text: String) {
            let segment = path_segment(&text);
            prop_assert!(!segment.contains('/'));
            let read = percent_encoding::percent_decode_str(&segment).decode_utf8().unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
