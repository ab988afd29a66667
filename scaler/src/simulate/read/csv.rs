//! Comma-separated values, a line a request, the columns named by the first
//! line. A field may be in quotes, doubled inside (RFC 4180), but may not hold
//! a line break: so what is wrong with a line stays with that line.

use std::{borrow::Cow, time::Duration};

use super::{
    Found, Options, ReadError, Row, SECONDS, TIME, TOKENS, amount, of_tokens, shown, text::Lines,
    time,
};

pub(super) fn read(
    mut lines: Lines<'_>,
    options: &Options,
    found: &mut Found<'_>,
) -> Result<(), ReadError> {
    let Some((number, header)) = lines.next()? else {
        return Ok(());
    };
    let columns = Columns::find(number, header)?;
    while let Some((number, text)) = lines.next()? {
        let line = Line::split(number, text)?;
        found.add(&columns.row(&line, options)?)?;
    }
    Ok(())
}

/// Where each column is.
#[derive(Debug, Default)]
struct Columns {
    timestamp: usize,
    service: Option<usize>,
    context: Option<usize>,
    generated: Option<usize>,
    model: Option<usize>,
    status: Option<usize>,
}

impl Columns {
    fn find(number: u64, header: &str) -> Result<Self, ReadError> {
        let names: Vec<String> = Line::split(number, header)?
            .fields
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let place = |called: &[&str]| names.iter().position(|name| called.contains(&&**name));
        let missing = |expected| ReadError::Columns {
            line: number,
            found: shown(header),
            expected,
        };
        let columns = Self {
            timestamp: place(&["timestamp", "time", "arrived"])
                .ok_or_else(|| missing("a column named timestamp"))?,
            service: place(&["service_seconds", "service", "duration"]),
            context: place(&[
                "context_tokens",
                "contexttokens",
                "input_tokens",
                "prompt_tokens",
            ]),
            generated: place(&[
                "generated_tokens",
                "generatedtokens",
                "output_tokens",
                "completion_tokens",
            ]),
            model: place(&["model"]),
            status: place(&["status"]),
        };
        let service = columns.service.or(columns.context).or(columns.generated);
        if service.is_none() {
            return Err(missing(
                "a column named service_seconds, or context_tokens and generated_tokens",
            ));
        }
        Ok(columns)
    }

    fn row<'a>(&self, line: &'a Line<'_>, options: &Options) -> Result<Row<'a>, ReadError> {
        let service = match self.service {
            Some(column) => {
                let seconds = line.read(column, "service_seconds", SECONDS, amount)?;
                Duration::from_secs_f64(seconds)
            }
            None => {
                let tokens = |column: Option<usize>, name| match column {
                    Some(column) => line.read(column, name, TOKENS, amount),
                    None => Ok(0.0),
                };
                let context = tokens(self.context, "context_tokens")?;
                let generated = tokens(self.generated, "generated_tokens")?;
                of_tokens(&options.service, context, generated)
            }
        };
        Ok(Row {
            line: line.number,
            at: line.read(self.timestamp, "timestamp", TIME, time::parse)?,
            service,
            model: self.model.map(|column| line.text(column)),
            status: self.status.map(|column| line.text(column)),
        })
    }
}

struct Line<'a> {
    number: u64,
    fields: Vec<Cow<'a, str>>,
}

impl<'a> Line<'a> {
    fn split(number: u64, text: &'a str) -> Result<Self, ReadError> {
        let mut fields = Vec::with_capacity(8);
        let mut rest = Some(text);
        while let Some(text) = rest {
            let Some(quoted) = text.trim_start().strip_prefix('"') else {
                let (field, after) = match text.split_once(',') {
                    Some((field, after)) => (field, Some(after)),
                    None => (text, None),
                };
                fields.push(Cow::from(field.trim()));
                rest = after;
                continue;
            };
            let (field, after) = unquote(quoted).ok_or_else(|| ReadError::Line {
                line: number,
                found: format!("found {} without its closing quote", shown(text)),
                expected: "a quote, and then a comma or the end of the line",
            })?;
            fields.push(field);
            rest = after;
        }
        Ok(Self { number, fields })
    }

    /// Empty where it is not there.
    fn text(&self, column: usize) -> &str {
        self.fields.get(column).map_or("", |field| field)
    }

    fn read<T>(
        &self,
        column: usize,
        field: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ReadError> {
        parse(self.text(column)).ok_or_else(|| ReadError::Field {
            line: self.number,
            field,
            found: match self.fields.get(column) {
                Some(text) => shown(text),
                None => "nothing".to_owned(),
            },
            expected,
        })
    }
}

/// A field after its opening quote, and what follows the comma after it.
fn unquote(text: &str) -> Option<(Cow<'_, str>, Option<&str>)> {
    let mut from = 0;
    loop {
        let quote = from + text[from..].find('"')?;
        let after = &text[quote + 1..];
        if after.starts_with('"') {
            from = quote + 2;
            continue;
        }
        let field = &text[..quote];
        let field = match from {
            0 => Cow::from(field),
            _ => Cow::from(field.replace("\"\"", "\"")),
        };
        let after = after.trim_start();
        return match after.strip_prefix(',') {
            Some(rest) => Some((field, Some(rest))),
            None => after.is_empty().then_some((field, None)),
        };
    }
}
