//! Texts with the placeholders `{model}`, `{replicas}`, and `${NAME}` for an environment
//! variable. Values of variables are secrets: they are filled in and never shown.

use std::fmt;

use crate::Env;
use crate::name::{path_segment, pointer_token};

/// A text with placeholders. Other words in braces stay as they are. `$${` stands for `${`.
///
/// It is displayed as it was written, with the names of variables.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Segment>,
    escape: Escape,
}

/// How the model's name is escaped when it replaces its placeholder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Escape {
    /// As it is.
    #[default]
    Nothing,
    /// As a segment of a path: percent-encoded.
    PathSegment,
    /// As a token of a JSON pointer.
    PointerToken,
}

#[derive(Clone, PartialEq, Eq)]
enum Segment {
    Text(String),
    Model,
    Replicas,
    Variable { name: String, value: String },
}

impl Template {
    /// Reads `text`, with the values of variables from `env`.
    ///
    /// # Errors
    /// A sentence that names the missing variable or explains the syntax. It shows nothing of
    /// `text` but names.
    pub(crate) fn parse(text: &str, escape: Escape, env: &Env) -> Result<Self, String> {
        let mut parts = Parts::default();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '$']) {
            let (before, from) = rest.split_at(at);
            parts.text(before);
            rest = if let Some(after) = from.strip_prefix("{model}") {
                parts.0.push(Segment::Model);
                after
            } else if let Some(after) = from.strip_prefix("{replicas}") {
                parts.0.push(Segment::Replicas);
                after
            } else if let Some(after) = from.strip_prefix("$${") {
                parts.text("${");
                after
            } else if let Some(after) = from.strip_prefix("${") {
                let (name, after) = after
                    .split_once('}')
                    .filter(|(name, _)| is_variable(name))
                    .ok_or("expected the name of a variable and `}` after `${` (`$${` stands for `${` itself)")?;
                let value = env.get(name).filter(|value| !value.is_empty());
                parts.0.push(Segment::Variable {
                    name: name.to_owned(),
                    value: value
                        .ok_or_else(|| {
                            format!("environment variable {name} is not set; expected it to be")
                        })?
                        .to_owned(),
                });
                after
            } else {
                parts.text(&from[..1]);
                &from[1..]
            };
        }
        parts.text(rest);
        Ok(Self {
            parts: parts.0,
            escape,
        })
    }

    /// The text with `model`, `replicas` and secrets filled in. Filled-in values are not searched
    /// again.
    #[must_use]
    pub fn fill(&self, model: &str, replicas: u32) -> String {
        let model = self.escape.apply(model);
        self.write(&model, Some(replicas), |_, value| value.to_owned())
    }

    /// The text for messages: with `model` filled in, and the names of variables.
    #[must_use]
    pub fn show(&self, model: &str) -> String {
        self.as_written(&self.escape.apply(model))
    }

    fn as_written(&self, model: &str) -> String {
        self.write(model, None, |name, _| format!("${{{name}}}"))
    }

    /// Whether it is exactly `{replicas}`.
    #[must_use]
    pub fn is_count(&self) -> bool {
        matches!(&self.parts[..], [Segment::Replicas])
    }

    /// Whether it contains `{model}`.
    #[must_use]
    pub fn has_model(&self) -> bool {
        self.parts.contains(&Segment::Model)
    }

    /// Whether it contains `{replicas}`.
    #[must_use]
    pub fn has_replicas(&self) -> bool {
        self.parts.contains(&Segment::Replicas)
    }

    /// Whether it contains a variable.
    #[must_use]
    pub fn has_variable(&self) -> bool {
        let is_variable = |part: &Segment| matches!(part, Segment::Variable { .. });
        self.parts.iter().any(is_variable)
    }

    /// Replaces the values of its variables in `text` by their names, for messages that quote a
    /// response.
    #[must_use]
    pub fn redact(&self, mut text: String) -> String {
        for part in &self.parts {
            if let Segment::Variable { name, value } = part {
                text = text.replace(value, &format!("${{{name}}}"));
            }
        }
        text
    }

    fn write(
        &self,
        model: &str,
        replicas: Option<u32>,
        variable: impl Fn(&str, &str) -> String,
    ) -> String {
        let part = |part: &Segment| match part {
            Segment::Text(text) => text.clone(),
            Segment::Model => model.to_owned(),
            Segment::Replicas => replicas.map_or_else(|| "{replicas}".into(), |n| n.to_string()),
            Segment::Variable { name, value } => variable(name, value),
        };
        self.parts.iter().map(part).collect()
    }
}

