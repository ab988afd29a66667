//! Cross-origin resource sharing (Fetch standard, 3.2): which web pages may call the models from
//! a browser.

use std::time::Duration;

use http::{HeaderName, Method, Uri};

/// The settings for requests from pages of other origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// The origins whose pages may call; `None`: all.
    pub origins: Option<Vec<String>>,
    /// The methods that these pages may use.
    pub methods: Vec<Method>,
    /// The header fields that these pages may send; `None`: any.
    pub headers: Option<Vec<HeaderName>>,
    /// How long a browser may cache the answer to a preflight request.
    pub max_age: Duration,
}

/// Reads `*`, or origins as browsers send them: `https://chat.example.org`, with a port if it is
/// not the scheme's default.
pub(crate) fn origins(text: &str) -> Option<Option<Vec<String>>> {
    all_or(text, |origin| {
        let uri: Uri = origin.parse().ok()?;
        let scheme = uri.scheme_str()?;
        let whole = format!("{scheme}://{}", uri.authority()?);
        let plain = !uri.authority()?.as_str().contains(['@', '*']);
        let http = matches!(scheme, "http" | "https");
        (http && plain && whole == origin && origin == origin.to_ascii_lowercase())
            .then(|| origin.to_owned())
    })
}

/// Reads methods, separated by commas.
pub(crate) fn methods(text: &str) -> Option<Vec<Method>> {
    let method = |word: &str| word.trim().parse().ok();
    text.split(',').map(method).collect()
}

/// Reads `*`, or names of header fields, separated by commas.
pub(crate) fn headers(text: &str) -> Option<Option<Vec<HeaderName>>> {
    all_or(text, |name| name.parse().ok())
}

fn all_or<T>(text: &str, one: impl Fn(&str) -> Option<T>) -> Option<Option<Vec<T>>> {
    match text {
        "*" => Some(None),
        list => {
            let all: Option<Vec<T>> = list.split(',').map(|word| one(word.trim())).collect();
            Some(Some(all?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        assert_eq!(origins("*"), Some(None));
        let two = origins("https://chat.example.org, http://localhost:3000").unwrap();
        assert_eq!(two.unwrap().len(), 2);
        for text in [
            "",
            "chat.example.org",
            "https://chat.example.org/",
            "https://Chat.example.org",
            "https://user@a",
            "ftp://a",
            "https://a b",
            "https://*.example.org",
            "https://a,",
        ] {
            assert_eq!(origins(text), None, "{text}");
        }
    }
}
