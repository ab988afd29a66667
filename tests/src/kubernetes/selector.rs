//! Label and field selectors: which objects a list or a watch is about.

use serde_json::{Map, Value};

use super::{failure::Failure, meta};

/// Which objects are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// From the query parameters `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// 400 if one cannot be read, or names a field that cannot be selected by.
    pub fn parse(labels: &str, fields: &str) -> Result<Self, Failure> {
        let labels = parse(labels)?;
        let fields = parse(fields)?;
        const KNOWN: &[&str] = &[
            "metadata.name",
            "metadata.namespace",
            "status.phase",
            "spec.nodeName",
            "involvedObject.name",
            "involvedObject.uid",
        ];
        if let Some(unknown) = fields.iter().find(|r| !KNOWN.contains(&r.key.as_str())) {
            return Err(Failure::bad_request(format!(
                "Unable to find field selector: field label not supported: {}",
                unknown.key
            )));
        }
        Ok(Self { labels, fields })
    }

    /// From a `LabelSelector` object: `matchLabels` and `matchExpressions`.
    #[must_use]
    pub fn from_object(selector: &Value) -> Self {
        let equal = map_requirements(meta::map(selector, "/matchLabels"));
        let expressions = meta::list(selector, "/matchExpressions").iter().map(|e| {
            let values = || texts(&e["values"]);
            let rule = match e["operator"].as_str().unwrap_or_default() {
                "In" => Rule::In(values()),
                "NotIn" => Rule::NotIn(values()),
                "Exists" => Rule::Exists,
                _ => Rule::Absent,
            };
            Requirement {
                key: e["key"].as_str().unwrap_or_default().into(),
                rule,
            }
        });
        Self {
            labels: equal.into_iter().chain(expressions).collect(),
            fields: Vec::new(),
        }
    }

    /// From a map of labels, as a Service has it.
    #[must_use]
    pub fn from_labels(labels: &Map<String, Value>) -> Self {
        Self {
            labels: map_requirements(labels),
            fields: Vec::new(),
        }
    }

    /// Whether it selects `object`.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |key: &str| labels[key].as_str();
        let field = |key: &str| {
            let value = object.pointer(&format!("/{}", key.replace('.', "/")));
            Some(value.and_then(Value::as_str).unwrap_or_default())
        };
        self.labels.iter().all(|r| r.rule.holds(label(&r.key)))
            && self.fields.iter().all(|r| r.rule.holds(field(&r.key)))
    }

    /// The text form of its labels, as `status.selector` of a Scale has it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = self
            .labels
            .iter()
            .map(|Requirement { key, rule }| match rule {
                Rule::In(values) if values.len() == 1 => format!("{key}={}", values[0]),
                Rule::In(values) => format!("{key} in ({})", values.join(",")),
                Rule::NotIn(values) => format!("{key} notin ({})", values.join(",")),
                Rule::Exists => key.clone(),
                Rule::Absent => format!("!{key}"),
            })
            .collect();
        parts.sort();
        parts.join(",")
    }
}

impl Rule {
    fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Self::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
            Self::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
        }
    }
}

fn map_requirements(labels: &Map<String, Value>) -> Vec<Requirement> {
    labels
        .iter()
        .map(|(key, value)| Requirement {
            key: key.clone(),
            rule: Rule::In(vec![value.as_str().unwrap_or_default().into()]),
        })
        .collect()
}

fn texts(list: &Value) -> Vec<String> {
    meta::list(list, "")
        .iter()
        .filter_map(|v| v.as_str().map(Into::into))
        .collect()
}

fn parse(text: &str) -> Result<Vec<Requirement>, Failure> {
    split(text)
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(requirement)
        .collect()
}

/// Splits at commas that are not within brackets.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
}

fn requirement(part: &str) -> Result<Requirement, Failure> {
    let one = |value: &str| vec![value.trim().to_owned()];
    let (key, rule) = if let Some((key, value)) = part.split_once("!=") {
        (key, Rule::NotIn(one(value)))
    } else if let Some((key, value)) = part.split_once("==") {
        (key, Rule::In(one(value)))
    } else if let Some((key, value)) = part.split_once('=') {
        (key, Rule::In(one(value)))
    } else if let Some((key, values)) = part.split_once(" notin ") {
        (key, Rule::NotIn(set(values)?))
    } else if let Some((key, values)) = part.split_once(" in ") {
        (key, Rule::In(set(values)?))
    } else if let Some(key) = part.strip_prefix('!') {
        (key, Rule::Absent)
    } else {
        (part, Rule::Exists)
    };
    let key = key.trim();
    if key.is_empty() || key.contains([' ', '(', ')']) {
        return Err(unreadable(part));
    }
    Ok(Requirement {
        key: key.into(),
        rule,
    })
}

fn set(text: &str) -> Result<Vec<String>, Failure> {
    let inner = text
        .trim()
        .strip_prefix('(')
        .and_then(|t| t.strip_suffix(')'))
        .ok_or_else(|| unreadable(text))?;
    Ok(inner.split(',').map(|v| v.trim().to_owned()).collect())
}

fn unreadable(part: &str) -> Failure {
    Failure::bad_request(format!(
        "unable to parse requirement: found '{part}', expected: an operator and a value"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_of_every_kind_select() {
        let object = json!({ "metadata": { "name": "p", "labels": { "app": "a", "tier": "x" } } });
        for (labels, fields, expected) in [
            ("", "", true),
            ("app=a", "", true),
            ("app==a,tier!=x", "", false),
            ("app in (a, b),tier", "", true),
            ("app notin (a,b)", "", false),
            ("!app", "", false),
            ("!zone,zone!=1", "", true),
            ("", "metadata.name=p", true),
            ("", "metadata.name=q", false),
        ] {
            let selector = Selector::parse(labels, fields).unwrap();
            assert_eq!(selector.matches(&object), expected, "{labels} {fields}");
        }
        assert!(Selector::parse("app in a", "").is_err());
        assert!(Selector::parse("", "spec.replicas=1").is_err());
    }

    #[test]
    fn objects_become_text() {
        let selector = json!({
            "matchLabels": { "app": "a" },
            "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["x", "y"] }],
        });
        assert_eq!(
            Selector::from_object(&selector).text(),
            "app=a,tier in (x,y)"
        );
    }
}