impl Escape {
    fn apply(self, model: &str) -> String {
        match self {
            Self::Nothing => model.to_owned(),
            Self::PathSegment => path_segment(model),
            Self::PointerToken => pointer_token(model),
        }
    }
}

/// Collects parts and joins adjacent texts, so that equal templates compare as equal.
#[derive(Default)]
struct Parts(Vec<Segment>);

impl Parts {
    fn text(&mut self, more: &str) {
        if more.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Segment::Text(text)) => text.push_str(more),
            _ => self.0.push(Segment::Text(more.to_owned())),
        }
    }
}

fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().unwrap_or(b'0');
    !first.is_ascii_digit() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_written("{model}"))
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env::from([("TOKEN", "s3cr{model}et"), ("EMPTY", "")])
    }

    #[test]
    fn placeholders_are_filled_once_and_other_braces_and_dollars_stay() {
        for (text, filled) in [
            ("{model}", "iris"),
            (
                "/v1/job/{model}/scale?n={replicas}",
                "/v1/job/iris/scale?n=3",
            ),
            ("Bearer ${TOKEN}", "Bearer s3cr{model}et"),
            ("$5 {other} $${TOKEN} {", "$5 {other} ${TOKEN} {"),
            ("é{replicas}é", "é3é"),
            ("", ""),
        ] {
            let template = Template::parse(text, Escape::Nothing, &env()).unwrap();
            assert_eq!(template.fill("iris", 3), filled, "{text}");
        }
    }

    #[test]
    fn a_models_name_is_escaped_as_its_place_needs() {
        for (escape, filled) in [
            (Escape::Nothing, "/a/Qwen/2~b?"),
            (Escape::PathSegment, "/a/Qwen%2F2~b%3F"),
            (Escape::PointerToken, "/a/Qwen~12~0b?"),
        ] {
            let template = Template::parse("/a/{model}", escape, &env()).unwrap();
            assert_eq!(template.fill("Qwen/2~b?", 0), filled);
            assert_eq!(template.show("Qwen/2~b?"), filled);
            assert_eq!(template.to_string(), "/a/{model}");
        }
    }

    #[test]
    fn secrets_are_shown_nowhere_and_taken_out_of_what_others_say() {
        let template =
            Template::parse("{model} ${TOKEN} {replicas}", Escape::Nothing, &env()).unwrap();
        assert_eq!(template.to_string(), "{model} ${TOKEN} {replicas}");
        assert_eq!(format!("{template:?}"), "\"{model} ${TOKEN} {replicas}\"");
        assert_eq!(template.show("iris"), "iris ${TOKEN} {replicas}");
        let text = "bad token s3cr{model}et!".to_owned();
        assert_eq!(template.redact(text), "bad token ${TOKEN}!");
    }

    #[test]
    fn a_variable_that_is_missing_or_misspelt_is_named() {
        for (text, part) in [
            ("${NONE}", "variable NONE is not set"),
            ("${EMPTY}", "variable EMPTY is not set"),
            ("${TOKEN", "after `${`"),
            ("${A B}", "after `${`"),
            ("${}", "after `${`"),
        ] {
            let error = Template::parse(text, Escape::Nothing, &env()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_shown_as_it_was_written(text in "[a-z${}AT \\PC]{0,40}") {
            if let Ok(template) = Template::parse(&text, Escape::Nothing, &env()) {
                proptest::prop_assert_eq!(template.to_string(), text.replace("$${", "${"));
            }
        }
    }
}
