//! The `date` field of responses (RFC 9110, 6.6.1).

use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderValue, header::DATE};

use crate::message::HeaderMap;

thread_local! {
    /// The last second formatted, since the Unix epoch, and its text.
    static NOW: RefCell<(u64, HeaderValue)> = const { RefCell::new((0, HeaderValue::from_static(""))) };
}

/// Adds the date, unless there is one.
pub(crate) fn stamp(headers: &mut HeaderMap) {
    if !headers.contains_key(DATE) {
        let date = with_now(HeaderValue::clone);
        headers.insert(DATE, date);
    }
}

/// Passes the present date to `use_it`.
pub(crate) fn with_now<T>(use_it: impl FnOnce(&HeaderValue) -> T) -> T {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    NOW.with_borrow_mut(|(written, date)| {
        if *written != second
            && let Ok(value) = httpdate::fmt_http_date(now).try_into()
        {
            (*written, *date) = (second, value);
        }
        use_it(date)
    })
}
