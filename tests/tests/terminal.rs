//! `tailback status`, `decisions` and `top`: what runs, seen from a terminal.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Output, Stdio},
    thread,
};

use serde_json::Value;
use tailback_tests::{
    eventually, http,
    process::{Tailback, tailback},
};

const BODY: &[u8] = include_bytes!("../../examples/infer.json");

const MODELS: &str = "\
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: s }
spec:
  process: { command: [sample-server, --port, '{port}', --model, '{model}'] }
---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: broken }
spec:
  process: { command: [/no/such/program, '{port}'] }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: steady }
spec: { server: s, minReplicas: 1, aliases: [other] }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: Qwen/Qwen2.5-7B }
spec: { server: broken, minReplicas: 0 }
";

/// A terminal of 80 times 24: prints what is drawn until all of the words in its arguments have
/// been there, presses `q` or sends the signal that is named, and ends as `tailback top` does.
const TERMINAL: &str = r#"
import fcntl, os, pty, re, select, signal, struct, sys, termios
program, admin, end, *words = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm-256color"
    os.execv(program, [program, "top", "--admin", admin])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
drawn, asked = "", False
while True:
    if not select.select([terminal], [], [], 60)[0]:
        sys.exit(f"nothing more is drawn, and there was no {words}")
    try:
        piece = os.read(terminal, 65536)
    except OSError:
        break
    if not piece:
        break
    drawn += piece.decode(errors="replace")
    # What lies between two words is moves of the cursor and colours.
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", drawn)
    words = [word for word in words if word not in plain]
    if not words and not asked:
        asked = True
        if end == "q":
            os.write(terminal, b"q")
        else:
            os.kill(pid, getattr(signal, end))
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
if words:
    sys.exit(f"it ended with {status} before it drew {words}: {drawn}")
# The screen from before is back.
assert "\x1b[?1049l" in drawn, drawn
# What a signal has ended says so.
assert (status == 0) == (end == "q"), status
sys.exit(0 if end != "q" else status)
"#;

fn run(proxy: &Tailback, arguments: &[&str]) -> Output {
    let mut command = tailback();
    command.args(arguments);
    command.args(["--admin", &proxy.admin.to_string()]);
    command.output().unwrap()
}

/// What it prints; or, if it fails, what it says.
fn text(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// One model that is ready, and one that fails with a held request.
fn served() -> Tailback {
    let proxy = Tailback::start(MODELS, &[]);
    eventually("the replica", || proxy.ready("steady") == 1);
    let answer = http::call(proxy.address, "POST", "/v2/models/steady/infer", BODY);
    assert_eq!(answer.unwrap().status, 200);
    let address = proxy.address;
    let path = "/v2/models/Qwen%2FQwen2.5-7B/infer";
    thread::spawn(move || drop(http::call(address, "POST", path, BODY)));
    eventually("the failure", || {
        let page = proxy.page("/models/Qwen%2FQwen2.5-7B");
        page["held"] == 1 && page["replicas"]["failure"].is_string()
    });
    proxy
}

#[test]
fn the_models_one_of_them_and_the_decisions_are_shown() {
    let proxy = served();
    let shown = |arguments: &[&str]| text(&run(&proxy, arguments)).unwrap();
    let all = shown(&["status"]);
    let line = |name: &str| {
        let line = all.lines().find(|line| line.starts_with(name));
        let words = line.unwrap_or_else(|| panic!("{name} in {all}"));
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("MODEL"), "MODEL STATE LAG HELD REPLICAS WHY");
    assert!(line("steady").starts_with("steady ready 0 0 1/1 "), "{all}");
    let broken = line("Qwen");
    assert!(
        broken.starts_with("Qwen/Qwen2.5-7B failing 1 1 0/1"),
        "{all}"
    );
    assert!(broken.contains("there is no such file"), "{all}");

    let one = shown(&["status", "other"]);
    assert!(one.starts_with("steady on server s: ready\n"), "{one}");
    let replica = one.lines().find(|line| line.starts_with("steady-0"));
    assert!(
        replica.is_some_and(|line| line.contains("healthy")),
        "{one}"
    );
    let broken = shown(&["status", "Qwen/Qwen2.5-7B"]);
    assert!(broken.contains("\nfailure "), "{broken}");

    let json = |arguments: &[&str]| serde_json::from_str::<Value>(&shown(arguments)).unwrap();
    assert_eq!(json(&["status", "--json"])["models"][1]["name"], "steady");
    assert_eq!(json(&["status", "other", "--json"])["name"], "steady");

    let decisions = shown(&["decisions"]);
    assert!(decisions.starts_with("TIME "), "{decisions}");
    assert!(
        decisions.contains(" Qwen/Qwen2.5-7B  0 → 1 "),
        "{decisions}"
    );
    let of_one = shown(&["decisions", "Qwen/Qwen2.5-7B", "--json"]);
    let decisions: Vec<Value> = of_one
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let times = decisions.iter().map(|one| one["time"].as_f64());
    assert!(times.is_sorted() && !decisions.is_empty());
    assert!(
        decisions
            .iter()
            .all(|one| one["model"] == "Qwen/Qwen2.5-7B")
    );
    let none = shown(&["decisions", "nobody"]);
    assert!(none.starts_with("no decision for \"nobody\""), "{none}");
}

#[test]
fn programs_get_what_top_shows_as_lines_of_json() {
    let proxy = served();
    let mut top = tailback()
        .args(["top", "--json", "--admin", &proxy.admin.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(top.stdout.take().unwrap()).lines();
    let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut of = |kind: &str| lines.find_map(|line| line.get(kind).cloned()).unwrap();
    assert_eq!(of("proxy")["draining"], false);
    assert_eq!(of("decisions")[0]["model"], "Qwen/Qwen2.5-7B");
    assert_eq!(of("models")["steady"]["ready"], 1);
    drop(proxy);
    let ended = top.wait_with_output().unwrap();
    assert!(
        text(&ended).unwrap_err().starts_with("tailback: "),
        "{ended:?}"
    );
}

#[test]
fn what_cannot_be_shown_is_told() {
    let proxy = Tailback::start(MODELS, &[]);
    let told = |arguments: &[&str]| text(&run(&proxy, arguments)).unwrap_err();
    let unknown = told(&["status", "nobody"]);
    assert!(
        unknown.starts_with("tailback: ") && unknown.contains("nobody"),
        "{unknown}"
    );
    let no_terminal = told(&["top"]);
    assert!(
        no_terminal.contains("use `tailback status`"),
        "{no_terminal}"
    );
    let admin = proxy.admin.to_string();
    drop(proxy);
    for command in ["status", "decisions"] {
        let output = tailback().args([command, "--admin", &admin]).output();
        let why = text(&output.unwrap()).unwrap_err();
        assert!(why.contains("does not answer"), "{why}");
    }
}

#[test]
fn top_draws_on_a_terminal_until_it_is_told_to_quit_and_gives_it_back() {
    let proxy = served();
    let program = tailback().get_program().to_owned();
    for end in ["q", "SIGTERM", "SIGHUP"] {
        let output = Command::new("python3")
            .args(["-c", TERMINAL])
            .arg(&program)
            .args([&proxy.admin.to_string(), end])
            .args([
                "MODEL",
                "failing",
                "steady",
                "there is no such file",
                "0 → 1",
            ])
            .output()
            .unwrap();
        assert_eq!(text(&output).map(drop), Ok(()), "{end}");
    }
}
