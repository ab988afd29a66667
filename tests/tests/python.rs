//! A real client and a real model server that others wrote. `make test` installs
//! them into a virtual environment first.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use tailback_tests::process::Tailback;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The environment's program of this name.
fn program(name: &str) -> PathBuf {
    let program = root().join("target/venv/bin").join(name);
    assert!(program.exists(), "first: scripts/setup tests");
    program
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn triton_client_speaks_to_the_sample_server_through_the_proxy() {
    let proxy = Tailback::start_path(root().join("examples/simple.yaml"), &[]);
    let script = root().join("tests/python/triton_client.py");
    run(Command::new(program("python"))
        .arg(script)
        .arg(proxy.address.to_string())
        .arg("tfsimple"));
    assert_eq!(proxy.model("tfsimple")["inFlight"], 0);
    assert!(proxy.outcome("tfsimple", "success") >= 140);
}

#[test]
fn mlserver_is_run_and_reached_as_the_example_says() {
    run(Command::new(program("python")).arg(root().join("examples/mlserver/train.py")));
    let folder = program("mlserver").parent().unwrap().to_owned();
    let path = env::join_paths(
        [folder]
            .into_iter()
            .chain(env::split_paths(&env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let proxy = Tailback::start_path(
        root().join("examples/mlserver/mlserver.yaml"),
        &[
            ("PATH", path.to_str().unwrap()),
            ("TAILBACK_HOLD_SECONDS", "120"),
        ],
    );
    let script = root().join("tests/python/mlserver_client.py");
    run(Command::new(program("python"))
        .arg(script)
        .arg(proxy.address.to_string()));
    assert_eq!(proxy.outcome("iris", "success"), 3);
    assert_eq!(proxy.model("iris")["inFlight"], 0);
}
