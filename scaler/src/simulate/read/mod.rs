//! Reads recorded traffic from text: the access log of `tailback serve`, other JSON lines, or
//! comma-separated values, plain or compressed by gzip.
//!
//! | field, column | also called | what |
//! |---|---|---|
//! | `timestamp` | `time`, `arrived` | when the request arrived, in a [known form](time) |
//! | `timestamp_ms` | `timestamp_milliseconds`, `time_ms`, `arrived_ms` | the same, in milliseconds |
//! | `service_seconds` | `service`, `duration`, `duration_seconds` | how long a replica served it |
//! | `service_milliseconds` | `service_ms`, `duration_milliseconds`, `duration_ms` | the same |
//! | `context_tokens` | `input_tokens`, `prompt_tokens`, `request_tokens`, `input_length` | for a [`ServiceModel`] |
//! | `generated_tokens` | `output_tokens`, `completion_tokens`, `response_tokens`, `output_length` | for a [`ServiceModel`] |
//! | `model` | | the model that it was for |
//! | `status` | | as in the access log; a request that no replica served (service 0, and neither 2xx nor `OK`) is left out |
//!
//! Names may be in upper or lower case ([details](column::Column::named)); unknown ones are
//! ignored. Each request needs a time in service or a token count. The order of the lines does
//! not matter. In JSON with `input_length`, as in Mooncake's traces, a time that is a number is
//! in milliseconds. Comma-separated values may also have [counts per minute](counts).

mod by_model;
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

use self::{by_model::ByModel, column::Column};
pub use self::{by_model::read_fleet, error::ReadError, service::ServiceModel, text::Lines};
use super::trace::{Request, Trace};
use crate::clock::Nanos;

/// Largest number of requests. Each takes about 40 bytes of memory.
const MOST_REQUESTS: usize = 100_000_000;
/// Longest time from the first request to the last: a scaler evaluates each second of it.
const LONGEST_SPAN: Duration = Duration::from_secs(366 * 24 * 3600);
/// How many models an error lists.
const LISTED: usize = 20;

/// What to read from a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// How to get service times from token counts.
    pub service: ServiceModel,
    /// Which model's requests to take.
    pub whose: Whose,
}

/// Which model's requests to take.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Whose {
    /// Those of the only model; an error if there are several.
    #[default]
    OnlyOne,
    /// This model's; the trace must name models.
    Model(String),
    /// This model's; all, if the trace names no models.
    ModelIfNamed(String),
    /// All requests, as if they were for one model.
    All,
    /// All requests, each for the model that it names ([`read_fleet`]).
    Each,
}

impl Whose {
    fn takes(&self, model: Option<&str>) -> bool {
        match self {
            Self::OnlyOne | Self::All | Self::Each => true,
            Self::Model(name) => model == Some(name),
            Self::ModelIfNamed(name) => model.is_none_or(|model| model == name),
        }
    }

    /// The wanted model, if there is one.
    fn model(&self) -> Option<&str> {
        match self {
            Self::OnlyOne | Self::All | Self::Each => None,
            Self::Model(name) | Self::ModelIfNamed(name) => Some(name),
        }
    }
}

/// A trace that was read, and what was left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// The requests.
    pub trace: Trace,
    /// Requests left out because no replica served them, so that their time in service is not
    /// known.
    pub not_served: u64,
    /// Lines left out because they are incomplete.
    pub cut_off: u64,
    /// What was read, and the name that the trace has for it.
    pub fields: BTreeMap<&'static str, String>,
}

/// Reads the requests in `input`. The trace's clock starts at the first arrival.
///
/// # Errors [`ReadError`] for the first error.
pub fn read(input: impl BufRead, options: &ReadOptions) -> Result<Recording, ReadError> {
    collect(input, options)?.finish()
}

fn collect<'a>(input: impl BufRead, options: &'a ReadOptions) -> Result<Found<'a>, ReadError> {
    let (lines, first) = text::open(input)?;
    let mut found = Found::new(options);
    match first {
        Some(b'{') => json::read(lines, options, &mut found)?,
        Some(b'[') => {
            return Err(ReadError::Format {
                found: "found a JSON array; convert it to lines by jq -c '.[]'".to_owned(),
            });
        }
        _ => csv::read(lines, options, &mut found)?,
    }
    Ok(found)
}

/// The request of one line.
struct Row<'a> {
    line: u64,
    /// When it arrived, in nanoseconds since any epoch.
    at: i128,
    service: Duration,
    model: Option<&'a str>,
    status: Option<&'a str>,
}

/// The requests that were read so far.
struct Found<'a> {
    options: &'a ReadOptions,
    requests: Vec<(i128, Duration)>,
    /// The model of each request, if that is asked for.
    by_model: Option<ByModel>,
    /// The first arrival and its line; `last` likewise.
    first: (i128, u64),
    last: (i128, u64),
    /// The number of requests of each model, wanted or not.
    models: BTreeMap<String, u64>,
    /// Requests of other models, or without a model, which are not wanted.
    others: u64,
    not_served: u64,
    cut_off: u64,
    fields: BTreeMap<&'static str, String>,
}

impl<'a> Found<'a> {
    fn new(options: &'a ReadOptions) -> Self {
        Self {
            options,
            requests: Vec::new(),
            by_model: (options.whose == Whose::Each).then(ByModel::default),
            first: (i128::MAX, 0),
            last: (i128::MIN, 0),
            models: BTreeMap::new(),
            others: 0,
            not_served: 0,
            cut_off: 0,
            fields: BTreeMap::new(),
        }
    }

    /// Notes which of the columns or fields with these names are read.
    fn name_fields<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        for name in names {
            if let Some(column) = Column::named(name) {
                let meaning = column.meaning();
                self.fields.entry(meaning).or_insert_with(|| plain(name));
            }
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
        if let Some(by_model) = &mut self.by_model {
            by_model.add(row.model, row.line)?;
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
            return Err(self.empty());
        }
        let first = self.first.0;
        // The span is limited, so this cannot fail.
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
            fields: self.fields,
        })
    }

    /// Why there is no request.
    fn empty(&self) -> ReadError {
        if self.models.is_empty() && self.others > 0 {
            return ReadError::Nameless {
                found: "no line with a model".to_owned(),
                expected: "a field named model",
            };
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
        ReadError::Empty { of }
    }
}

/// Lists models with their counts, the largest first.
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

// === fields of all formats ===

/// Largest number of tokens.
const MOST_TOKENS: f64 = 1e9;
/// Longest time in service, in seconds: eleven days. A simulation runs until the last request is
/// done.
const LONGEST_SERVICE: f64 = 1e6;
const TIME: &str = "seconds (milliseconds divided by 1000), or a time such as 2023-11-16 18:17:03.98 \
                    or 2023-11-16T18:17:03Z";
const SECONDS: &str = "seconds, 0 to 1000000";
const MILLISECONDS: &str = "milliseconds, 0 to 1000000000";
const TOKENS: &str = "a number of tokens, 0 to 1000000000";
/// The fields that give a time in service, for messages.
const SERVICE: &str =
    "service_seconds, or context_tokens and generated_tokens (also input_length and output_length)";

/// A field with a number.
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

/// The fields of a line that give its time in service, each as a `T`.
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

    /// The time in service from the first field that is present, read by `number`.
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

/// A name from a trace, as text.
fn plain(name: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    name.chars().take(100).map(visible).collect()
}

/// The beginning of `text`, in quotes, for an error.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}

#[cfg(test)]
mod tests;
