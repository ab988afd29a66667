//! The variables of OpenTelemetry's specification. A variable for traces alone wins over the one for
//! all signals.

use std::{path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;

use super::{Reader, within};
use crate::variables::{OPENTELEMETRY, Variable};
use crate::{OtlpProtocol, Sampler, Traces};

const URL: &str = "a URL such as http://localhost:4317";
const FILE: &str = "the path of a PEM file of certificates";
const PAIRS: &str = "pairs such as key1=value1,key2=value2";
const MILLISECONDS: &str = "milliseconds, a whole number from 1";
const COUNT: &str = "a whole number from 1 to 1000000";
/// Most requests that may wait for their export: room for all of them is made at the start.
const MOST_QUEUED: usize = 1_000_000;
/// Where a collector takes traces by HTTP.
const PATH: &str = "v1/traces";

impl Reader<'_> {
    /// `Some(None)`: traces are off.
    pub(super) fn traces(&mut self) -> Option<Option<Traces>> {
        // Where nothing is exported, the other variables may be there for other programs.
        if !self.has_endpoint()
            || self.value("OTEL_SDK_DISABLED", flag, "true or false")?
            || !self.value("OTEL_TRACES_EXPORTER", exporter, "otlp or none")?
        {
            return Some(None);
        }
        let general = self.optional("OTEL_EXPORTER_OTLP_ENDPOINT", url, URL);
        let own = self.optional("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url, URL);
        let expected = "grpc or http/protobuf";
        let protocol = self.value("OTEL_EXPORTER_OTLP_PROTOCOL", protocol, expected);
        let own_protocol = self.optional(
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            self::protocol,
            expected,
        );
        let headers = self.secret("OTEL_EXPORTER_OTLP_HEADERS", pairs, PAIRS);
        let own_headers = self.secret("OTEL_EXPORTER_OTLP_TRACES_HEADERS", pairs, PAIRS);
        let ca = self.optional("OTEL_EXPORTER_OTLP_CERTIFICATE", file, FILE);
        let own_ca = self.optional("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", file, FILE);
        let timeout = self.value("OTEL_EXPORTER_OTLP_TIMEOUT", milliseconds, MILLISECONDS);
        let own_timeout = self.optional(
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            milliseconds,
            MILLISECONDS,
        );
        let name = self.optional("OTEL_SERVICE_NAME", text, "a name");
        let resource = self.optional("OTEL_RESOURCE_ATTRIBUTES", pairs, PAIRS);
        let sampler = self.sampler();
        let queue = self.value("OTEL_BSP_MAX_QUEUE_SIZE", within(1, MOST_QUEUED), COUNT);
        let batch = self.value(
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
            within(1, MOST_QUEUED),
            COUNT,
        );
        let delay = self.value("OTEL_BSP_SCHEDULE_DELAY", milliseconds, MILLISECONDS);
        let protocol = own_protocol.or(protocol)?;
        // The endpoint is missing only if it is wrong, and that error has been noted.
        let Some(endpoint) = own.or_else(|| general.map(|url| below(&url, protocol))) else {
            return Some(None);
        };
        let mut resource = resource.unwrap_or_default();
        let named = resource.iter().position(|(key, _)| key == "service.name");
        let named = named.map(|at| resource.remove(at).1);
        Some(Some(Traces {
            endpoint,
            protocol,
            headers: own_headers.or(headers).unwrap_or_default(),
            ca: own_ca.or(ca),
            timeout: own_timeout.or(timeout)?,
            service_name: name.or(named).unwrap_or_else(|| "tailback".to_owned()),
            resource,
            sampler: sampler?,
            queue: queue?,
            batch: batch?,
            delay: delay?,
        }))
    }

    /// Whether a variable says where traces are sent.
    fn has_endpoint(&self) -> bool {
        let endpoints = [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ];
        let texts = endpoints.iter().filter_map(|name| self.env.get(name));
        texts.into_iter().any(|text| !text.trim().is_empty())
    }

    /// The variables with their values. Header fields may be secrets.
    pub(super) fn opentelemetry(&self) -> Vec<(&'static str, String)> {
        let shown = |variable: &Variable| {
            let text = self.env.get(variable.name).map(str::trim);
            let shown = match text.filter(|text| !text.is_empty()) {
                None => variable.default,
                Some(_) if variable.name.ends_with("_HEADERS") => "set",
                Some(text) => text,
            };
            (variable.name, shown.to_owned())
        };
        OPENTELEMETRY.iter().map(shown).collect()
    }

    fn sampler(&mut self) -> Option<Sampler> {
        let sampler = self.value(
            "OTEL_TRACES_SAMPLER",
            sampler,
            "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or parentbased_traceidratio",
        );
        let ratio = self.value("OTEL_TRACES_SAMPLER_ARG", ratio, "a number from 0 to 1");
        let (is_parent_based, root) = sampler?;
        Some(Sampler {
            is_parent_based,
            ratio: match root {
                Root::On => 1.0,
                Root::Off => 0.0,
                Root::Ratio => ratio?,
            },
        })
    }
}

/// Whether a request is recorded whose caller has made no sampling decision.
enum Root {
    On,
    Off,
    Ratio,
}

fn sampler(text: &str) -> Option<(bool, Root)> {
    let (is_parent_based, root) = match text.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, text),
    };
    let root = match root {
        "always_on" => Root::On,
        "always_off" => Root::Off,
        "traceidratio" => Root::Ratio,
        _ => return None,
    };
    Some((is_parent_based, root))
}

