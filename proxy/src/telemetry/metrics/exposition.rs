//! The Prometheus text format, version 0.0.4, for values that are read at scrape time instead of
//! recorded: fractional counters, which the recorder does not have, and series that are removed
//! with their model.

use std::fmt::Write;

use super::{exemplars::Exemplar, histogram::HistogramReading};

/// Writes one metric family after another.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    has_exemplars: bool,
}

impl Exposition {
    /// An exposition with exemplars, in the form that [`openmetrics`](super::openmetrics) needs.
    #[must_use]
    pub fn with_exemplars() -> Self {
        Self {
            has_exemplars: true,
            ..Self::default()
        }
    }

    /// Starts a metric family; write its samples through the returned handle.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let (text, has_exemplars) = (&mut self.text, self.has_exemplars);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            text,
            name,
            has_exemplars,
        }
    }

    /// The complete text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.text
    }
}

/// A metric family being written.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    has_exemplars: bool,
}

impl Family<'_> {
    /// The samples of a histogram.
    pub(super) fn histogram(&mut self, labels: &[(&str, &str)], reading: &HistogramReading) {
        let bounds = reading.bounds.iter().map(f64::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        let exemplars = reading.exemplars.iter().copied();
        let exemplars = exemplars.chain(std::iter::repeat(None));
        for ((bound, count), exemplar) in bounds.zip(&reading.cumulated).zip(exemplars) {
            let labels = [labels, &[("le", &*bound)]].concat();
            self.bucket(&labels, *count, exemplar);
        }
        self.sample_of("_sum", labels, reading.sum);
        self.sample_of("_count", labels, reading.count() as f64);
    }

    fn bucket(&mut self, labels: &[(&str, &str)], count: u64, exemplar: Option<Exemplar>) {
        self.begin("_bucket", labels, count as f64);
        if let Some(Exemplar { trace, value, at }) = exemplar.filter(|_| self.has_exemplars) {
            let (seconds, millis) = (at / 1000, at % 1000);
            let text = &mut self.text;
            let _ = write!(
                text,
                " # {{trace_id=\"{trace:032x}\"}} {value} {seconds}.{millis:03}"
            );
        }
        self.text.push('\n');
    }

    /// A sample under the family's own name.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample_of("", labels, value);
    }

    /// Writes a sample of a component with a suffix of its own, such as `_bucket`.
    pub fn sample_of(&mut self, part: &str, labels: &[(&str, &str)], value: f64) {
        self.begin(part, labels, value);
        self.text.push('\n');
    }

    /// Writes a sample without the end of its line.
    fn begin(&mut self, part: &str, labels: &[(&str, &str)], value: f64) {
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
        let _ = write!(self.text, " {value}");
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

    #[test]
    fn writes_exemplars_only_where_they_are_asked_for() {
        let exemplar = Exemplar {
            trace: 0xab,
            value: 0.5,
            at: 1_700_000_000_042,
        };
        let reading = HistogramReading {
            bounds: &[1.0],
            cumulated: vec![1, 1],
            sum: 0.5,
            exemplars: vec![Some(exemplar), None],
        };
        let write = |mut text: Exposition| {
            text.family("a", "histogram", "A.").histogram(&[], &reading);
            text.into_string()
        };
        let (plain, open) = (Exposition::default(), Exposition::with_exemplars());
        let bucket = "a_bucket{le=\"1\"} 1";
        let id = format!("{:0>32}", "ab");
        let with = format!("{bucket} # {{trace_id=\"{id}\"}} 0.5 1700000000.042\n");
        assert!(write(plain).contains(&format!("{bucket}\n")));
        let open = write(open);
        assert!(open.contains(&with), "{open}");
        assert!(open.contains("a_bucket{le=\"+Inf\"} 1\n"), "{open}");
    }
}
