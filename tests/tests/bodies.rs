//! The model's name in a body: at any position, and in any encoding.

use std::{
    io::Write,
    process::Command,
    time::{Duration, Instant},
};

use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use serde_json::Value;
use tailback_tests::{
    eventually,
    http::{Client, Response, request},
    process::Tailback,
    python::{run, script},
    upstream::{Upstream, never_ready_manifest, static_manifest},
};

/// Content codings, and whether deflate's is bare.
const CODINGS: [(&str, bool); 5] = [
    ("gzip", false),
    ("deflate", false),
    ("deflate", true),
    ("br", false),
    ("zstd", false),
];

fn encoded(coding: &str, bare: bool, text: &[u8]) -> Vec<u8> {
    let level = Compression::best();
    match (coding, bare) {
        ("gzip", _) => {
            let mut writer = GzEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        ("deflate", false) => {
            let mut writer = ZlibEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        ("deflate", true) => {
            let mut writer = DeflateEncoder::new(Vec::new(), level);
            writer.write_all(text).unwrap();
            writer.finish().unwrap()
        }
        ("zstd", _) => {
            let mut out = Vec::with_capacity(zstd_safe::compress_bound(text.len()));
            zstd_safe::compress(&mut out, text, 3).unwrap();
            out
        }
        _ => brotli(text),
    }
}

/// Stored meta-blocks of brotli (RFC 7932, 9.2): WBITS 16, then of each ISLAST 0,
/// MNIBBLES 4, its length less one, ISUNCOMPRESSED 1; at last ISLAST, ISLASTEMPTY.
fn brotli(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (i, block) in text.chunks(1 << 16).enumerate() {
        // The bit of WBITS precedes the first.
        let before = u32::from(i == 0);
        let header = (block.len() as u32 - 1) << 3 | 1 << 19;
        out.extend(&(header << before).to_le_bytes()[..3]);
        out.extend(block);
    }
    out.push(0b11);
    out
}

/// Noise in letters, which does not shrink much, with the model behind it.
fn chat(letters: usize) -> String {
    let mut random = fastrand::Rng::with_seed(7);
    let text: String = (0..letters).map(|_| random.alphanumeric()).collect();
    format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"{text}\"}}], \"model\": \"m\"}}")
}

fn post(proxy: &Tailback, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let mut client = Client::connect(proxy.address).unwrap();
    client.call("POST", "/v1/chat/echo", headers, body).unwrap()
}

fn in_flight(proxy: &Tailback) -> u64 {
    proxy.model("m")["inFlight"].as_u64().unwrap()
}

fn settled(proxy: &Tailback) {
    eventually("the end of all", || in_flight(proxy) == 0);
}

#[test]
fn model_is_found_behind_megabytes_in_any_encoding_and_the_body_goes_on_as_it_came() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    for letters in [10, 1_500_000] {
        let text = chat(letters);
        for coding in ["identity", ""] {
            let answer = post(&proxy, &[("content-encoding", coding)], text.as_bytes());
            assert_eq!((answer.status, answer.body.len()), (200, text.len()));
        }
        for (coding, bare) in CODINGS {
            let body = encoded(coding, bare, text.as_bytes());
            let answer = post(&proxy, &[("content-encoding", coding)], &body);
            assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
            assert!(answer.body == body, "{coding}: not as it came");
            let head = upstream.heads().pop().unwrap();
            assert!(
                head.contains(&format!("content-encoding: {coding}")),
                "{head}"
            );
        }
    }
    settled(&proxy);
    assert_eq!(proxy.model("m")["arrived"], 14);
    // A held one is in flight, and its body goes on whole once there is a replica.
    assert_eq!(proxy.outcome("m", "success"), 14);
}

