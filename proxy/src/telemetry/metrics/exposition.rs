//! The Prometheus text format, version 0.0.4, for values that are read at scrape time instead of
//! recorded: fractional counters, which the recorder does not have, and series that are removed
//! with their model.

use std::fmt::Write;

use super::histogram::HistogramReading;

/// Writes one metric family after another.
#[derive(Debug, Default)]
pub struct Exposition(String);

impl Exposition {
    /// Starts a metric family; write its samples through the returned handle.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let text = &mut self.0;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text, name }
    }

    /// The complete text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

/// A metric family being written.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// The samples of a histogram.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], reading: &HistogramReading) {
        let bounds = reading.bounds.iter().map(f64::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&reading.cumulated) {
            let labels = [labels, &[("le", &*bound)]].concat();
            self.sample_of("_bucket", &labels, *count as f64);
        }
        self.sample_of("_sum", labels, reading.sum);
        self.sample_of("_count", labels, reading.count() as f64);
    }

    /// A sample under the family's own name.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample_of("", labels, value);
    }

    /// Writes a sample of a component with a suffix of its own, such as `_bucket`.
    pub fn sample_of(&mut self, part: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(self.name);
        self.text.push_str(part);
        for (i, (label, content)) in labels.iter().enumerate() {
            let open = if i == 0 { '{' } else { ',' };
            let content = content
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            let _ = write!(self.text, "{open}{label}=\"{content}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_help_type_and_escaped_labels() {
        let mut text = Exposition::default();
        text.family("a_total", "counter", "What.")
            .sample(&[("m", "x\"y"), ("n", "z")], 1.5);
        assert_eq!(
            text.into_string(),
            "# HELP a_total What.\n# TYPE a_total counter\na_total{m=\"x\\\"y\",n=\"z\"} 1.5\n"
        );
    }
}
