//! JSON lines: an object a line, as the access log has it.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use super::{
    Found, LONGEST, Options, ReadError, Row, SECONDS, TIME, TOKENS, of_tokens, shown, text::Lines,
    time,
};

const LINE: &str =
    "an object such as {\"timestamp\":\"2026-03-01T09:30:00Z\",\"service_seconds\":0.5}";
const NO_SERVICE: &str = "seconds, or context_tokens and generated_tokens";

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, alias = "time", alias = "arrived")]
    timestamp: Option<Text<'a>>,
    #[serde(alias = "service", alias = "duration")]
    service_seconds: Option<f64>,
    #[serde(
        alias = "contexttokens",
        alias = "input_tokens",
        alias = "prompt_tokens"
    )]
    context_tokens: Option<f64>,
    #[serde(
        alias = "generatedtokens",
        alias = "output_tokens",
        alias = "completion_tokens"
    )]
    generated_tokens: Option<f64>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    status: Option<Text<'a>>,
}

pub(super) fn read(
    mut lines: Lines<'_>,
    options: &Options,
    found: &mut Found<'_>,
) -> Result<(), ReadError> {
    while let Some((number, text)) = lines.next()? {
        match serde_json::from_str::<Line<'_>>(text) {
            Ok(line) => found.add(&line.row(number, options)?)?,
            // It begins like one and breaks off: the disk was full, or the power failed.
            Err(error) if error.is_eof() && text.starts_with('{') => found.cut_off += 1,
            Err(error) => {
                return Err(ReadError::Line {
                    line: number,
                    found: match text.starts_with('{') {
                        true => error.to_string().replace(" at line 1 column", ", column"),
                        false => format!("found {}", shown(text)),
                    },
                    expected: LINE,
                });
            }
        }
    }
    Ok(())
}

impl Line<'_> {
    fn row(&self, line: u64, options: &Options) -> Result<Row<'_>, ReadError> {
        let wrong = |field, found, expected| ReadError::Field {
            line,
            field,
            found,
            expected,
        };
        let number = |field, value: f64, expected| {
            let fits = (0.0..=LONGEST).contains(&value);
            fits.then_some(value)
                .ok_or_else(|| wrong(field, value.to_string(), expected))
        };
        let timestamp = self.timestamp.as_ref();
        let timestamp = timestamp.ok_or_else(|| wrong("timestamp", "nothing".to_owned(), TIME))?;
        let at = time::parse(&timestamp.0)
            .ok_or_else(|| wrong("timestamp", shown(&timestamp.0), TIME))?;
        let service = match (
            self.service_seconds,
            self.context_tokens,
            self.generated_tokens,
        ) {
            (Some(seconds), ..) => {
                Duration::from_secs_f64(number("service_seconds", seconds, SECONDS)?)
            }
            (None, None, None) => {
                return Err(wrong("service_seconds", "nothing".to_owned(), NO_SERVICE));
            }
            (None, context, generated) => of_tokens(
                &options.service,
                number("context_tokens", context.unwrap_or(0.0), TOKENS)?,
                number("generated_tokens", generated.unwrap_or(0.0), TOKENS)?,
            ),
        };
        Ok(Row {
            line,
            at,
            service,
            model: self.model.as_ref().map(|text| &*text.0),
            status: self.status.as_ref().map(|text| &*text.0),
        })
    }
}

/// A text, or a number as text: borrowed where it can be.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(text.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.to_owned().into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(number.to_string().into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(number.to_string().into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(number.to_string().into())
    }
}
