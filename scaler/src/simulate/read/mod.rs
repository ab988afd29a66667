//! Recorded traffic from text: the access log of `tailback serve`, JSON lines
//! of one's own, or comma-separated values; as they are or compressed by gzip.
//!
//! | field, column | also called | what |
//! |---|---|---|
//! | `timestamp` | `time`, `arrived` | [when](time) it arrived |
//! | `timestamp_ms` | `timestamp_milliseconds`, `time_ms`, `arrived_ms` | the same, in milliseconds |
//! | `service_seconds` | `service`, `duration`, `duration_seconds` | how long a replica had it |
//! | `service_milliseconds` | `service_ms`, `duration_milliseconds`, `duration_ms` | the same |
//! | `context_tokens` | `input_tokens`, `prompt_tokens`, `request_tokens`, `input_length` | for a [`ServiceModel`] |
//! | `generated_tokens` | `output_tokens`, `completion_tokens`, `response_tokens`, `output_length` | for a [`ServiceModel`] |
//! | `model` | | whose request it was |
//! | `status` | | as in the access log: a request that no replica had (service 0, and neither 2xx nor `OK`) is left out |
//!
//! Names are read [in any case](column::Column::named); others are ignored. Either
//! a time in service or a token count must be there. The order of the lines
//! does not matter. In JSON with `input_length`, as Mooncake publishes its traces, a
//! number for a time is in milliseconds. Comma-separated values may also have
//! [counts per minute](counts).

mod column;
mod counts;
mod csv;
mod csv_line;
mod error;
mod json;
mod service;
mod text;
mod time;

use std::{collections::BTreeMap, io::BufRead, time::Duration};

pub use self::{error::ReadError, service::ServiceModel};
use super::trace::{Request, Trace};
use crate::clock::Nanos;

/// Requests that are read at most: what they take of memory is about 40 bytes each.
const MOST_REQUESTS: usize = 100_000_000;
/// From the first request to the last, at most. A scaler looks each second.
const LONGEST_SPAN: Duration = Duration::from_secs(366 * 24 * 3600);
/// Models that an error lists.
const LISTED: usize = 20;

/// What to take of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// For token counts.
    pub service: ServiceModel,
    /// Of which model, where the trace names models.
    pub whose: Whose,
}

/// Whose requests to take.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Whose {
    /// Those of the only model there is.
    #[default]
    OnlyOne,
    /// This model's; the trace must name models.
    Model(String),
    /// This model's; all, if the trace names no models.
    ModelIfNamed(String),
    /// All, as if they were one model's.
    All,
}

impl Whose {
    fn takes(&self, model: Option<&str>) -> bool {
        match self {
            Self::OnlyOne | Self::All => true,
            Self::Model(name) => model == Some(name),
            Self::ModelIfNamed(name) => model.is_none_or(|model| model == name),
        }
    }

    /// The one that is wanted.
    fn model(&self) -> Option<&str> {
        match self {
            Self::OnlyOne | Self::All => None,
            Self::Model(name) | Self::ModelIfNamed(name) => Some(name),
        }
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// The requests.
    pub trace: Trace,
    /// Requests left out, as no replica had them: nobody knows their service.
    pub not_served: u64,
    /// Lines left out, as they were cut off while they were written.
    pub cut_off: u64,
}

/// What `input` recorded; the trace's clock starts at the first arrival.
///
/// # Errors
/// [`ReadError`] of the first thing that is wrong.
pub fn read(input: impl BufRead, options: &Options) -> Result<Recording, ReadError> {
    let (lines, first) = text::open(input)?;
    let mut found = Found::new(options);
    match first {
        Some(b'{') => json::read(lines, options, &mut found)?,
        Some(b'[') => {
            return Err(ReadError::Format {
                found: "found a JSON array, of which jq -c '.[]' makes lines".to_owned(),
            });
        }
        _ => csv::read(lines, options, &mut found)?,
    }
    found.finish()
}

/// A line's request, as far as it says.
struct Row<'a> {
    line: u64,
    /// Nanoseconds of some era.
    at: i128,
    service: Duration,
    model: Option<&'a str>,
    status: Option<&'a str>,
}

/// The requests so far.
struct Found<'a> {
    options: &'a Options,
    requests: Vec<(i128, Duration)>,
    /// First and last arrival, with their lines.
    first: (i128, u64),
    last: (i128, u64),
    /// How many requests of which model, whether wanted or not.
    models: BTreeMap<String, u64>,
    /// Those that are not wanted, as they are another model's, or nobody's.
    others: u64,
    not_served: u64,
    cut_off: u64,
}

impl<'a> Found<'a> {
    fn new(options: &'a Options) -> Self {
        Self {
            options,
            requests: Vec::new(),
            first: (i128::MAX, 0),
            last: (i128::MIN, 0),
            models: BTreeMap::new(),
            others: 0,
            not_served: 0,
            cut_off: 0,
        }
    }

