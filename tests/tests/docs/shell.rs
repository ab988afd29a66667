//! Commands that a reader copies, run as the reader runs them: block by block in
//! one folder, with the built programs and the tests' Python in `PATH`.

use std::{
    env, fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tailback_tests::{
    eventually, http,
    process::{program, tailback},
    python::root,
};

use crate::{
    page::{Block, Page, pages},
    report,
};

/// What pages say, and what stands for it here.
struct Ports([(&'static str, u16); 2]);

impl Ports {
    fn free() -> Self {
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address").port()
        };
        Self([("127.0.0.1:9000", free()), ("127.0.0.1:9006", free())])
    }

    fn put(&self, text: &str) -> String {
        let put = |text: String, (said, port): &(&str, u16)| {
            text.replace(said, &format!("127.0.0.1:{port}"))
        };
        self.0.iter().fold(text.to_owned(), put)
    }
}

/// Runs until it is dropped, and so does what it starts.
struct Background(std::process::Child);

impl Drop for Background {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.0.id().cast_signed());
        let _ = killpg(group, Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_that_is_marked_to_run_ends_well() {
    let mut wrong = Vec::new();
    for page in pages(&root()) {
        if page.blocks.iter().any(|block| block.is("run"))
            && let Err(error) = follow(&page)
        {
            wrong.push(error);
        }
    }
    report(&wrong);
}

/// Does what the page says.
fn follow(page: &Page) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, ports) = (folder.path(), Ports::free());
    let mut background = Vec::new();
    for block in &page.blocks {
        let text = ports.put(&block.text);
        if let Some(name) = block.mark("file") {
            let file = path.join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(file, &text).expect("a file");
        }
        if !block.is("run") {
            continue;
        }
        let mut shell = shell(path, &ports, &text);
        if block.is("background") {
            let child = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            background.push(Background(child.expect("a shell")));
            let admin = ([127, 0, 0, 1], ports.0[1].1).into();
            eventually("tailback serves", || {
                http::call(admin, "GET", "/readyz", b"").is_ok()
            });
            continue;
        }
        let output = shell.output().expect("a shell");
        if !output.status.success() {
            return Err(said(page, block, &output));
        }
    }
    Ok(())
}

fn shell(folder: &Path, ports: &Ports, text: &str) -> Command {
    let tailback_path = program("tailback").expect("it is built");
    let sample = program("examples/sample-server").expect("it is built");
    let ours = [
        tailback_path.parent().expect("a folder").to_owned(),
        sample.parent().expect("a folder").to_owned(),
        root().join("target/venv/bin"),
    ];
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths(ours.into_iter().chain(env::split_paths(&path)));
    let mut command = Command::new("bash");
    // As clean as for any other start of it.
    for (name, value) in tailback().get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    command
        .args(["-euo", "pipefail", "-c", text])
        .current_dir(folder)
        .env("PATH", path.expect("a path"))
        .env("REPOSITORY", root())
        .env("TAILBACK_LISTEN", format!("127.0.0.1:{}", ports.0[0].1))
        .env("TAILBACK_ADMIN", format!("127.0.0.1:{}", ports.0[1].1))
        .stdin(Stdio::null())
        .process_group(0);
    command
}

fn said(page: &Page, block: &Block, output: &Output) -> String {
    format!(
        "{}:{}: {}\n{}{}",
        page.path.display(),
        block.line,
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
