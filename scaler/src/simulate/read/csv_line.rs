//! A line of comma-separated values, split into its fields (RFC 4180, on one line).

use std::borrow::Cow;

use super::{error::ReadError, shown};

/// A line, split at its separators.
pub(super) struct CsvLine<'a> {
    number: u64,
    fields: Vec<Cow<'a, str>>,
}

impl<'a> CsvLine<'a> {
    pub(super) fn split(number: u64, text: &'a str, separator: char) -> Result<Self, ReadError> {
        let mut fields = Vec::with_capacity(8);
        let mut rest = Some(text);
        while let Some(text) = rest {
            let Some(quoted) = text.trim_start().strip_prefix('"') else {
                let (field, after) = match text.split_once(separator) {
                    Some((field, after)) => (field, Some(after)),
                    None => (text, None),
                };
                fields.push(Cow::from(field.trim()));
                rest = after;
                continue;
            };
            let (field, after) = unquote(quoted, separator).ok_or_else(|| ReadError::Line {
                line: number,
                found: format!("found {} without its closing quote", shown(text)),
                expected: "a quote, and then the next column or the end of the line",
            })?;
            fields.push(field);
            rest = after;
        }
        Ok(Self { number, fields })
    }

    pub(super) fn fields(&self) -> &[Cow<'a, str>] {
        &self.fields
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Number of fields.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The text of a field; empty if the line is shorter.
    pub(super) fn text(&self, column: usize) -> &str {
        self.fields.get(column).map_or("", |field| field)
    }

    pub(super) fn read<T>(
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

/// Reads a field after its opening quote. Returns it, and the rest of the line after the next
/// separator.
fn unquote(text: &str, separator: char) -> Option<(Cow<'_, str>, Option<&str>)> {
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
        let after = after.trim_start_matches(' ');
        return match after.strip_prefix(separator) {
            Some(rest) => Some((field, Some(rest))),
            None => after.is_empty().then_some((field, None)),
        };
    }
}