#[test]
fn curl_uploads_a_file_before_the_name_of_its_model() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.wav");
    std::fs::write(&file, vec![b'\n'; 2_000_000]).unwrap();
    for (model, status) in [("m", "200"), ("no", "404")] {
        let output = Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(["-F", &format!("file=@{}", file.display())])
            .args(["-F", &format!("model={model}")])
            .arg(format!("http://{}/v1/audio/transcriptions", proxy.address))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), status);
    }
    settled(&proxy);
    assert_eq!(proxy.outcome("m", "success"), 1);
}

#[test]
fn encoded_bodies_that_cannot_be_looked_into_are_refused_with_the_reason() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let text = chat(1000);
    let twice = text.replace("\"messages\"", "\"model\": \"m\", \"messages\"");
    let gzip = |text: &str| encoded("gzip", false, text.as_bytes());
    let whole = gzip(&text);
    for (coding, body, status, says) in [
        ("compress", whole.clone(), 415, "gzip, deflate, br and zstd"),
        ("gzip, gzip", whole.clone(), 415, "one of"),
        ("gzip", text.clone().into_bytes(), 400, "Content-Encoding"),
        ("zstd", whole.clone(), 400, "Content-Encoding"),
        ("gzip", whole[..whole.len() - 20].to_vec(), 400, "cut short"),
        ("gzip", gzip("{\"a\": 1}"), 400, "names no model"),
        ("gzip", gzip(&twice), 400, "twice"),
    ] {
        let answer = post(&proxy, &[("content-encoding", coding)], &body);
        assert_eq!(answer.status, status, "{coding}: {}", answer.text());
        let error: Value = serde_json::from_slice(&answer.body).unwrap();
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{coding}: {message}");
        let known = (status == 415).then_some("gzip, deflate, br, zstd");
        assert_eq!(answer.header("accept-encoding"), known);
    }
    assert_eq!(proxy.model("m")["arrived"], 0);
    // With the header, the body is not read for the model.
    let headers = [("content-encoding", "compress"), ("seldon-model", "m")];
    assert_eq!(post(&proxy, &headers, b"any").text(), "any");
    settled(&proxy);
}

#[test]
fn bomb_is_refused_soon_and_without_much_memory() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[("TAILBACK_WORKERS", "1")]);
    assert_eq!(post(&proxy, &[("seldon-model", "m")], b"warm").status, 200);
    // A gibibyte of one letter in a megabyte, in a text before the model.
    let sixteenth = encoded("gzip", false, &vec![b'x'; 16 << 20]);
    let mut bomb = encoded("gzip", false, b"{\"prompt\": \"");
    bomb.extend(sixteenth.repeat(64));
    bomb.extend(encoded("gzip", false, b"\", \"model\": \"m\"}"));
    assert!(bomb.len() < 1_100_000, "{} bytes", bomb.len());
    let before = proxy.resident();
    let start = Instant::now();
    for _ in 0..20 {
        let answer = post(&proxy, &[("content-encoding", "gzip")], &bomb);
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert!(answer.text().contains("200 times"), "{}", answer.text());
    }
    let grown = proxy.resident().saturating_sub(before);
    println!("20 bombs: {:?}, {} KiB", start.elapsed(), grown / 1024);
    assert!(grown < 8 << 20, "{grown} bytes");
    // One decoded to its end would take seconds.
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(proxy.model("m")["arrived"], 1);
    settled(&proxy);
}

