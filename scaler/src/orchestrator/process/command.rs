//! A replica's command line: placeholders filled in, checked before it is run.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use tailback_config::{Filling, Model, ProcessSpec};
use tokio::process::Command;

use crate::replica::Devices;

use super::{
    environment::inherited,
    host::Host,
    supervisor::{Launch, SupervisorRole},
    user::User,
};

/// The supervisor's command, without inputs and outputs, and what the supervisor is to launch.
///
/// # Errors
/// A sentence, if the program cannot be found.
pub(super) fn command(
    host: &Host,
    replica: &str,
    model: &Model,
    spec: &ProcessSpec,
    (port, grpc_port): (u16, u16),
    (index, devices): (u64, &Devices),
) -> Result<(Command, Launch), String> {
    let device = devices.join(",");
    let with = Filling {
        port,
        grpc_port,
        model: &model.name,
        device: &device,
        index,
        storage_uri: model.storage_uri.as_deref().unwrap_or_default(),
    };
    let fill = |word: &String| ProcessSpec::fill(word, &with);
    let words: Vec<String> = spec.command.iter().map(fill).collect();
    let program = words.first().ok_or("the command is empty")?;
    if !spec.directory.is_dir() {
        return Err(format!(
            "cannot run in {}: there is no such folder; make it, or set cwd to another",
            spec.directory.display()
        ));
    }
    find(program, &spec.directory)?;
    let stop_command: Vec<String> = spec.stop_command.iter().map(fill).collect();
    if let Some(program) = stop_command.first() {
        find(program, &spec.directory).map_err(|why| format!("stopCommand: {why}"))?;
    }
    let user = spec.user.as_deref().map(User::find).transpose()?;
    let mut launch = Launch {
        role: SupervisorRole::Outer,
        replica: replica.to_owned(),
        command: words,
        cgroup: None,
        mark: None,
        stop_signal: spec.stop_signal.to_owned(),
        stop_command,
        user: user.clone(),
        nice: spec.nice,
        open_files: spec.open_files,
    };
    let mut command = host.supervisor(&mut launch, spec.memory)?;
    command
        .env_clear()
        .envs(inherited(&spec.inherit_env))
        .envs(user.iter().flat_map(User::environment))
        .envs((!devices.is_empty()).then_some((&spec.device_variable, &device)))
        .envs(spec.env.iter().map(|(name, value)| (name, fill(value))))
        .current_dir(&spec.directory);
    // A process group of its own, so that Ctrl-C in a terminal reaches the proxy alone, which
    // drains before it stops its replicas.
    command.process_group(0);
    Ok((command, launch))
}

/// Whether `program` can be run: a path, or a name in `PATH`.
fn find(program: &str, directory: &Path) -> Result<PathBuf, String> {
    if program.contains('/') {
        let path = directory.join(program);
        return if is_executable(&path) {
            Ok(path)
        } else if path.exists() {
            Err(format!(
                "cannot run {}: it is not an executable file",
                path.display()
            ))
        } else {
            Err(format!(
                "cannot run {}: there is no such file",
                path.display()
            ))
        };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| {
            format!("cannot run {program}: no such program in PATH; install it, or give its path in the manifest")
        })
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_programs_by_name_and_path_or_says_what_is_missing() {
        let here = Path::new("/");
        assert!(find("sh", here).is_ok());
        assert!(find("bin/sh", here).is_ok());
        let missing = find("no-such-model-server", here).unwrap_err();
        assert!(
            missing.contains("no-such-model-server") && missing.contains("PATH"),
            "{missing}"
        );
        let not_executable = find("/etc/passwd", here).unwrap_err();
        assert!(
            not_executable.contains("not an executable"),
            "{not_executable}"
        );
    }
}
