//! Reads counts per minute, as in the Azure Functions traces: one line for each function and day,
//! with the number of requests in each minute in the columns `1` … `1440`, or `m1` … `m1440`. The
//! requests of a minute are spread over it at random, with a fixed seed. The
//! [`ServiceModel`](super::ServiceModel) gives their time in service.

use std::{collections::BTreeMap, time::Duration};

use super::{Found, ReadError, ReadOptions, Row, csv_line::CsvLine, plain};

const MINUTE: f64 = 60e9;
const COUNT: &str = "a number of requests, 0 to 10000000";
const MOST: u32 = 10_000_000;
const DAY: &str = "the number of a day, from 1";

/// The positions of the columns.
pub(super) struct Columns {
    /// The column of the first minute, and the number of minutes.
    first: usize,
    minutes: usize,
    day: Option<usize>,
    model: Option<usize>,
    rng: fastrand::Rng,
}

impl Columns {
    /// Finds the columns in a header; `None`: it has no counts per minute.
    pub(super) fn find(header: &CsvLine<'_>) -> Option<Self> {
        let is = |column: usize, minute: usize| {
            let name = header.text(column);
            let number = name.strip_prefix(['m', 'M']).unwrap_or(name);
            number.parse() == Ok(minute)
        };
        let first =
            (0..header.len()).find(|&at| (1..=3).all(|minute| is(at + minute - 1, minute)))?;
        let minutes = (1..).take_while(|&n| is(first + n - 1, n)).count();
        let named = |names: &[&str]| {
            (0..first).find(|&at| names.contains(&&*header.text(at).to_ascii_lowercase()))
        };
        Some(Self {
            first,
            minutes,
            day: named(&["day"]),
            model: named(&["model", "hashfunction", "function", "func", "func_idx"]),
            rng: fastrand::Rng::with_seed(1),
        })
    }

    /// The meanings of the columns that are read, and their names.
    pub(super) fn fields(&self, header: &CsvLine<'_>) -> BTreeMap<&'static str, String> {
        let name = |column| plain(header.text(column));
        let last = self.first + self.minutes - 1;
        let minutes = format!("{} to {}", name(self.first), name(last));
        let named = [("model", self.model), ("day", self.day)];
        let named = named.map(|(what, column)| Some((what, name(column?))));
        let named = named.into_iter().flatten();
        named.chain([("requests per minute", minutes)]).collect()
    }

    pub(super) fn names_models(&self) -> bool {
        self.model.is_some()
    }

    /// Adds the requests of a line.
    pub(super) fn add(
        &mut self,
        line: &CsvLine<'_>,
        options: &ReadOptions,
        found: &mut Found<'_>,
    ) -> Result<(), ReadError> {
        let day = match self.day {
            None => 1,
            Some(column) => line.read(column, "day", DAY, |text| {
                text.parse().ok().filter(|day| (1..=366).contains(day))
            })?,
        };
        let service = Duration::from_secs_f64(options.service.seconds(0.0, 0.0).min(1e6));
        for minute in 0..self.minutes {
            let count = |text: &str| match text {
                "" => Some(0),
                text => text.parse().ok().filter(|&count| count <= MOST),
            };
            let count = line.read(self.first + minute, "a count per minute", COUNT, count)?;
            let begins = (day - 1) * 1440 + minute as u32;
            for _ in 0..count {
                let at = (f64::from(begins) + self.rng.f64()) * MINUTE;
                found.add(&Row {
                    line: line.number(),
                    at: at as i128,
                    service,
                    model: self.model.map(|column| line.text(column)),
                    status: None,
                })?;
            }
        }
        Ok(())
    }
}
