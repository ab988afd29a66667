//! Reads the field `process` of a server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::manifest::fields::{Fields, Value};
use crate::manifest::readiness;
use crate::manifest::runtime::{self, Preset};
use crate::manifest::warm_up;
use crate::variables::NONE;
use crate::{
    Env, Listener, ObjectLocation, Origin, ProcessSpec, Readiness, STOP_SIGNALS, Setting, Strategy,
};

/// Default of `drainSeconds`: long enough for long streams, yet finite, so that a hung request
/// ends.
const DRAIN: Duration = Duration::from_secs(3600);
/// Default of `deviceVariable`: the variable that CUDA reads.
const DEVICES: &str = "CUDA_VISIBLE_DEVICES";
/// Largest `limits.openFiles`. The kernel's own limit (`fs.nr_open`) is checked when a replica
/// starts.
const MOST_FILES: u64 = 1 << 30;

/// Smallest `limits.memory`: below it, no program starts.
const LEAST_MEMORY: u64 = 1 << 20;

/// Reads the command; errors are noted.
pub(super) fn read(value: &Value<'_>, place: &ObjectLocation, env: &Env) -> Option<ProcessSpec> {
    let fields = value.fields()?;
    let before = fields.failed();
    let folder = folder_of(&place.file);
    let list = fields.required("command", "a list of words: the program and its arguments");
    let runtime = runtime::read(&fields);
    let preset = Presettable {
        fields: &fields,
        place,
        preset: runtime.unwrap_or(&runtime::NONE),
    };
    let ready = preset.ready();
    let metrics_path = preset.metrics_path();
    let listener = fields.word(
        "listener",
        &[("replica", Listener::Replica), ("any", Listener::Any)],
    );
    let strategy = fields.word(
        "strategy",
        &[("surge", Strategy::Surge), ("recreate", Strategy::Recreate)],
    );
    let drain = preset.read("drainSeconds", read_drain, |_| Some(DRAIN));
    let start = preset.read("startSeconds", Value::seconds_above_zero, |preset| {
        preset.start
    });
    let stop_signal = fields
        .get("stopSignal")
        .map_or(Some("SIGTERM"), |value| read_signal(&value));
    let stop_command = fields.get("stopCommand").map_or_else(
        || Some(Vec::new()),
        |value| read_stop_command(&value, &folder),
    );
    let stop = preset.read("stopSeconds", Value::seconds_above_zero, |preset| {
        preset.stop
    });
    let warm_up = fields
        .get("warmUp")
        .map_or_else(|| Some(Vec::new()), |value| warm_up::read(&value, env));
    let env = fields
        .get("env")
        .map_or_else(|| Some(BTreeMap::new()), |value| read_env(&value));
    let inherit_env = fields
        .get("inheritEnv")
        .map_or_else(|| Some(Vec::new()), |value| read_inherited(&value));
    let cwd = fields.get("cwd").and_then(|value| value.text());
    let user = fields.get("user").and_then(|value| read_user(&value));
    let limits = read_limits(&fields);
    let device_variable = fields
        .get("deviceVariable")
        .map_or_else(|| Some(DEVICES.to_owned()), |value| read_variable(&value));
    let command = list.as_ref().and_then(Value::texts);
    fields.finish();

    let (list, command, env) = (list?, command?, env?);
    let Some(program) = command.first() else {
        list.rule("found an empty list, expected the program and its arguments");
        return None;
    };
    if program.trim().is_empty() {
        list.rule("found an empty first word, expected the program");
    }
    if !command
        .iter()
        .chain(env.values())
        .any(|word| word.contains("{port}"))
    {
        list.rule(
            "found no {port}, expected it in the command or in a value of env: \
             it stands for the port that the replica must listen on",
        );
    }
    let spec = ProcessSpec {
        command: resolved(command, &folder),
        ready: ready?,
        metrics_path: metrics_path?,
        listener: listener?,
        drain: drain?,
        start: start?,
        stop_signal: stop_signal?,
        stop_command: stop_command?,
        stop: stop?,
        warm_up: warm_up?,
        strategy: strategy?,
        env,
        inherit_env: inherit_env?,
        directory: cwd.map_or_else(|| folder.clone(), |cwd| folder.join(cwd)),
        user,
        nice: limits.nice,
        open_files: limits.open_files,
        memory: limits.memory,
        device_variable: device_variable?,
    };
    // Missing fields may be errors too.
    (value.failed() == before).then_some(spec)
}