fn ratio(text: &str) -> Option<f64> {
    let ratio = text.parse().ok()?;
    (0.0..=1.0).contains(&ratio).then_some(ratio)
}

fn flag(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word))
        .map(|(_, flag)| flag)
}

fn exporter(text: &str) -> Option<bool> {
    [("otlp", true), ("none", false)]
        .into_iter()
        .find(|(word, _)| text.eq_ignore_ascii_case(word))
        .map(|(_, exports)| exports)
}

fn protocol(text: &str) -> Option<OtlpProtocol> {
    [OtlpProtocol::Grpc, OtlpProtocol::Http]
        .into_iter()
        .find(|protocol| protocol.as_str() == text)
}

fn url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    // The endpoint is shown in the log, so it must not contain secrets. These belong in the
    // headers.
    let is_http = is_http && url.username().is_empty() && url.password().is_none();
    is_http.then(|| text.to_owned())
}

/// The URL for traces, which is `PATH` below the URL for all signals.
fn below(url: &str, protocol: OtlpProtocol) -> String {
    match protocol {
        OtlpProtocol::Grpc => url.to_owned(),
        OtlpProtocol::Http => format!("{}/{PATH}", url.trim_end_matches('/')),
    }
}

fn milliseconds(text: &str) -> Option<Duration> {
    let milliseconds: u64 = text.parse().ok()?;
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

fn file(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text))
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Reads `name=value` pairs separated by commas, with percent-encoded values, as in W3C Baggage.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key.to_owned(), value.into_owned()))
    };
    pairs.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Env, Error, environment};

    fn read(variables: &[(&str, &str)]) -> (Option<Traces>, Vec<Error>) {
        let env: Env = variables.iter().copied().collect();
        let mut errors = Vec::new();
        let read = environment::read(&env, &mut errors).unwrap();
        (read.process.traces, errors)
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");

    #[test]
    fn there_are_traces_if_an_endpoint_is_set_and_nothing_switches_them_off() {
        let of = |variables: &[_]| read(variables).0;
        assert_eq!(of(&[]), None);
        for off in [
            ("OTEL_SDK_DISABLED", "True"),
            ("OTEL_TRACES_EXPORTER", "none"),
        ] {
            assert_eq!(of(&[ENDPOINT, off]), None);
        }
        let traces = of(&[ENDPOINT]).unwrap();
        assert_eq!(
            (&*traces.endpoint, &*traces.service_name),
            ("http://c:4317", "tailback")
        );
        assert_eq!(traces.protocol, OtlpProtocol::Grpc);
        assert_eq!(
            traces.sampler,
            Sampler {
                is_parent_based: true,
                ratio: 1.0
            }
        );
    }

    #[test]
    fn variables_of_traces_win_over_those_of_all_signals() {
        let http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        let traces = read(&[ENDPOINT, http]).0.unwrap();
        assert_eq!(traces.endpoint, "http://c:4317/v1/traces");
        let (traces, errors) = read(&[
            ENDPOINT,
            http,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=x%20y, z=1"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/all.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "service.name=mine,k8s.pod.name=p",
            ),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]);
        assert!(errors.is_empty(), "{errors:?}");
        let traces = traces.unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(traces.endpoint, "https://other/x");
        assert_eq!(traces.headers, [pair("api-key", "x y"), pair("z", "1")]);
        assert_eq!(traces.ca, Some("/ca.pem".into()));
        assert_eq!(traces.timeout, Duration::from_secs(1));
        assert_eq!(traces.service_name, "mine");
        assert_eq!(traces.resource, [pair("k8s.pod.name", "p")]);
        assert_eq!(
            traces.sampler,
            Sampler {
                is_parent_based: false,
                ratio: 0.25
            }
        );
    }

    #[test]
    fn wrong_values_are_told_with_what_is_expected_and_without_secrets() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_TRACES_SAMPLER_ARG", "2"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_SDK_DISABLED", "yes"),
            ("OTEL_TRACES_EXPORTER", "console"),
        ] {
            let (_, errors) = read(&[(name, value)]);
            let alone_is_one = name == "OTEL_EXPORTER_OTLP_ENDPOINT";
            assert_eq!(
                errors.is_empty(),
                !alone_is_one,
                "{name}: nothing is traced"
            );
            let endpoint = (!alone_is_one).then_some(ENDPOINT);
            let both: Vec<_> = endpoint.into_iter().chain([(name, value)]).collect();
            let (_, errors) = read(&both);
            let [error] = &errors[..] else {
                panic!("{name}: {errors:?}");
            };
            let text = error.to_string();
            assert!(text.contains(name) && !text.contains("secret"), "{text}");
        }
    }
}
