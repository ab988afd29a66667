//! `process` of a server: the command that is one replica.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::manifest::fields::Value;
use crate::{ObjectLocation, ProcessSpec};

const READY: &str = "/v2/health/ready";
const DRAIN: Duration = Duration::from_secs(30);
const START: Duration = Duration::from_secs(300);

/// The command that `value` describes; what is wrong with it is noted.
pub(super) fn read(value: &Value<'_>, place: &ObjectLocation) -> Option<ProcessSpec> {
    let fields = value.fields()?;
    let directory = folder_of(&place.file);
    let list = fields.required("command", "a list of words: the program and its arguments");
    let ready = fields
        .get("ready")
        .map_or_else(|| Some(READY.to_owned()), |value| read_path(&value));
    let drain = fields
        .get("drainSeconds")
        .map_or(Some(DRAIN), |value| value.seconds());
    let start = fields
        .get("startSeconds")
        .map_or(Some(START), |value| value.seconds_above_zero());
    let env = fields
        .get("env")
        .map_or_else(|| Some(BTreeMap::new()), |value| read_env(&value));
    fields.finish();

    let command = list.as_ref().and_then(Value::texts);
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
    let command = command
        .into_iter()
        .enumerate()
        .map(|(index, word)| {
            if is_ours(index, &word) {
                resolve(&directory, &word)
            } else {
                word
            }
        })
        .collect();
    Some(ProcessSpec {
        command,
        ready: ready?,
        drain: drain?,
        start: start?,
        env,
        directory,
    })
}

/// The folder of the manifest, absolute: the command runs in it, whoever changes into what.
fn folder_of(file: &Path) -> PathBuf {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

/// Whether a word is a path beside the manifest. The program is, if it has a `/` (without one it
/// is looked up in `PATH`); an argument only with `./` or `../` in front, as `text/plain` and
/// `s3://bucket` have slashes too. Any other relative argument finds its file as well, as the
/// command runs in that folder.
fn is_ours(index: usize, word: &str) -> bool {
    word.starts_with("./")
        || word.starts_with("../")
        || (index == 0 && word.contains('/') && !word.starts_with('/'))
}

fn resolve(directory: &Path, word: &str) -> String {
    // A folder whose name is not UTF-8 stays out: the command runs in it in any case.
    match directory
        .join(word.strip_prefix("./").unwrap_or(word))
        .to_str()
    {
        Some(path) => path.to_owned(),
        None => word.to_owned(),
    }
}

/// A path of an HTTP request.
fn read_path(value: &Value<'_>) -> Option<String> {
    let path = value.text()?;
    if path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return Some(path);
    }
    value.wrong("a path such as /v2/health/ready");
    None
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