    fn add(&mut self, row: &Row<'_>) -> Result<(), ReadError> {
        if let Some(model) = row.model {
            match self.models.get_mut(model) {
                Some(count) => *count += 1,
                None => {
                    self.models.insert(model.to_owned(), 1);
                }
            }
        }
        if !self.options.whose.takes(row.model) {
            self.others += 1;
            return Ok(());
        }
        let succeeded = |status: &str| status.starts_with('2') || status == "OK";
        if row.service.is_zero() && !row.status.is_none_or(succeeded) {
            self.not_served += 1;
            return Ok(());
        }
        if self.requests.len() == MOST_REQUESTS {
            return Err(ReadError::TooMany { line: row.line });
        }
        self.first = self.first.min((row.at, row.line));
        self.last = self.last.max((row.at, row.line));
        let span = u128::try_from(self.last.0 - self.first.0).unwrap_or(0);
        if span > LONGEST_SPAN.as_nanos() {
            let seconds = span / Duration::from_secs(1).as_nanos();
            return Err(ReadError::Span {
                line: row.line,
                first: if row.line == self.last.1 {
                    self.first.1
                } else {
                    self.last.1
                },
                days: u64::try_from(seconds / (24 * 3600)).unwrap_or(u64::MAX),
            });
        }
        self.requests.push((row.at, row.service));
        Ok(())
    }

    fn finish(self) -> Result<Recording, ReadError> {
        if self.options.whose == Whose::OnlyOne && self.models.len() > 1 {
            return Err(ReadError::Models {
                models: list(&self.models),
            });
        }
        if self.requests.is_empty() {
            if self.models.is_empty() && self.others > 0 {
                return Err(ReadError::Nameless {
                    found: "no line with a model".to_owned(),
                    expected: "a field named model",
                });
            }
            let mut of = match self.options.whose.model() {
                Some(model) => format!(" of model {model:?}"),
                None => String::new(),
            };
            if self.not_served > 0 {
                of += &format!(" that a replica had ({} had none)", self.not_served);
            } else if !self.models.is_empty() {
                of += &format!(
                    ", but of {}; choose one by --trace-model",
                    list(&self.models)
                );
            }
            return Err(ReadError::Empty { of });
        }
        let first = self.first.0;
        // The span is bounded.
        let since_first = |at: i128| Nanos(u64::try_from(at - first).unwrap_or(0));
        Ok(Recording {
            trace: self
                .requests
                .into_iter()
                .map(|(at, service)| Request {
                    at: since_first(at),
                    service,
                })
                .collect(),
            not_served: self.not_served,
            cut_off: self.cut_off,
        })
    }
}

/// Names and counts, the largest first.
fn list(models: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<_> = models.iter().collect();
    all.sort_by_key(|&(name, &count)| (std::cmp::Reverse(count), name));
    let mut words: Vec<String> = all
        .iter()
        .take(LISTED)
        .map(|(name, count)| match name.is_empty() {
            true => format!("\"\" ({count})"),
            false => format!("{name} ({count})"),
        })
        .collect();
    if all.len() > LISTED {
        words.push(format!("and {} more", all.len() - LISTED));
    }
    words.join(", ")
}

// === fields, whatever the format ===

/// The highest number of tokens.
const MOST_TOKENS: f64 = 1e9;
/// The longest time in service, in seconds: eleven days. What is simulated goes
/// on until the last request has been served.
const LONGEST_SERVICE: f64 = 1e6;
const TIME: &str = "seconds (milliseconds divided by 1000), or a time such as 2023-11-16 18:17:03.98 \
                    or 2023-11-16T18:17:03Z";
const SECONDS: &str = "seconds, 0 to 1000000";
const MILLISECONDS: &str = "milliseconds, 0 to 1000000000";
const TOKENS: &str = "a number of tokens, 0 to 1000000000";
/// What says how long a request was in service.
const SERVICE: &str =
    "service_seconds, or context_tokens and generated_tokens (also input_length and output_length)";

/// A field that has a number.
#[derive(Clone, Copy)]
struct Amount {
    name: &'static str,
    most: f64,
    expected: &'static str,
}

const SERVICE_SECONDS: Amount = Amount {
    name: "service_seconds",
    most: LONGEST_SERVICE,
    expected: SECONDS,
};
const SERVICE_MILLISECONDS: Amount = Amount {
    name: "service_milliseconds",
    most: LONGEST_SERVICE * 1e3,
    expected: MILLISECONDS,
};
const CONTEXT_TOKENS: Amount = Amount {
    name: "context_tokens",
    most: MOST_TOKENS,
    expected: TOKENS,
};
const GENERATED_TOKENS: Amount = Amount {
    name: "generated_tokens",
    ..CONTEXT_TOKENS
};

/// What a line says of its time in service, as `T` has it.
struct Service<T> {
    seconds: Option<T>,
    milliseconds: Option<T>,
    context: Option<T>,
    generated: Option<T>,
}

impl<T: Copy> Service<T> {
    fn is_known(&self) -> bool {
        let time = self.seconds.or(self.milliseconds);
        time.or(self.context).or(self.generated).is_some()
    }

    /// By the first of them that is there, each read by `number`.
    fn duration(
        &self,
        model: &ServiceModel,
        number: impl Fn(T, Amount) -> Result<f64, ReadError>,
    ) -> Result<Duration, ReadError> {
        let seconds = if let Some(seconds) = self.seconds {
            number(seconds, SERVICE_SECONDS)?
        } else if let Some(milliseconds) = self.milliseconds {
            number(milliseconds, SERVICE_MILLISECONDS)? / 1e3
        } else {
            let tokens = |count: Option<T>, amount| count.map_or(Ok(0.0), |n| number(n, amount));
            model
                .seconds(
                    tokens(self.context, CONTEXT_TOKENS)?,
                    tokens(self.generated, GENERATED_TOKENS)?,
                )
                .min(LONGEST_SERVICE)
        };
        Ok(Duration::from_secs_f64(seconds))
    }
}

/// As much of it as an error should show.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests;
