//! The file of API keys: reads it, and changes its text.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use crate::{ApiKey, Error, Errors, FieldLocation, files, yaml};

/// The keys of a file, and the text that they were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeysFile {
    text: String,
    keys: Vec<ApiKey>,
}

impl ApiKeysFile {
    /// Reads the file at `path`: YAML documents of the kind `ApiKey`, none at all included.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Errors> {
        Self::parse(path, files::read_file(path)?)
    }

    /// A file without keys, as it is before the first one is added.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            text: String::new(),
            keys: Vec::new(),
        }
    }

    /// As [`read`](Self::read), from the file's text. `path` is for messages.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(path: &Path, text: String) -> Result<Self, Errors> {
        let file: Arc<Path> = path.into();
        let mut errors = Vec::new();
        let documents = yaml::parse(&file, &text)?;
        let keys = documents
            .iter()
            .filter_map(|document| ApiKey::read(&file, document, &mut errors));
        let keys: Vec<_> = keys.collect();
        check_distinct(&keys, &mut errors);
        Errors::none_or(errors, Self { text, keys })
    }

    /// The keys, in the order of the file.
    #[must_use]
    pub fn keys(&self) -> &[ApiKey] {
        &self.keys
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file with `key` at its end. Everything else stays as it is.
    ///
    /// # Errors
    /// Why the key cannot be added, for example because its name is taken.
    pub fn with(&self, path: &Path, key: &ApiKey) -> Result<Self, Errors> {
        let mut text = self.text.clone();
        if !text.is_empty() {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str("---\n");
        }
        text.push_str(&document(key));
        Self::parse(path, text)
    }

    /// The file without the document of the key of this name. Everything else stays as it is.
    ///
    /// # Errors
    /// Why the key cannot be removed, for example because there is none of this name.
    pub fn without(&self, path: &Path, name: &str) -> Result<Self, String> {
        let Some(key) = self.keys.iter().find(|key| key.name == name) else {
            return Err(format!("{} has no API key {name:?}", path.display()));
        };
        let by_hand = || {
            format!(
                "{}: the document in line {} cannot be taken out by itself; remove it by hand",
                path.display(),
                key.place.line
            )
        };
        let lines: Vec<&str> = self.text.split_inclusive('\n').collect();
        let starts = |line: &&str| {
            let rest = line.strip_prefix("---");
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
        };
        let at = key.place.line.min(lines.len());
        let first = lines[..at].iter().rposition(starts);
        let first = first.unwrap_or(0);
        let after = lines[at..].iter().position(starts);
        let after = after.map_or(lines.len(), |after| at + after);
        let left = [&lines[..first], &lines[after..]].concat().concat();
        // The remaining text is read again. If another key would be lost or changed, nothing is
        // removed.
        let left = Self::parse(path, left).map_err(|_| by_hand())?;
        let same = |a: &ApiKey, b: &ApiKey| {
            let place = a.place.clone();
            *a == ApiKey { place, ..b.clone() }
        };
        let others = || self.keys.iter().filter(|key| key.name != name);
        let is_whole = left.keys.len() == others().count()
            && left.keys.iter().zip(others()).all(|(a, b)| same(a, b));
        match is_whole {
            true => Ok(left),
            false => Err(by_hand()),
        }
    }
}

/// The document that describes `key`.
fn document(key: &ApiKey) -> String {
    let mut text = format!(
        "apiVersion: tailback.dev/v1alpha1\nkind: ApiKey\nmetadata: {{ name: {} }}\nspec:\n",
        key.name
    );
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name}: {value}");
        }
    };
    // A JSON string is also a YAML string.
    let quoted = |text: &dyn ToString| serde_json::Value::from(text.to_string()).to_string();
    field("sha256", key.sha256.map(|hash| quoted(&hash)));
    field(
        "certificateSha256",
        key.certificate.map(|hash| quoted(&hash)),
    );
    let models = key.models.as_ref().map(|models| {
        let models: Vec<_> = models.iter().map(|model| quoted(model)).collect();
        format!("[{}]", models.join(", "))
    });
    field("models", models);
    field("class", key.class.as_ref().map(|class| quoted(class)));
    let limit = key.requests_per_minute.as_ref();
    field("requestsPerMinute", limit.map(ToString::to_string));
    field(
        "concurrency",
        key.concurrency.as_ref().map(ToString::to_string),
    );
    let expires = key.expires.map(humantime::format_rfc3339_seconds);
    field("expires", expires.as_ref().map(ToString::to_string));
    text
}

/// Checks that names differ, and that no two keys have the same hash.
fn check_distinct(keys: &[ApiKey], errors: &mut Vec<Error>) {
    let mut names = HashMap::new();
    let mut hashes = HashMap::new();
    for key in keys {
        let mut rule = |field: &str, what: &str, first: &ApiKey| {
            let spot = FieldLocation {
                file: Arc::clone(&key.place.file),
                document: key.place.document,
                object: format!("ApiKey {}", key.name),
                line: key.place.line,
                field: field.to_owned(),
            };
            errors.push(Error::Rule {
                spot: Box::new(spot),
                message: format!(
                    "the ApiKey {} (document {}, line {}) has the same {what}; expected another one",
                    first.name, first.place.document, first.place.line
                ),
            });
        };
        if let Some(first) = names.insert(&key.name, key) {
            rule("metadata.name", "name", first);
        }
        let both = [
            ("sha256", key.sha256),
            ("certificateSha256", key.certificate),
        ];
        for (field, hash) in both {
            if let Some(first) = hash.and_then(|hash| hashes.insert((field, hash), key)) {
                rule(&format!("spec.{field}"), "hash", first);
            }
        }
    }
}

#[cfg(test)]
mod tests;
