//! Traces from text: comma-separated, a line a request, the columns by name.
//!
//! | column | also called | what |
//! |---|---|---|
//! | `timestamp` | `time`, `arrived` | [when](time) it arrived |
//! | `service_seconds` | `service`, `duration` | how long a replica had it |
//! | `context_tokens` | `contexttokens`, `input_tokens`, `prompt_tokens` | for a [`ServiceModel`] |
//! | `generated_tokens` | `generatedtokens`, `output_tokens`, `completion_tokens` | for a [`ServiceModel`] |
//! | `model` | | whose request it was |
//! | `held_seconds` | `held` | how long it waited; not used |
//! | `status` | | HTTP status; a request that no replica had (service 0, status not 2xx) is left out |
//!
//! Names are read in any case; other columns are ignored. Either
//! `service_seconds` or a token column must be there.

mod time;

use std::{fmt, io::BufRead, str::FromStr, time::Duration};

use super::{Request, Trace};
use crate::clock::Nanos;

/// Service time from token counts: `fixed` + `per_context`·context +
/// `per_generated`·generated, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServiceModel {
    /// Seconds of every request.
    pub fixed: f64,
    /// Seconds a token read.
    pub per_context: f64,
    /// Seconds a token written.
    pub per_generated: f64,
}

impl Default for ServiceModel {
    /// A model of some ten thousand million parameters on one GPU: 50 ms,
    /// 10,000 tokens a second read, 50 written.
    fn default() -> Self {
        Self {
            fixed: 0.05,
            per_context: 1e-4,
            per_generated: 0.02,
        }
    }
}

impl FromStr for ServiceModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<f64> = text
            .split(',')
            .filter_map(|word| word.trim().parse().ok())
            .filter(|seconds| (0.0..1e9).contains(seconds))
            .collect();
        match numbers[..] {
            [fixed, per_context, per_generated] if text.split(',').count() == 3 => Ok(Self {
                fixed,
                per_context,
                per_generated,
            }),
            _ => Err(format!(
                "found {text:?}, expected three numbers of seconds: fixed,per-context-token,per-generated-token, \
                 such as 0.05,0.0001,0.02"
            )),
        }
    }
}

/// What is wrong with a trace, and where.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read at all.
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    /// A column that is needed is not there.
    #[error("line 1: found the columns {found:?}, expected {expected}")]
    Columns {
        /// The first line.
        found: String,
        /// What is missing.
        expected: &'static str,
    },
    /// A field that is not what its column says.
    #[error("line {line}: {column}: found {found:?}, expected {expected}")]
    Field {
        /// From 1.
        line: usize,
        /// Its name.
        column: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// No request is left.
    #[error("there is no request in it{0}")]
    Empty(String),
}

/// What to take of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// For token counts.
    pub service: ServiceModel,
    /// Only this model's requests.
    pub model: Option<String>,
}

/// The trace that `text` holds; its clock starts at the first arrival.
///
/// # Errors
/// [`ReadError`] of the first thing that is wrong.
pub fn read(text: impl BufRead, options: &Options) -> Result<Trace, ReadError> {
    let mut lines = text.lines();
    let header = lines.next().transpose()?.unwrap_or_default();
    let columns = Columns::find(&header)?;
    let mut requests: Vec<(i128, Duration)> = Vec::new();
    for (number, line) in lines.enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let line = Line {
            number: number + 2,
            fields: line.split(',').map(unquoted).collect(),
        };
        if let Some(request) = columns.request(&line, options)? {
            requests.push(request);
        }
    }
    let first = requests.iter().map(|&(at, _)| at).min();
    let Some(first) = first else {
        let of = options.model.as_ref();
        return Err(ReadError::Empty(
            of.map(|model| format!(" of model {model}"))
                .unwrap_or_default(),
        ));
    };
    let since_first = |at: i128| Nanos(u64::try_from(at - first).unwrap_or(u64::MAX / 2));
    Ok(requests
        .into_iter()
        .map(|(at, service)| Request {
            at: since_first(at),
            service,
        })
        .collect())
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
    fn find(header: &str) -> Result<Self, ReadError> {
        let names: Vec<String> = header
            .trim_start_matches('\u{feff}')
            .split(',')
            .map(|name| unquoted(name).to_ascii_lowercase())
            .collect();
        let place = |called: &[&str]| names.iter().position(|name| called.contains(&&**name));
        let missing = |expected| ReadError::Columns {
            found: header.trim().chars().take(200).collect(),
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
        if columns
            .service
            .or(columns.context)
            .or(columns.generated)
            .is_none()
        {
            return Err(missing(
                "a column named service_seconds, or context_tokens and generated_tokens",
            ));
        }
        Ok(columns)
    }

    /// Arrival in ns of some era, and service time. `None`: not to be counted.
    fn request(
        &self,
        line: &Line<'_>,
        options: &Options,
    ) -> Result<Option<(i128, Duration)>, ReadError> {
        if let (Some(wanted), Some(column)) = (&options.model, self.model)
            && line.field(column) != wanted
        {
            return Ok(None);
        }
        let at = line.read(self.timestamp, "timestamp", TIME, time::parse)?;
        let service = match self.service {
            Some(column) => line.read(column, "service_seconds", SECONDS, seconds)?,
            None => {
                let tokens = |column: Option<usize>, name| match column {
                    Some(column) => line.read(column, name, TOKENS, tokens),
                    None => Ok(0.0),
                };
                let model = &options.service;
                Duration::from_secs_f64(
                    (model.fixed
                        + model.per_context * tokens(self.context, "context_tokens")?
                        + model.per_generated * tokens(self.generated, "generated_tokens")?)
                    .min(LONGEST),
                )
            }
        };
        let refused = service.is_zero()
            && self
                .status
                .is_some_and(|column| !line.field(column).starts_with('2'));
        Ok((!refused).then_some((at, service)))
    }
}

struct Line<'a> {
    number: usize,
    fields: Vec<&'a str>,
}

impl Line<'_> {
    fn field(&self, column: usize) -> &str {
        self.fields.get(column).copied().unwrap_or("")
    }

    fn read<T>(
        &self,
        column: usize,
        name: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ReadError> {
        let text = self.field(column);
        parse(text).ok_or_else(|| ReadError::Field {
            line: self.number,
            column: name,
            found: text.chars().take(100).collect(),
            expected,
        })
    }
}

/// The longest service time, in seconds: some 31 years.
const LONGEST: f64 = 1e9;
const TIME: &str = "seconds, or a time such as 2023-11-16 18:17:03.98 or 2023-11-16T18:17:03Z";
const SECONDS: &str = "seconds, 0 to 1000000000";
const TOKENS: &str = "a number of tokens, 0 to 1000000000";

fn seconds(text: &str) -> Option<Duration> {
    tokens(text).map(Duration::from_secs_f64)
}

fn tokens(text: &str) -> Option<f64> {
    text.parse().ok().filter(|n| (0.0..=LONGEST).contains(n))
}

fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field
        .strip_prefix('"')
        .and_then(|f| f.strip_suffix('"'))
        .unwrap_or(field)
}

impl fmt::Display for ServiceModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} s + {} s a context token + {} s a generated token",
            self.fixed, self.per_context, self.per_generated
        )
    }
}

#[cfg(test)]
mod tests;
