//! Reads the settings from the variables in [`VARIABLES`].

pub(crate) mod address;
mod cluster;
mod log;
mod model;
mod placement;
mod routing;
mod traces;
mod unknown;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::model::ModelDefaults;
use crate::variables::{SKIP_OTHER_KINDS, VARIABLES, Variable};
use crate::yaml::quote;
use crate::{
    AccessLog, Cors, Env, Error, HalfClose, Limits, ListenerTls, LogFormat, MemoryMax, Origin,
    Process, Setting, Timeouts, TlsVersion, Token, cors, memory_max, number,
};

/// The settings from all variables.
#[derive(Debug)]
pub(crate) struct Environment {
    pub process: Process,
    pub model_defaults: ModelDefaults,
}

/// Reads `env`. A wrong value is added to `errors` and replaced by the default, so that the
/// manifests can be checked too. Returns `None` only if a default in the table is wrong itself.
pub(crate) fn read(env: &Env, errors: &mut Vec<Error>) -> Option<Environment> {
    unknown::note(env, errors);
    let mut vars = Reader {
        env,
        errors,
        set: Vec::new(),
    };
    let model_defaults = vars.model_defaults();
    let process = vars.process(model_defaults.as_ref()?.timeouts.stream_idle.value);
    Some(Environment {
        process: process?,
        model_defaults: model_defaults?,
    })
}

// === reading ===

struct Reader<'a> {
    env: &'a Env,
    errors: &'a mut Vec<Error>,
    /// The variables that were set.
    set: Vec<&'static str>,
}

