//! The NVIDIA devices of this machine, as the driver's program `nvidia-smi` lists them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::Device;

const PROGRAM: &str = "nvidia-smi";
/// The fields to ask for (source: `nvidia-smi --help-query-gpu`). Memory is in MiB.
const QUERY: [&str; 2] = [
    "--query-gpu=index,uuid,memory.total",
    "--format=csv,noheader,nounits",
];
const MIB: u64 = 1024 * 1024;
/// How long `nvidia-smi` may take. It loads the driver if nothing else has.
const LIMIT: Duration = Duration::from_secs(30);
/// How often Tailback checks whether `nvidia-smi` has ended.
const POLL: Duration = Duration::from_millis(5);
/// Most bytes that are read of its output.
const LONGEST: u64 = 1024 * 1024;

/// The path of `nvidia-smi`, and the devices that it has listed. It runs once: it may take
/// seconds, and devices do not come and go.
static LISTED: Mutex<Option<(PathBuf, Vec<Device>)>> = Mutex::new(None);

/// The devices of this machine, each named by its UUID; `None`: `nvidia-smi` is in no folder of
/// `path`, the value of `PATH`.
///
/// # Errors
/// If the program fails, takes too long, or prints something else.
pub(crate) fn devices(path: &str) -> Result<Option<Vec<Device>>, String> {
    let Some(program) = find(path) else {
        return Ok(None);
    };
    let mut listed = LISTED.lock().unwrap_or_else(|e| e.into_inner());
    if let Some((known, devices)) = &*listed
        && *known == program
    {
        return Ok(Some(devices.clone()));
    }
    let devices = list(&program, LIMIT)?;
    *listed = Some((program, devices.clone()));
    Ok(Some(devices))
}

fn list(program: &Path, limit: Duration) -> Result<Vec<Device>, String> {
    let listed = output(program, limit).and_then(|text| parse(&text));
    let shown = program.display();
    listed.map_err(|why| format!("{shown}, which lists the machine's devices, {why}"))
}

fn find(path: &str) -> Option<PathBuf> {
    let mut folders = std::env::split_paths(path);
    // An empty entry of `PATH` means the current folder, where the driver's program is not.
    folders.find_map(|folder| {
        let program = folder.join(PROGRAM);
        (folder.is_absolute() && program.is_file()).then_some(program)
    })
}

fn output(program: &Path, limit: Duration) -> Result<String, String> {
    let until = Instant::now() + limit;
    let mut child = Command::new(program)
        .args(QUERY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let ended = ended(&mut child, until);
    if !matches!(ended, Ok(true)) {
        // It fails only if the program has ended since. A program that hangs in the driver ends
        // when the driver returns.
        let _ = child.kill();
        thread::spawn(move || child.wait());
        return Err(match ended {
            Err(error) => format!("cannot be waited for: {error}"),
            Ok(_) => format!("did not end within {} s", limit.as_secs()),
        });
    }
    let text = printed(&mut child, until)?;
    match child.wait() {
        Ok(status) if status.success() => Ok(text),
        Ok(status) => Err(format!("failed with {status}: {}", first_line(&text))),
        Err(error) => Err(format!("cannot be waited for: {error}")),
    }
}

/// Whether the program ends before `until`. Its output fits into the pipe, so it need not be read
/// meanwhile.
fn ended(child: &mut Child, until: Instant) -> std::io::Result<bool> {
    while child.try_wait()?.is_none() {
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
    Ok(true)
}

/// The program's output. It is read on a thread of its own, because a child of the program may
/// keep the pipe open.
fn printed(child: &mut Child, until: Instant) -> Result<String, String> {
    let Some(stdout) = child.stdout.take() else {
        return Ok(String::new());
    };
    let (sent, received) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.take(LONGEST).read_to_string(&mut text);
        // It fails only if the receiver has given up.
        let _ = sent.send(read.map(|_| text));
    });
    match received.recv_timeout(until.saturating_duration_since(Instant::now())) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(format!("printed what cannot be read: {error}")),
        Err(_) => Err("has left its output open".to_owned()),
    }
}

/// Reads lines such as `0, GPU-8f5b…, 24564`.
fn parse(text: &str) -> Result<Vec<Device>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| device(line).ok_or_else(|| wrong(line)))
        .collect()
}

fn device(line: &str) -> Option<Device> {
    let mut fields = line.split(',').map(str::trim);
    let (_index, uuid, memory) = (fields.next()?, fields.next()?, fields.next()?);
    let is_uuid = uuid.starts_with("GPU-") || uuid.starts_with("MIG-");
    if fields.next().is_some() || !is_uuid {
        return None;
    }
    Some(Device {
        name: uuid.to_owned(),
        memory: memory.parse::<u64>().ok()?.checked_mul(MIB)?,
    })
}

fn wrong(line: &str) -> String {
    format!(
        "printed {:?}, expected an index, a UUID and MiB of memory",
        first_line(line)
    )
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The devices that are found if `nvidia-smi` is this shell script.
    fn found(script: &str, limit: Duration) -> Result<Vec<Device>, String> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(PROGRAM);
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        list(&program, limit)
    }

    #[test]
    fn each_line_is_a_device_with_its_uuid_and_its_memory() {
        let script = r#"[ "$*" = "--query-gpu=index,uuid,memory.total --format=csv,noheader,nounits" ] || exit 3
            echo "0, GPU-8f5b9c1e-0d6b-2f4a-9d3e-7a1c5e0b2d11, 24564"
            echo "1, GPU-11111111-2222-3333-4444-555555555555, 81559""#;
        let devices = found(script, LIMIT).unwrap();
        let device = |name: &str, mib: u64| Device {
            name: name.to_owned(),
            memory: mib * MIB,
        };
        let expected = [
            device("GPU-8f5b9c1e-0d6b-2f4a-9d3e-7a1c5e0b2d11", 24564),
            device("GPU-11111111-2222-3333-4444-555555555555", 81559),
        ];
        assert_eq!(devices, expected);
    }

    #[test]
    fn where_there_is_no_such_program_nothing_is_known() {
        assert_eq!(devices(""), Ok(None));
        assert_eq!(devices("/nowhere/at/all"), Ok(None));
    }

    #[test]
    fn what_the_program_says_instead_is_shown() {
        for (script, expected) in [
            (
                "echo NVIDIA-SMI has failed because it could not communicate with the driver; exit 9",
                "could not communicate with the driver",
            ),
            (
                "echo 0, GPU-1, '[N/A]'",
                "expected an index, a UUID and MiB",
            ),
            ("echo No devices were found", "No devices were found"),
            ("echo 0, GPU-1, 18446744073709551615", "expected an index"),
        ] {
            let why = found(script, LIMIT).unwrap_err();
            assert!(why.contains(expected), "{script}: {why}");
        }
    }

    #[test]
    fn a_program_that_does_not_end_is_given_up() {
        let why = found("exec sleep 60", Duration::from_millis(50)).unwrap_err();
        assert!(why.contains("did not end"), "{why}");
        let why = found("sleep 5 & exit 0", Duration::from_millis(500)).unwrap_err();
        assert!(
            why.contains("output open") || why.contains("did not end"),
            "{why}"
        );
    }
}
