//! Responses that a replica breaks off: the caller gets what came before, and then sees the
//! break.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use http::Method;
use nix::sys::socket::{setsockopt, sockopt::Linger};
use tailback_tests::{
    eventually,
    http::{Client, request},
    http2::{self, piece},
    process::Tailback,
    upstream::static_manifest,
};

/// How often each break is tried: some were seen once in ten times.
const TIMES: usize = 150;
const FIRST: &str = "data: {\"choices\":[]}\n\n";
const LAST: &str = "data: {\"error\":{\"message\":\"out of memory\"}}\n\n";

/// How a replica ends its answer.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Reset,
    /// It reads on.
    HalfClose,
}

/// A replica that answers each request as its path says: `chunks` is two events, the second 10 ms
/// after the first, and then the break; `length` announces 500 bytes and sends 300; `once` is all
/// in one write, head included;
/// `malformed` is no chunk, in one write with the head.
fn replica(end: End) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let accepting = listener.try_clone().unwrap();
    thread::spawn(move || {
        for stream in accepting.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream, end));
        }
    });
    listener
}

fn answer(mut stream: TcpStream, end: End) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    let chunk = |event: &str| format!("{:x}\r\n{event}\r\n", event.len());
    let events =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    if head.contains("/chunks") {
        stream.write_all((events.to_owned() + &chunk(FIRST)).as_bytes())?;
        thread::sleep(Duration::from_millis(10));
        stream.write_all(chunk(LAST).as_bytes())?;
    } else if head.contains("/malformed") {
        stream.write_all((events.to_owned() + "hello").as_bytes())?;
    } else if head.contains("/once") {
        stream.write_all((events.to_owned() + &chunk(FIRST) + &chunk(LAST)).as_bytes())?;
    } else {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n".to_owned();
        stream.write_all((head + &"x".repeat(300)).as_bytes())?;
    }
    if let End::HalfClose = end {
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut reader, &mut io::sink())?;
    }
    if let End::Reset = end {
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // What was sent arrives before the reset does.
        thread::sleep(Duration::from_millis(2));
        setsockopt(&stream, Linger, &linger)?;
    }
    Ok(())
}

fn serving(end: End) -> (TcpListener, Tailback) {
    let listener = replica(end);
    let manifest = static_manifest("up", listener.local_addr().unwrap(), &["m"]);
    (listener, Tailback::start(&manifest, &[]))
}

/// All that a caller gets, by HTTP/1.1, until the connection ends.
fn received(proxy: &Tailback, path: &str, body: &[u8]) -> String {
    let mut client = Client::connect(proxy.address).unwrap();
    client.send(request("POST", path, &[], body)).unwrap();
    let mut all = Vec::new();
    // It may end by a reset.
    let _ = client.stream().read_to_end(&mut all);
    String::from_utf8(all).unwrap()
}

fn settled(proxy: &Tailback, broken: usize) {
    eventually("the end of all", || proxy.model("m")["inFlight"] == 0);
    assert_eq!(proxy.outcome("m", "upstream_reset"), broken as u64);
}

#[test]
fn what_came_before_the_break_reaches_callers_of_http1() {
    for end in [End::Close, End::Reset] {
        let (_replica, proxy) = serving(end);
        for i in 0..TIMES {
            for path in ["chunks", "once"] {
                let all = received(&proxy, &format!("/v2/models/m/{path}"), b"x");
                assert!(
                    all.contains(FIRST) && all.contains(LAST),
                    "{end:?} {path} {i}: {all}"
                );
                assert!(!all.ends_with("0\r\n\r\n"), "{end:?}: it looks whole");
            }
            let all = received(&proxy, "/v2/models/m/length", b"x");
            assert!(all.starts_with("HTTP/1.1 200 OK"), "{end:?} {i}: {all}");
            assert!(all.ends_with(&"x".repeat(300)), "{end:?} {i}: {all}");
        }
        settled(&proxy, 3 * TIMES);
    }
}

#[test]
fn an_answer_that_is_malformed_from_its_first_byte_does_not_look_whole() {
    let (_replica, proxy) = serving(End::Close);
    let all = received(&proxy, "/v2/models/m/malformed", b"x");
    assert!(!all.contains("content-length: 0"), "{all}");
    assert!(!all.ends_with("0\r\n\r\n"), "{all}");
    settled(&proxy, 1);
}

#[test]
fn caller_that_is_still_sending_gets_it_too() {
    let (_replica, proxy) = serving(End::HalfClose);
    for i in 0..20 {
        let mut client = Client::connect(proxy.address).unwrap();
        let head =
            "POST /v2/models/m/once HTTP/1.1\r\nhost: t\r\ncontent-length: 100000000\r\n\r\n";
        client.send(head).unwrap();
        client.send(vec![b'x'; 200_000]).unwrap();
        let mut all = Vec::new();
        let _ = client.stream().read_to_end(&mut all);
        let all = String::from_utf8(all).unwrap();
        assert!(all.contains(LAST), "{i}: {all}");
    }
    settled(&proxy, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_the_break_reaches_callers_of_http2() {
    for end in [End::Close, End::Reset] {
        let (_replica, proxy) = serving(end);
        let client = http2::Client::connect(proxy.address).await.unwrap();
        for i in 0..TIMES {
            for (path, expected) in [
                ("chunks", [FIRST, LAST].concat()),
                ("once", [FIRST, LAST].concat()),
                ("length", "x".repeat(300)),
            ] {
                let path = format!("/v2/models/m/{path}");
                let (response, _stream) = client.open(Method::GET, &path, &[], true).await.unwrap();
                let response = response.await.unwrap();
                assert_eq!(response.status(), 200);
                let mut body = response.into_body();
                let mut all = Vec::new();
                let broken = loop {
                    match piece(&mut body).await {
                        Some(Ok(piece)) => all.extend(piece),
                        Some(Err(error)) => break error.is_reset(),
                        None => break false,
                    }
                };
                let all = String::from_utf8(all).unwrap();
                assert_eq!(all, expected, "{end:?} {path} {i}");
                assert!(broken, "{end:?} {path}: it looks whole");
            }
        }
        settled(&proxy, 3 * TIMES);
    }
}

#[test]
fn curl_shows_what_came_and_says_that_it_is_not_all() {
    let (_replica, proxy) = serving(End::Close);
    let output = Command::new("curl")
        .args(["-sS", "-N"])
        .arg(format!("http://{}/v2/models/m/length", proxy.address))
        .output()
        .unwrap();
    assert_eq!(output.stdout, "x".repeat(300).as_bytes());
    // "Transferred a partial file."
    assert_eq!(output.status.code(), Some(18));
    settled(&proxy, 1);
}