impl Reader<'_> {
    fn process(&mut self, stream_idle: Duration) -> Option<Process> {
        let listen = self.value("TAILBACK_LISTEN", address::parse, address::EXPECTED);
        let admin = self.value("TAILBACK_ADMIN", address::parse, address::EXPECTED);
        if let (Some(listen), Some(admin)) = (listen, admin)
            && listen == admin
            && listen.port() != 0
        {
            self.wrong(
                "TAILBACK_ADMIN",
                &admin.to_string(),
                "another address than TAILBACK_LISTEN's",
            );
        }
        let admin_token = self.secret(
            "TAILBACK_ADMIN_TOKEN",
            Token::parse,
            "at least 16 visible ASCII characters",
        );
        let path = |text: &str| Some(PathBuf::from(text));
        let api_keys = self.optional("TAILBACK_API_KEYS_FILE", path, "a path");
        let workers = self.optional(
            "TAILBACK_WORKERS",
            within(1, 1024),
            "a whole number from 1 to 1024",
        );
        let log = self.value("TAILBACK_LOG", log::filter, log::EXPECTED);
        let log_format = self.value(LogFormat::VARIABLE, LogFormat::parse, "text or json");
        let access_log = self.optional(
            "TAILBACK_ACCESS_LOG",
            |text| Some(AccessLog::parse(text)),
            "a path, or - for standard output",
        );
        let traces = self.traces();
        let scaling_period = self.period("SELDON_SCALING_STATS_PERIOD_SECONDS");
        let header = self.period("TAILBACK_HEADER_TIMEOUT_SECONDS");
        let keep_alive = self.period("TAILBACK_KEEP_ALIVE_SECONDS");
        let body = self.period("TAILBACK_BODY_TIMEOUT_SECONDS");
        let body_rate = self.value(
            "TAILBACK_BODY_MIN_BYTES_PER_SECOND",
            within(0, 1_000_000_000),
            "a whole number from 0 to 1000000000",
        );
        let half_close = self.value("TAILBACK_HALF_CLOSE", HalfClose::parse, "answer or abort");
        let drain = self.period("TAILBACK_DRAIN_SECONDS");
        let header_bytes = self.value(
            "TAILBACK_HEADER_MAX_BYTES",
            within(8192, 16_777_216),
            "a whole number from 8192 to 16777216",
        );
        let header_fields = self.value(
            "TAILBACK_HEADER_MAX_FIELDS",
            // As many as a map of the crate `http` holds, which other crates get fields in.
            within(1, 24_576),
            "a whole number from 1 to 24576",
        );
        let held_bytes = self.value(
            "TAILBACK_HOLD_MAX_BYTES",
            within(0, usize::MAX),
            "a whole number",
        );
        let memory = self.optional(
            "TAILBACK_MEMORY_MAX",
            MemoryMax::parse,
            memory_max::EXPECTED,
        );
        let tunnel_drain = self.period("TAILBACK_TUNNEL_DRAIN_SECONDS");
        let upgrade_drain = self.period("TAILBACK_UPGRADE_DRAIN_SECONDS");
        let tls = self.tls();
        let cors = self.cors();
        let skip_other_kinds = self.value(SKIP_OTHER_KINDS, parse, "true or false");
        let routing = self.routing();
        let placement = self.placement();
        let cluster_models = self.cluster_models();
        let peers = self.peers();
        let connections = self.optional(
            "TAILBACK_MAX_CONNECTIONS",
            within(1, usize::MAX),
            "a whole number of at least 1",
        );
        Some(Process {
            listen: listen?,
            admin: admin?,
            admin_token,
            api_keys,
            workers: workers.and_then(NonZeroUsize::new).unwrap_or_else(cores),
            log: log?,
            log_format: log_format?,
            access_log,
            traces: traces?,
            opentelemetry: self.opentelemetry(),
            scaling_period: scaling_period?,
            timeouts: Timeouts {
                header: header?,
                keep_alive: keep_alive?,
                body: body?,
                body_rate: body_rate? as u64,
                stream_idle,
                drain: drain?,
                tunnel_drain: tunnel_drain?,
                upgrade_drain: upgrade_drain?,
            },
            limits: Limits {
                header_bytes: header_bytes?,
                header_fields: header_fields?,
                held_bytes: held_bytes?,
                memory: memory.unwrap_or(MemoryMax::ControlGroup),
                connections,
            },
            half_close: half_close?,
            tls: tls?,
            cors: cors?,
            skip_other_kinds: skip_other_kinds?,
            routing: routing?,
            placement: placement?,
            cluster_models: cluster_models?,
            peers: peers?,
            set: self.set.iter().map(|name| self.env.origin(name)).collect(),
        })
    }

    /// Reads the `TAILBACK_CORS_…` variables.
    fn cors(&mut self) -> Option<Option<Cors>> {
        let origins = self.optional(
            "TAILBACK_CORS_ORIGINS",
            cors::origins,
            "*, or origins such as https://chat.example.org or http://localhost:3000, separated by commas",
        );
        let methods = self.value(
            "TAILBACK_CORS_METHODS",
            cors::methods,
            "methods such as GET, POST",
        );
        let headers = self.value(
            "TAILBACK_CORS_HEADERS",
            cors::headers,
            "*, or names of header fields, separated by commas",
        );
        let max_age = self.value("TAILBACK_CORS_MAX_AGE_SECONDS", number::seconds, SECONDS);
        let (methods, headers, max_age) = (methods?, headers?, max_age?);
        Some(origins.map(|origins| Cors {
            origins,
            methods,
            headers,
            max_age,
        }))
    }

    /// Reads the `TAILBACK_TLS_…` variables.
    fn tls(&mut self) -> Option<Option<ListenerTls>> {
        let path = |text: &str| Some(PathBuf::from(text));
        let cert = self.optional("TAILBACK_TLS_CERT", path, "a path");
        let key = self.optional("TAILBACK_TLS_KEY", path, "a path");
        let client_ca = self.optional("TAILBACK_TLS_CLIENT_CA", path, "a path");
        let min_version = self.value("TAILBACK_TLS_MIN_VERSION", tls_version, "1.2 or 1.3")?;
        match (cert, key) {
            (Some(cert), Some(key)) => {
                return Some(Some(ListenerTls {
                    cert,
                    key,
                    client_ca,
                    min_version,
                }));
            }
            (Some(_), None) => self.lacks("TAILBACK_TLS_KEY", "a path", "TAILBACK_TLS_CERT"),
            (None, Some(_)) => self.lacks("TAILBACK_TLS_CERT", "a path", "TAILBACK_TLS_KEY"),
            // Without a certificate they have no effect, and the listener would silently be in
            // clear text.
            (None, None) => {
                for other in ["TAILBACK_TLS_CLIENT_CA", "TAILBACK_TLS_MIN_VERSION"] {
                    if self.set.contains(&other) {
                        self.lacks("TAILBACK_TLS_CERT", "a path", other);
                    }
                }
            }
        }
        Some(None)
    }

    /// The table's entry of a variable, and the variable's value if it is set.
    fn look_up(&mut self, name: &str) -> Option<(&'static Variable, Option<String>)> {
        let variable = VARIABLES.iter().find(|variable| variable.name == name)?;
        let text = self
            .env
            .get(name)
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned);
        if text.is_some() {
            self.set.push(variable.name);
        }
        Some((variable, text))
    }

    fn wrong(&mut self, name: &'static str, found: &str, expected: &str) {
        self.wrong_shown(name, quote(found), expected);
    }

    /// Notes that `name` is not set, and must be because `other` is.
    fn lacks(&mut self, name: &'static str, expected: &str, other: &str) {
        let expected = format!("{expected}, as {other} is set");
        self.wrong_shown(name, "nothing".to_owned(), &expected);
    }

    fn wrong_shown(&mut self, name: &'static str, found: String, expected: &str) {
        self.errors.push(Error::Variable {
            origin: self.env.origin(name),
            found,
            expected: expected.to_owned(),
        });
    }

    /// The value of a variable, or its default. A wrong value is noted and replaced by the
    /// default.
    fn setting<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Option<Setting<T>> {
        let (variable, text) = self.look_up(name)?;
        if let Some(text) = text {
            match parse(&text) {
                Some(value) => {
                    return Some(Setting::new(value, self.env.origin(variable.name)));
                }
                None => self.wrong(variable.name, &text, expected),
            }
        }
        parse(variable.default).map(|value| Setting::new(value, Origin::Default))
    }

    fn value<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        self.setting(name, parse, expected)
            .map(|setting| setting.value)
    }

    fn period(&mut self, name: &'static str) -> Option<Duration> {
        self.value(name, above_zero, ABOVE_ZERO)
    }

    /// As [`optional`](Self::optional), for a secret: an error does not show the value.
    fn secret<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        let hidden = |text: &str| format!("{} characters", text.chars().count());
        self.shown(name, parse, expected, hidden)
    }

    /// The value of a variable without a default in the table; `None`: not set.
    fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        self.shown(name, parse, expected, quote)
    }

    /// The value of a variable. An error shows a wrong value in the form that `show` gives it.
    fn shown<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        expected: &str,
        show: impl Fn(&str) -> String,
    ) -> Option<T> {
        let (variable, text) = self.look_up(name)?;
        let text = text?;
        let value = parse(&text);
        if value.is_none() {
            self.wrong_shown(variable.name, show(&text), expected);
        }
        value
    }
}

const FROM_ZERO: &str = "a whole number from 0 to 4294967295";
const FROM_ONE: &str = "a whole number from 1 to 4294967295";
const SECONDS: &str = "seconds, such as 0, 0.5 or 60, below 1000000000";
const ABOVE_ZERO: &str = "seconds above 0, such as 0.5 or 60, below 1000000000";

fn parse<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn above_zero(text: &str) -> Option<Duration> {
    number::seconds(text).filter(|seconds| !seconds.is_zero())
}

fn within(min: usize, max: usize) -> impl Fn(&str) -> Option<usize> {
    move |text| {
        text.parse()
            .ok()
            .filter(|number| (min..=max).contains(number))
    }
}

fn tls_version(text: &str) -> Option<TlsVersion> {
    [TlsVersion::V12, TlsVersion::V13]
        .into_iter()
        .find(|version| version.as_str() == text)
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests;
