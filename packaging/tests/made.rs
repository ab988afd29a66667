//! What is made is what the program says.

use std::{fs, path::Path, process::Command};

use tailback_packaging::{completions, manual, page};

#[test]
fn the_page_of_the_documentation_is_what_help_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/command-line.md");
    let found = fs::read_to_string(&file).unwrap();
    let expected = page();
    let differ = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        found == expected,
        "{}: make command-line writes it anew; the first line that differs: {differ:?}",
        file.display()
    );
}

#[test]
fn completions_and_manual_pages_know_every_command_and_option() {
    let folder = std::env::temp_dir().join(format!("tailback-made-{}", std::process::id()));
    completions(&folder).unwrap();
    manual(&folder).unwrap();
    let read = |name: &str| {
        let file = folder.join(name);
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    };
    for name in ["tailback.bash", "_tailback", "tailback.fish"] {
        let text = read(name);
        for word in ["serve", "config", "simulate", "listen", "hold-queue"] {
            assert!(text.contains(word), "{word} in {name}");
        }
    }
    let manual = read("tailback-serve.1");
    assert!(manual.contains("TAILBACK_LISTEN"), "{manual}");
    assert!(read("tailback.1").contains("tailback\\-serve(1)"));
    fs::remove_dir_all(folder).unwrap();
}

/// In tenths, as `systemd-analyze security` rates a unit: 0 to 100. What is left is what model servers
/// need: the network, devices, memory that is written and run, a control group of their own.
const MOST_EXPOSED: &str = "25";

#[test]
fn the_unit_is_as_little_exposed_as_model_servers_allow() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("debian/tailback.service");
    let rated = Command::new("systemd-analyze")
        .args([
            "security",
            "--no-pager",
            "--offline=true",
            "--threshold",
            MOST_EXPOSED,
        ])
        .arg(&unit)
        .output();
    match rated {
        Ok(rated) => {
            let said = String::from_utf8_lossy(&rated.stdout).into_owned();
            assert!(
                rated.status.success(),
                "{said}{}",
                String::from_utf8_lossy(&rated.stderr)
            );
            assert!(said.contains("Overall exposure level"), "{said}");
        }
        Err(why) => eprintln!("skipped: no systemd-analyze here: {why}"),
    }
}