#[test]
fn a_request_that_does_not_fit_into_memory_gets_an_error_that_says_what_to_do() {
    let proxy = Tailback::start(
        &never_ready_manifest("m", ""),
        &[("TAILBACK_HOLD_MAX_BYTES", "300000")],
    );
    let answer = post(&proxy, &[], chat(400_000).as_bytes());
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(
        answer.text().contains("first 300000 bytes"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("seldon-model"), "{}", answer.text());
    // With others before it, it is not the request's fault.
    let mut held = Client::connect(proxy.address).unwrap();
    let body = chat(200_000);
    held.send(request("POST", "/v1/chat/echo", &[], body.as_bytes()))
        .unwrap();
    eventually("one held", || proxy.model("m")["held"] == 1);
    let answer = post(&proxy, &[], body.as_bytes());
    assert_eq!(answer.status, 429, "{}", answer.text());
    drop(held);
    settled(&proxy);
}

#[test]
fn name_sent_upstream_is_put_into_encoded_bodies_which_go_on_decoded() {
    let upstream = Upstream::start();
    let renamed = upstream
        .manifest(&["m"])
        .replace("server: up }", "server: up, upstreamName: real }");
    let proxy = Tailback::start(&renamed, &[]);
    for letters in [10, 1_500_000] {
        let text = chat(letters);
        let expected = text.replace("\"m\"}", "\"real\"}");
        for (coding, bare) in CODINGS {
            let body = encoded(coding, bare, text.as_bytes());
            for more in [&[][..], &[("seldon-model", "m")]] {
                let headers = [&[("content-encoding", coding)][..], more].concat();
                let answer = post(&proxy, &headers, &body);
                assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
                assert!(answer.text() == expected, "{coding}: another text");
                let head = upstream.heads().pop().unwrap();
                assert!(!head.contains("content-encoding"), "{head}");
            }
        }
    }
    // An encoding that hides the name is refused, even with the header.
    for (coding, body) in [("compress", &b"any"[..]), ("gzip", b"any")] {
        let headers = [("content-encoding", coding), ("seldon-model", "m")];
        let answer = post(&proxy, &headers, body);
        assert!(matches!(answer.status, 400 | 415), "{}", answer.text());
    }
    // A body that is cut behind the name ends the request at the replica, too.
    let body = encoded("gzip", false, chat(10).as_bytes());
    let cut = &body[..body.len() - 4];
    let answer = post(&proxy, &[("content-encoding", "gzip")], cut);
    assert_eq!(answer.status, 400, "{}", answer.text());
    settled(&proxy);
    assert_eq!(proxy.outcome("m", "success"), 20);
}

#[test]
fn decoding_holds_up_no_other_request_of_the_worker() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[("TAILBACK_WORKERS", "1")]);
    // As much as may be decoded of it.
    let text = format!("{{\"a\": \"{}\", \"model\": \"m\"}}", "x".repeat(8_000_000));
    let body = encoded("gzip", false, text.as_bytes());
    let start = Instant::now();
    let answer = post(&proxy, &[("content-encoding", "gzip")], &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let alone = start.elapsed();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let median = std::thread::scope(|scope| {
        let many: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let answer = post(&proxy, &[("content-encoding", "gzip")], &body);
                        assert_eq!(answer.status, 200, "{}", answer.text());
                    }
                })
            })
            .collect();
        eventually("some decoded", || proxy.outcome("m", "success") > 4);
        let mut client = Client::connect(proxy.address).unwrap();
        let mut times: Vec<_> = (0..100)
            .map(|_| {
                let start = Instant::now();
                let answer = client.call("GET", "/v2/models/m/ok", &[], b"").unwrap();
                assert_eq!(answer.status, 200);
                start.elapsed()
            })
            .collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for one in many {
            one.join().unwrap();
        }
        times.sort_unstable();
        println!(
            "alone {alone:?}, others: median {:?}, slowest {:?}",
            times[50], times[99]
        );
        times[50]
    });
    // If each of the four were decoded in one go, the others would wait for some of them.
    assert!(median < alone / 2, "{median:?} of {alone:?}");
    settled(&proxy);
}

#[test]
fn what_is_read_in_a_body_is_what_servers_read_or_it_is_refused() {
    let (m, n) = (Upstream::start(), Upstream::start());
    n.set_manner(Some("status-418"));
    let others = static_manifest("others", n.address, &["n"]);
    let manifests = format!("{}---\n{others}", m.manifest(&["m"]));
    let proxy = Tailback::start(&manifests, &[]);
    let seed = fastrand::u32(..).to_string();
    run(script(
        "one_reading.py",
        &[&proxy.address.to_string(), &seed],
    ));
}
