//! Reads comma-separated values, or values separated by tabs or semicolons. The first line names
//! the columns; each further line is one request. A field may be in quotes, with inner quotes
//! doubled (RFC 4180), but has no line breaks, so that an error in a line affects only that line.

use super::{
    Amount, Found, ReadError, ReadOptions, Row, SERVICE, Service, TIME, Whose, column::Column,
    counts, csv_line::CsvLine, shown, text::Lines, time,
};

pub(super) fn read(
    mut lines: Lines<'_>,
    options: &ReadOptions,
    found: &mut Found<'_>,
) -> Result<(), ReadError> {
    let Some((number, header)) = lines.next()? else {
        return Ok(());
    };
    let separator = separator(header);
    let names = CsvLine::split(number, header, separator)?;
    if let Some(mut counts) = counts::Columns::find(&names) {
        if !counts.names_models() && matches!(options.whose, Whose::Model(_)) {
            return Err(nameless(header));
        }
        found.fields = counts.fields(&names);
        while let Some((number, text)) = lines.next()? {
            counts.add(&CsvLine::split(number, text, separator)?, options, found)?;
        }
        return Ok(());
    }
    let columns = CsvColumns::find(&names, header)?;
    found.name_fields(names.fields().iter().map(AsRef::as_ref));
    if columns.model.is_none() && matches!(options.whose, Whose::Model(_)) {
        return Err(nameless(header));
    }
    while let Some((number, text)) = lines.next()? {
        let line = CsvLine::split(number, text, separator)?;
        found.add(&columns.row(&line, options)?)?;
    }
    Ok(())
}

fn nameless(header: &str) -> ReadError {
    ReadError::Nameless {
        found: shown(header),
        expected: "a column named model",
    }
}

/// The separator in `header`: a comma, or else a tab or a semicolon.
fn separator(header: &str) -> char {
    [',', '\t', ';']
        .into_iter()
        .find(|&separator| header.contains(separator))
        .unwrap_or(',')
}

/// The positions of the columns.
struct CsvColumns {
    timestamp: usize,
    /// Whether the service column is in milliseconds.
    milliseconds: bool,
    service: Service<usize>,
    model: Option<usize>,
    status: Option<usize>,
}

impl CsvColumns {
    fn find(line: &CsvLine<'_>, header: &str) -> Result<Self, ReadError> {
        let number = line.number();
        let names: Vec<Option<Column>> = (line.fields().iter())
            .map(|name| Column::named(name))
            .collect();
        let place = |column| names.iter().position(|name| *name == Some(column));
        let missing = |expected: &str| ReadError::Columns {
            line: number,
            found: shown(header),
            expected: format!("a column named {expected}"),
        };
        let columns = Self {
            timestamp: place(Column::Timestamp)
                .or(place(Column::TimestampMilliseconds))
                .ok_or_else(|| {
                    missing("timestamp, or counts per minute in columns named 1, 2, 3, …")
                })?,
            milliseconds: place(Column::Timestamp).is_none(),
            service: Service {
                seconds: place(Column::Seconds),
                milliseconds: place(Column::Milliseconds),
                context: place(Column::ContextTokens),
                generated: place(Column::GeneratedTokens),
            },
            model: place(Column::Model),
            status: place(Column::Status),
        };
        if !columns.service.is_known() {
            return Err(missing(SERVICE));
        }
        Ok(columns)
    }

    fn row<'a>(&self, line: &'a CsvLine<'_>, options: &ReadOptions) -> Result<Row<'a>, ReadError> {
        let service = &self.service;
        let number = |column,
                      Amount {
                          name,
                          most,
                          expected,
                      }| {
            let parse = |text: &str| text.parse().ok().filter(|n| (0.0..=most).contains(n));
            line.read(column, name, expected, parse)
        };
        Ok(Row {
            line: line.number(),
            at: line.read(self.timestamp, "timestamp", TIME, |text| {
                let at = time::parse(text)?;
                Some(if self.milliseconds { at / 1000 } else { at })
            })?,
            service: service.duration(&options.service, number)?,
            model: self.model.map(|column| line.text(column)),
            status: self.status.map(|column| line.text(column)),
        })
    }
}
