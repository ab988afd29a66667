//! The order of held requests: classes, and fairness between tenants.

use std::fmt;

use http::HeaderName;

/// The classes of a model's held requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldClasses {
    /// The names of the classes; the class named first is served first. Never empty, no
    /// duplicates, at most [`MOST`](Self::MOST).
    pub names: Vec<String>,
    /// The header that names a request's class.
    pub header: HeaderName,
    /// The index in `names` of the class of a request that names none.
    pub default: usize,
}

/// What identifies the tenants of a model. Its hold queue is fair between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FairBy {
    /// `none`: there are no tenants; first come, first served.
    #[default]
    None,
    /// `key`: the API key.
    Key,
    /// The value of this header.
    Header(HeaderName),
}

// === impl HoldClasses ===

impl HoldClasses {
    /// Most classes of a model.
    pub const MOST: usize = 8;
    /// The header that names a request's class where the manifest names none.
    pub const HEADER: &str = "x-request-class";

    /// The index in `names` for a request that asks for the class `asked`, and whose API key
    /// allows `limit` at best. An unknown class counts as the default class, an unknown limit as
    /// the last class.
    #[must_use]
    pub fn rank(&self, asked: Option<&str>, limit: Option<&str>) -> usize {
        let place = |name: &str| self.names.iter().position(|own| own == name);
        let asked = asked.and_then(place);
        let Some(limit) = limit else {
            return asked.unwrap_or(self.default);
        };
        let highest = place(limit).unwrap_or(self.names.len() - 1);
        asked.unwrap_or(highest).max(highest)
    }
}

impl fmt::Display for HoldClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.names.join(", "), self.header)?;
        match self.names.get(self.default) {
            Some(name) if self.default != 0 => write!(f, ", else {name}"),
            _ => Ok(()),
        }
    }
}

// === impl FairBy ===

impl fmt::Display for FairBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Key => f.write_str("key"),
            Self::Header(name) => write!(f, "header {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Env, describe, load_text};

    #[test]
    fn a_request_has_the_class_that_it_asks_for_and_its_key_may_have() {
        let classes = HoldClasses {
            names: ["a", "b", "c"].map(str::to_owned).to_vec(),
            header: HeaderName::from_static(HoldClasses::HEADER),
            default: 1,
        };
        for (asked, limit, rank) in [
            (None, None, 1),
            (Some("a"), None, 0),
            (Some("c"), None, 2),
            (Some("x"), None, 1),
            (None, Some("a"), 0),
            (None, Some("c"), 2),
            (Some("a"), Some("b"), 1),
            (Some("c"), Some("b"), 2),
            (Some("x"), Some("a"), 0),
            (Some("a"), Some("x"), 2),
        ] {
            assert_eq!(classes.rank(asked, limit), rank, "{asked:?} {limit:?}");
        }
    }

    #[test]
    fn classes_and_tenants_are_set_by_server_or_model() {
        let api = "apiVersion: tailback.dev/v1alpha1";
        let read = |server: &str, model: &str| {
            let text = format!(
                "{{ {api}, kind: Server, metadata: {{ name: up }}, spec: {{ static: {{ endpoints: ['http://a'] }}, hold: {{ {server} }} }} }}\n---\n\
                 {{ {api}, kind: Model, metadata: {{ name: m }}, spec: {{ server: up, hold: {{ {model} }} }} }}\n"
            );
            load_text(Path::new("a.yaml"), &text, &Env::default()).unwrap()
        };
        let hold = |server, model| read(server, model).models["m"].hold.clone();
        let plain = hold("", "");
        assert_eq!(
            (plain.classes.value, plain.fair_by.value),
            (None, FairBy::None)
        );
        let list = hold("classes: [a, b], fairBy: key", "");
        let classes = list.classes.value.unwrap();
        assert_eq!(
            (classes.header.as_str(), classes.default),
            (HoldClasses::HEADER, 0)
        );
        assert_eq!(
            (classes.names, list.fair_by.value),
            (vec!["a".into(), "b".into()], FairBy::Key)
        );
        let own = hold("classes: [a], fairBy: key", "classes: none, fairBy: none");
        assert_eq!((own.classes.value, own.fair_by.value), (None, FairBy::None));
        let map = read(
            "",
            "classes: { names: [a, b], header: X-Class, default: b }, fairBy: { header: X-Tenant }",
        );
        let shown = describe(&map);
        assert!(shown.contains("a, b by x-class, else b"), "{shown}");
        assert!(shown.contains("header x-tenant"), "{shown}");
    }
}