/// Reads fields for which `runtime` has presets.
struct Presettable<'a> {
    fields: &'a Fields<'a>,
    place: &'a ObjectLocation,
    preset: &'static Preset,
}

impl<'a> Presettable<'a> {
    /// The field `name`, or the preset of the runtime.
    fn read<T: PartialEq>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
        of: impl Fn(&Preset) -> T,
    ) -> Option<Setting<T>> {
        let Some(value) = self.fields.get(name) else {
            let (value, default) = (of(self.preset), of(&runtime::NONE));
            let origin = match value == default {
                true => Origin::Default,
                false => self.preset.origin(),
            };
            return Some(Setting::new(value, origin));
        };
        let place = ObjectLocation {
            line: value.line(),
            ..self.place.clone()
        };
        Some(Setting::new(read(&value)?, Origin::Server(place)))
    }

    fn ready(&self) -> Option<Setting<Readiness>> {
        let path = self.preset.ready;
        let read = |value: &Value<'_>| readiness::read(value, path);
        self.read("ready", read, |preset| Readiness::path(preset.ready))
    }

    fn metrics_path(&self) -> Option<Setting<Option<String>>> {
        self.read("metricsPath", read_metrics_path, |preset| {
            preset.metrics.map(str::to_owned)
        })
    }
}

/// Reads a path, or `none`.
fn read_metrics_path(value: &Value<'_>) -> Option<Option<String>> {
    if value.is(NONE) {
        return Some(None);
    }
    readiness::read_path(value, "a path such as /metrics, or none").map(Some)
}

/// Reads the program that tells a replica to end, and its arguments.
fn read_stop_command(value: &Value<'_>, folder: &Path) -> Option<Vec<String>> {
    let words = value.texts()?;
    if words
        .first()
        .is_none_or(|program| program.trim().is_empty())
    {
        value.wrong("a list of words: the program and its arguments");
        return None;
    }
    Some(resolved(words, folder))
}

/// Reads the name of an environment variable.
fn read_variable(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if text.is_empty() || text.contains(['=', '\0']) {
        value.wrong("the name of an environment variable, such as HIP_VISIBLE_DEVICES");
        return None;
    }
    Some(text)
}

/// Reads seconds, or `none` for no limit.
fn read_drain(value: &Value<'_>) -> Option<Option<Duration>> {
    if value.is(NONE) {
        return Some(None);
    }
    value
        .seconds_or("seconds, such as 0, 0.5 or 60, below 1000000000, or none")
        .map(Some)
}

