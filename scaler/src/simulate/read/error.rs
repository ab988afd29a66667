//! What can be wrong with recorded traffic.

use super::MOST_REQUESTS;

/// What is wrong with a trace, and where.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be read at all.
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    /// It is no text of ours.
    #[error(
        "{found}; expected the access log of tailback serve, other JSON lines, or comma-separated values, \
         as text or by gzip"
    )]
    Format {
        /// What it is.
        found: String,
    },
    /// A column that is needed is not there.
    #[error("line {line}: found {found}, expected {expected}")]
    Columns {
        /// From 1.
        line: u64,
        /// The first line.
        found: String,
        /// What is missing.
        expected: String,
    },
    /// A field that is not what its name says.
    #[error("line {line}: {field}: found {found}, expected {expected}")]
    Field {
        /// From 1.
        line: u64,
        /// Its name.
        field: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// A line that is no line of its format.
    #[error("line {line}: {found}, expected {expected}")]
    Line {
        /// From 1.
        line: u64,
        /// What is wrong.
        found: String,
        /// What should be there.
        expected: &'static str,
    },
    /// It does not say whose its requests are, and one model's are wanted.
    #[error("found {found}, expected {expected}, to tell whose a request is")]
    Nameless {
        /// What is there instead.
        found: String,
        /// Where a model would be named.
        expected: &'static str,
    },
    /// It spans more time than a simulation should take.
    #[error(
        "line {line}: this request is {days} days apart from the one in line {first}, expected at most 366 days; \
         if times are in milliseconds, divide them by 1000"
    )]
    Span {
        /// Of the last request, from 1.
        line: u64,
        /// Of the first request.
        first: u64,
        /// Between them.
        days: u64,
    },
    /// More than fit into memory.
    #[error("line {line}: found more than {MOST_REQUESTS} requests; simulate a part of them")]
    TooMany {
        /// From 1.
        line: u64,
    },
    /// No request is left.
    #[error("there is no request in it{of}")]
    Empty {
        /// Of which model, and which there are.
        of: String,
    },
    /// Requests of several models, and none was chosen.
    #[error(
        "it has requests of several models; choose one by --model, or all by --trace-model '*': {models}"
    )]
    Models {
        /// Each with its count.
        models: String,
    },
}
