//! The `date` field of HTTP/2 responses (RFC 9110, 6.6.1). On HTTP/1.1 hyper sets it.

use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, header::DATE};

thread_local! {
    /// The last second formatted, since the Unix epoch, and its text.
    static NOW: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// Adds the date, unless there is one.
pub(crate) fn stamp(headers: &mut HeaderMap) {
    if headers.contains_key(DATE) {
        return;
    }
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let date = NOW.with_borrow_mut(|(written, date)| {
        if *written != second
            && let Ok(value) = httpdate::fmt_http_date(now).try_into()
        {
            (*written, *date) = (second, value);
        }
        date.clone()
    });
    headers.insert(DATE, date);
}
