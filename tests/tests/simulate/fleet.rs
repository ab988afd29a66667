//! `tailback simulate fleet`: several models that share room.

use std::fs;

use super::{folder, simulate, simulated};

const FLEET: &str = "apiVersion: tailback.dev/v1alpha1
kind: Host
metadata: { name: h }
spec: { devices: [{ name: '0', memory: 24Gi }] }
---
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: s }
spec: { concurrency: 2, process: { command: [x, '{port}'] } }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: a }
spec: { server: s, memory: 16Gi, minReplicas: 0, maxReplicas: 1 }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: b }
spec: { server: s, memory: 16Gi, minReplicas: 0, maxReplicas: 1 }
";

#[test]
fn a_fleet_shares_the_room_of_its_manifests() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("fleet.yaml"), FLEET).expect("a file");
    let said = simulated(
        path,
        "fleet a.log --manifests fleet.yaml --load-seconds 5,b=7",
        b"",
    );
    for line in ["placement", "lru", "room-for-all", "with placement"] {
        assert!(
            said.lines().any(|own| own.starts_with(line)),
            "{line}: {said}"
        );
    }
    assert!(said.contains("\nRequests: 2 of a.log in "), "{said}");
    assert!(said.contains("Left out: 1 requests"), "{said}");
    let of_b = said.lines().find(|line| line.starts_with("b ")).expect("b");
    assert!(of_b.contains("7.0 s"), "{said}");
    assert_eq!(
        said,
        simulated(
            path,
            "fleet a.log --manifests fleet.yaml --load-seconds 5,b=7",
            b""
        )
    );

    for (arguments, expected) in [
        (
            "fleet a.log --manifests m.yaml",
            "found no models that share room",
        ),
        (
            "fleet a.log --manifests fleet.yaml --load-seconds c=7",
            "found \"c\", expected a model of the manifests: a, b",
        ),
        ("fleet t.csv --manifests fleet.yaml", "without a model"),
        ("fleet a.log", "--manifests"),
        (
            "fleet none.log --manifests fleet.yaml",
            "none.log: No such file",
        ),
        (
            "fleet a.log --manifests fleet.yaml --policy fifo",
            "expected placement, lru or room-for-all",
        ),
    ] {
        let output = simulate(path, arguments, b"");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains(expected),
            "{arguments}: {said}"
        );
    }
}

#[test]
fn the_picture_of_a_fleet_says_where_models_are_and_how_many_requests_are_held() {
    let folder = folder();
    let path = folder.path();
    fs::write(path.join("fleet.yaml"), FLEET).expect("a file");
    for (file, expected) in [
        ("out.svg", &["room-for-all", "held", "% answered"][..]),
        (
            "out.html",
            &["<title>a on 0: loaded from 0, ready from 5 to "],
        ),
    ] {
        let arguments =
            format!("fleet a.log --manifests fleet.yaml --load-seconds 5,b=7 --plot {file}");
        simulated(path, &arguments, b"");
        let text = fs::read_to_string(path.join(file)).expect("a picture");
        for expected in expected {
            assert!(text.contains(expected), "{file}: {expected}: {text}");
        }
        assert!(!text.contains("NaN"));
    }
    let png = "fleet a.log --manifests fleet.yaml --plot out.png";
    simulated(path, png, b"");
    let image = fs::read(path.join("out.png")).expect("a picture");
    assert!(image.starts_with(b"\x89PNG"));
}
