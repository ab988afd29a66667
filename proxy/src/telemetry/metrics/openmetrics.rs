//! The metrics in OpenMetrics' text format, version 1.0.0, for scrapers that request it, because
//! it has exemplars. Source: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.

use std::{borrow::Cow, fmt::Write};

use http::{HeaderMap, header::ACCEPT};

/// The media type of the format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TYPE: &str = "application/openmetrics-text";
const PLAIN: &str = "text/plain";

/// Whether the scraper prefers it to the text format 0.0.4, according to `accept`.
#[must_use]
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let ranges = values.filter_map(|value| value.to_str().ok());
    let ranges = ranges.flat_map(|value| value.split(','));
    let (mut open, mut plain) = (0.0, 0.0);
    for range in ranges {
        let mut fields = range.split(';').map(str::trim);
        let kind = fields.next().unwrap_or_default();
        let weight = fields.find_map(|field| field.strip_prefix("q="));
        let weight = weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0));
        if kind.eq_ignore_ascii_case(TYPE) {
            open = f64::max(open, weight);
        } else if kind.eq_ignore_ascii_case(PLAIN) {
            plain = f64::max(plain, weight);
        }
    }
    open > 0.0 && open >= plain
}

/// Converts `text`, which is in the text format 0.0.4 except for exemplars.
///
/// A family of counters is named without the `_total` of its samples. Counters under Seldon's
/// names without `_total` become type `unknown`, because their samples must keep their names.
#[must_use]
pub fn of_text(text: &str) -> String {
    let mut all = String::with_capacity(text.len() + text.len() / 16);
    let mut help = None;
    // Writing to a String cannot fail.
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // The line with its type comes next.
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (family, kind) = match (kind, name.strip_suffix("_total")) {
                ("counter", Some(family)) => (family, "counter"),
                ("counter" | "untyped", _) => (name, "unknown"),
                (kind, _) => (name, kind),
            };
            let _ = writeln!(all, "# TYPE {family} {kind}");
            if let Some(help) = help.take() {
                let _ = writeln!(all, "# HELP {family} {}", help.replace('"', "\\\""));
            }
        } else if !line.starts_with('#') {
            all.push_str(&with_float_bound(line));
            all.push('\n');
        }
    }
    all.push_str("# EOF\n");
    all
}

/// The sample, with the bound of a bucket as a floating-point number: `le="1.0"` for `le="1"`.
fn with_float_bound(line: &str) -> Cow<'_, str> {
    const LABEL: &str = "le=\"";
    // Within a label's value, a quotation mark is preceded by a backslash.
    let label = line
        .match_indices(LABEL)
        .find(|(at, _)| line[..*at].ends_with(['{', ',']));
    let Some((at, _)) = label else {
        return Cow::Borrowed(line);
    };
    let (before, bound) = line.split_at(at + LABEL.len());
    match bound.split_once('"') {
        Some((bound, after)) if bound.bytes().all(|byte| byte.is_ascii_digit()) => {
            Cow::Owned(format!("{before}{bound}.0\"{after}"))
        }
        _ => Cow::Borrowed(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sent_to_whoever_prefers_it() {
        for (accept, expected) in [
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,*/*;q=0.2",
                true,
            ),
            ("application/openmetrics-text", true),
            ("text/plain, Application/OpenMetrics-Text", true),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", false),
            (
                "text/plain;q=0.9, application/openmetrics-text;q=0.5",
                false,
            ),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(is_asked_for(&headers), expected, "{accept}");
        }
        assert!(!is_asked_for(&HeaderMap::new()));
    }

    #[test]
    fn families_and_bounds_are_named_as_the_format_wants_it() {
        let text = "# HELP a_total Of \"b\".\n# TYPE a_total counter\na_total{m=\"x\"} 1\n\n\
                    # TYPE b_count counter\nb_count 2\n\
                    # HELP h H.\n# TYPE h histogram\nh_bucket{m=\",le=\\\"2\",le=\"1\"} 3 # {trace_id=\"a\"} 1 2\n\
                    h_bucket{le=\"+Inf\"} 3\nh_bucket{le=\"0.5\"} 1\n# TYPE u untyped\nu 1\n";
        let expected = "# TYPE a counter\n# HELP a Of \\\"b\\\".\na_total{m=\"x\"} 1\n\
                        # TYPE b_count unknown\nb_count 2\n\
                        # TYPE h histogram\n# HELP h H.\nh_bucket{m=\",le=\\\"2\",le=\"1.0\"} 3 # {trace_id=\"a\"} 1 2\n\
                        h_bucket{le=\"+Inf\"} 3\nh_bucket{le=\"0.5\"} 1\n# TYPE u unknown\nu 1\n# EOF\n";
        assert_eq!(of_text(text), expected);
    }
}
