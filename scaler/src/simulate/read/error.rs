//! The errors in recorded traffic.

use super::MOST_REQUESTS;

/// What is wrong with a trace, and where.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input cannot be read or decompressed.
    #[error("cannot read it: {0}")]
    Io(#[from] std::io::Error),
    /// The format is not known.
    #[error(
        "{found}; expected the access log of tailback serve, other JSON lines, or comma-separated values, \
         as text or compressed by gzip"
    )]
    Format {
        /// What was found.
        found: String,
    },
    /// A required column is missing.
    #[error("line {line}: found {found}, expected {expected}")]
    Columns {
        /// The line's number, from 1.
        line: u64,
        /// The first line, which should name the columns.
        found: String,
        /// The missing column.
        expected: String,
    },
    /// A field has a wrong value.
    #[error("line {line}: {field}: found {found}, expected {expected}")]
    Field {
        /// The line's number, from 1.
        line: u64,
        /// The field's name.
        field: &'static str,
        /// The value that was found.
        found: String,
        /// What the field must have.
        expected: &'static str,
    },
    /// A line does not have the format of the file.
    #[error("line {line}: {found}, expected {expected}")]
    Line {
        /// The line's number, from 1.
        line: u64,
        /// What is wrong.
        found: String,
        /// What the line must have.
        expected: &'static str,
    },
    /// The trace names no models, and the requests of one model are wanted.
    #[error("found {found}, expected {expected}, which names the model of each request")]
    Nameless {
        /// What was found instead.
        found: String,
        /// The column or field that would name the model.
        expected: &'static str,
    },
    /// The trace spans too much time.
    #[error(
        "line {line}: this request is {days} days apart from the one in line {first}, expected at most 366 days; \
         if times are in milliseconds, divide them by 1000"
    )]
    Span {
        /// The line of the last request, from 1.
        line: u64,
        /// The line of the first request, from 1.
        first: u64,
        /// The days between them.
        days: u64,
    },
    /// More requests than fit into memory.
    #[error(
        "line {line}: found more than {MOST_REQUESTS} requests; split the file and simulate a part"
    )]
    TooMany {
        /// The line's number, from 1.
        line: u64,
    },
    /// There is no request, or none of the wanted model.
    #[error("the trace has no request{of}")]
    Empty {
        /// The wanted model and the models that were found, or empty.
        of: String,
    },
    /// The trace has requests of several models, and none was chosen.
    #[error(
        "the trace has requests of several models; choose one by --model, or all by --trace-model '*': {models}"
    )]
    Models {
        /// The models, each with its number of requests.
        models: String,
    },
}