fn read_signal(value: &Value<'_>) -> Option<&'static str> {
    let text = value.text()?;
    let known = STOP_SIGNALS
        .iter()
        .find(|signal| **signal == text || signal.strip_prefix("SIG") == Some(&text));
    if known.is_none() {
        value.wrong(&format!("one of {}", STOP_SIGNALS.join(", ")));
    }
    known.copied()
}

/// Reads names of variables, or prefixes with `*`.
fn read_inherited(value: &Value<'_>) -> Option<Vec<String>> {
    let items = value.items()?;
    let mut names = Vec::new();
    for item in &items {
        let Some(text) = item.text() else { continue };
        let name = text.strip_suffix('*').unwrap_or(&text);
        if name.contains(['*', '=', '\0']) || text.is_empty() {
            item.wrong("the name of a variable, or the beginning of names and a *, such as AWS_*");
        } else if name.starts_with("TAILBACK_") {
            item.rule(
                "variables that begin with TAILBACK_ are for Tailback alone, and among them are \
                 secrets; set what the command needs in env",
            );
        } else {
            names.push(text);
        }
    }
    (names.len() == items.len()).then_some(names)
}

fn read_user(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if text.is_empty() || text.contains([':', '/', '\n']) {
        value.wrong("the name or number of a user, without a group");
        return None;
    }
    Some(text)
}

/// The settings in `limits`.
#[derive(Default)]
struct ProcessLimits {
    nice: Option<i8>,
    open_files: Option<u64>,
    memory: Option<u64>,
}

/// Reads `limits`: priority, open files and memory.
fn read_limits(fields: &Fields<'_>) -> ProcessLimits {
    let Some(limits) = fields.get("limits").and_then(|value| value.fields()) else {
        return ProcessLimits::default();
    };
    let nice = limits.get("nice").and_then(|value| {
        value.number(
            "a whole number from -20 (first) to 19 (last)",
            |nice: &i8| (-20..=19).contains(nice),
        )
    });
    let files = limits.get("openFiles").and_then(|value| {
        value.number("a whole number from 16 to 1073741824", |files: &u64| {
            (16..=MOST_FILES).contains(files)
        })
    });
    let memory = limits.get("memory").and_then(|value| {
        let bytes = value.bytes()?;
        if bytes < LEAST_MEMORY {
            value.wrong("at least 1Mi");
            return None;
        }
        Some(bytes)
    });
    limits.finish();
    ProcessLimits {
        nice,
        open_files: files,
        memory,
    }
}

/// The absolute folder of the manifest, in which the command runs.
fn folder_of(file: &Path) -> PathBuf {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// The words of a command, with paths beside the manifest made absolute.
fn resolved(words: Vec<String>, folder: &Path) -> Vec<String> {
    let word = |(index, word): (usize, String)| match is_ours(index, &word) {
        true => resolve(folder, &word),
        false => word,
    };
    words.into_iter().enumerate().map(word).collect()
}

/// Whether a word of the command is a path relative to the manifest. The first word, the program,
/// is one if it contains `/`; otherwise it is searched in `PATH`. An argument is one only if it
/// begins with `./` or `../`, because `text/plain` and `s3://bucket` contain slashes too. Other
/// relative arguments work as well, because the command runs in the manifest's folder.
fn is_ours(index: usize, word: &str) -> bool {
    word.starts_with("./")
        || word.starts_with("../")
        || (index == 0 && word.contains('/') && !word.starts_with('/'))
}

fn resolve(directory: &Path, word: &str) -> String {
    // A folder whose name is not UTF-8 cannot be part of a word, so the word stays relative. The
    // command runs in that folder anyway.
    match directory
        .join(word.strip_prefix("./").unwrap_or(word))
        .to_str()
    {
        Some(path) => path.to_owned(),
        None => word.to_owned(),
    }
}

fn read_env(value: &Value<'_>) -> Option<BTreeMap<String, String>> {
    let entries = value.entries()?;
    let mut env = BTreeMap::new();
    for (name, value) in &entries {
        if name.is_empty() || name.contains(['=', '\0']) {
            value.rule("the name of a variable is not empty and has no '=' or NUL in it");
        } else if let Some(text) = value.text() {
            env.insert((*name).to_owned(), text);
        }
    }
    (env.len() == entries.len()).then_some(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_clearly_a_path_beside_the_manifest_is_resolved() {
        for (index, word, expected) in [
            (0, "python3", "python3"),
            (0, "./server.py", "/m/server.py"),
            (0, "bin/server", "/m/bin/server"),
            (0, "/usr/bin/env", "/usr/bin/env"),
            (1, "./a.py", "/m/a.py"),
            (1, "../a.py", "/m/../a.py"),
            (1, "text/plain", "text/plain"),
            (1, "{storageUri}", "{storageUri}"),
            (1, "--dir=./a", "--dir=./a"),
        ] {
            let word = word.to_owned();
            let found = if is_ours(index, &word) {
                resolve(Path::new("/m"), &word)
            } else {
                word.clone()
            };
            assert_eq!(found, expected, "{word}");
        }
    }
}
