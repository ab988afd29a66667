//! Reads JSON lines: one object on each line, as in the access log.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use super::{
    Amount, Found, ReadError, ReadOptions, Row, SERVICE, Service, TIME, column::Column, shown,
    text::Lines, time,
};

const LINE: &str =
    "an object such as {\"timestamp\":\"2026-03-01T09:30:00Z\",\"service_seconds\":0.5}";

/// The fields of one line.
struct JsonLine<'a> {
    timestamp: Option<Text<'a>>,
    /// Whether the timestamp, if it is a number, is in milliseconds.
    milliseconds: bool,
    service: Service<f64>,
    model: Option<Text<'a>>,
    status: Option<Text<'a>>,
}

pub(super) fn read(
    mut lines: Lines<'_>,
    options: &ReadOptions,
    found: &mut Found<'_>,
) -> Result<(), ReadError> {
    while let Some((number, text)) = lines.next()? {
        let text = text.trim_ascii();
        match serde_json::from_str::<JsonLine<'_>>(text) {
            Ok(line) => {
                found.add(&line.row(number, text, options)?)?;
                if found.fields.is_empty() {
                    found.name_fields(names(text).iter().map(String::as_str));
                }
            }
            // An incomplete object: the disk was full, or the power failed.
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

/// The names of a line's fields.
fn names(text: &str) -> Vec<String> {
    let object: Option<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(text).ok();
    let names = object.iter().flat_map(serde_json::Map::keys);
    names.cloned().collect()
}

/// They, for an error about a missing one.
fn fields(text: &str) -> String {
    let names = names(text);
    match &names[..names.len().min(20)] {
        [] => "no field".to_owned(),
        names => format!("only the fields {}", shown(&names.join(", "))),
    }
}

impl JsonLine<'_> {
    /// Reads the request in the line `text`, the number of which is `line`.
    fn row(&self, line: u64, text: &str, options: &ReadOptions) -> Result<Row<'_>, ReadError> {
        let wrong = |field, found: String, expected| ReadError::Field {
            line,
            field,
            found,
            expected,
        };
        let nothing = || fields(text);
        let timestamp = self.timestamp.as_ref();
        let timestamp = timestamp.ok_or_else(|| wrong("timestamp", nothing(), TIME))?;
        let at = time::parse(&timestamp.0)
            .ok_or_else(|| wrong("timestamp", shown(&timestamp.0), TIME))?;
        let is_number = timestamp.0.parse::<f64>().is_ok();
        let at = if self.milliseconds && is_number {
            at / 1000
        } else {
            at
        };
        if !self.service.is_known() {
            return Err(wrong("service_seconds", nothing(), SERVICE));
        }
        let number = |value: f64,
                      Amount {
                          name,
                          most,
                          expected,
                      }| {
            let fits = (0.0..=most).contains(&value);
            fits.then_some(value)
                .ok_or_else(|| wrong(name, value.to_string(), expected))
        };
        Ok(Row {
            line,
            at,
            service: self.service.duration(&options.service, number)?,
            model: self.model.as_ref().map(|text| &*text.0),
            status: self.status.as_ref().map(|text| &*text.0),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonLine<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = JsonLine<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut line = JsonLine {
            timestamp: None,
            milliseconds: false,
            service: Service {
                seconds: None,
                milliseconds: None,
                context: None,
                generated: None,
            },
            model: None,
            status: None,
        };
        let service = &mut line.service;
        while let Some(Text(name)) = map.next_key()? {
            let column = Column::named(&name);
            // Mooncake's traces: lengths in tokens and times in milliseconds.
            line.milliseconds |=
                column == Some(Column::TimestampMilliseconds) || &*name == "input_length";
            let number = match column {
                Some(Column::Timestamp | Column::TimestampMilliseconds) => {
                    line.timestamp = map.next_value()?;
                    continue;
                }
                Some(Column::Model) => {
                    line.model = map.next_value()?;
                    continue;
                }
                Some(Column::Status) => {
                    line.status = map.next_value()?;
                    continue;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                Some(Column::Seconds) => &mut service.seconds,
                Some(Column::Milliseconds) => &mut service.milliseconds,
                Some(Column::ContextTokens) => &mut service.context,
                Some(Column::GeneratedTokens) => &mut service.generated,
            };
            *number = map.next_value::<Option<Number>>()?.map(|Number(n)| n);
        }
        Ok(line)
    }
}

/// A number, or a text with a number.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor).map(Number)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        let number = text.trim().parse();
        number.map_err(|_| E::custom(format_args!("found {}, expected a number", shown(text))))
    }
}

/// A text, or a number as text; borrowed from the line if possible.
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
