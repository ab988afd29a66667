//! Callers that end their side of the connection behind their request.

use std::{io::Read, net::Shutdown, os::fd::AsRawFd};

use tailback_tests::{
    eventually,
    http::{Client, Response, hang, request},
    process::Tailback,
    upstream::{LARGE, Upstream, proxy},
};

/// Sends a request, and ends this side of the connection in the same segment: behind a part of its
/// answer, that would mean that the caller leaves.
fn half_closed(proxy: &Tailback, bytes: &[u8]) -> Client {
    let caller = Client::connect(proxy.address).unwrap();
    let descriptor = caller.stream().as_raw_fd();
    // SAFETY: the descriptor is open, and the pointer and the length are those of `bytes`.
    let sent = unsafe {
        libc::send(
            descriptor,
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_MORE,
        )
    };
    assert_eq!(sent, bytes.len() as isize);
    caller.stream().shutdown(Shutdown::Write).unwrap();
    caller
}

/// The answer, behind `100 Continue`.
fn answer(caller: &mut Client) -> Response {
    loop {
        let answer = caller.receive().unwrap();
        if answer.status != 100 {
            return answer;
        }
    }
}

#[test]
fn a_caller_that_ends_its_side_behind_its_request_is_answered() {
    let (_upstream, proxy) = proxy();
    for (method, path, body, expected) in [
        ("GET", "/v2/models/m/ok", "", "hello"),
        ("GET", "/v2/models/m/late", "", "late"),
        ("POST", "/v2/models/m/echo", "whole", "whole"),
    ] {
        let bytes = request(method, path, &[], body.as_bytes());
        let mut caller = half_closed(&proxy, &bytes);
        let answer = answer(&mut caller);
        assert_eq!((answer.status, &*answer.text()), (200, expected), "{path}");
        assert!(caller.is_closed(), "{path}");
    }
    let stream = request("GET", "/v2/models/m/slow-events", &[], b"");
    let mut events = String::new();
    let caller = half_closed(&proxy, &stream);
    caller.stream().read_to_string(&mut events).unwrap();
    assert!(
        events.contains(" 200 ") && events.contains("data:"),
        "{events}"
    );
    eventually("all counted", || proxy.outcome("m", "success") == 4);
    assert_eq!(proxy.outcome("m", "caller_gone"), 0);
}

#[test]
fn the_end_of_its_side_may_come_at_any_moment() {
    let (_upstream, proxy) = proxy();
    for round in 0..200 {
        let bytes = request("POST", "/v2/models/m/echo", &[], b"whole");
        let mut caller = Client::connect(proxy.address).unwrap();
        caller.send(bytes).unwrap();
        // From at once to when the answer is out.
        std::thread::sleep(std::time::Duration::from_micros(round * 10));
        caller.stream().shutdown(Shutdown::Write).unwrap();
        let answer = answer(&mut caller);
        assert_eq!((answer.status, &*answer.text()), (200, "whole"), "{round}");
    }
}

#[test]
fn all_of_a_large_answer_comes_however_slowly_it_is_read() {
    let (_upstream, proxy) = proxy();
    let large = request("GET", "/v2/models/m/large", &[], b"");
    let caller = half_closed(&proxy, &large);
    let (mut piece, mut count) = (vec![0; 256 * 1024], 0);
    loop {
        let length = caller.stream().read(&mut piece).unwrap();
        if length == 0 {
            break;
        }
        count += length;
        // The proxy's writes are blocked in between.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(count > LARGE, "{count} bytes");
    eventually("counted", || proxy.outcome("m", "success") == 1);
}

#[test]
fn a_caller_that_waits_for_100_continue_may_end_its_side_too() {
    let (_upstream, proxy) = proxy();
    let head = "POST /v2/models/m/echo HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let mut caller = Client::connect(proxy.address).unwrap();
    caller.send(head).unwrap();
    assert_eq!(caller.receive_head().unwrap().status, 100);
    caller.send("whole").unwrap();
    caller.stream().shutdown(Shutdown::Write).unwrap();
    let answer = answer(&mut caller);
    assert_eq!((answer.status, &*answer.text()), (200, "whole"));
}

#[test]
fn a_caller_that_ends_its_side_behind_chunks_is_answered_though_its_request_is_held() {
    let upstream = Upstream::start();
    let manifest = (upstream.manifest(&["m"])).replace("static:", "concurrency: 1, static:");
    let proxy = Tailback::start(&manifest, &[]);
    let mut first = Client::connect(proxy.address).unwrap();
    let late = request("GET", "/v2/models/m/late", &[], b"");
    first.send(late).unwrap();
    eventually("the only place to be taken", || {
        !upstream.heads().is_empty()
    });
    let chunks =
        b"POST /v2/models/m/echo HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\nwhole\r\n0\r\n\r\n";
    let mut caller = half_closed(&proxy, chunks);
    let answer = answer(&mut caller);
    assert_eq!((answer.status, &*answer.text()), (200, "whole"));
    assert_eq!(first.receive().unwrap().status, 200);
    eventually("both to be over", || proxy.model("m")["inFlight"] == 0);
}

#[test]
fn a_held_request_is_answered_too_and_http_1_0_gets_the_answer_alone() {
    let (_upstream, proxy) = proxy();
    let old = b"GET /v2/models/m/late HTTP/1.0\r\nhost: t\r\n\r\n";
    let mut text = String::new();
    let caller = half_closed(&proxy, old);
    caller.stream().read_to_string(&mut text).unwrap();
    assert!(text.contains(" 200 ") && text.ends_with("late"), "{text}");
    assert!(!text.contains("100"), "{text}");
}

#[test]
fn a_caller_that_closes_its_connection_is_found_all_the_same() {
    let (_upstream, proxy) = proxy();
    drop(hang(proxy.address));
    eventually("it is gone", || proxy.outcome("m", "caller_gone") == 1);
    // Also later on, once it has ended its side and waited.
    let hanging = request("GET", "/v2/models/m/hang", &[], b"");
    let mut caller = half_closed(&proxy, &hanging);
    assert_eq!(caller.receive_head().unwrap().status, 100);
    eventually("it to be counted", || proxy.model("m")["inFlight"] == 1);
    drop(caller);
    // It has read everything: nothing is sent to it, and TCP alone would tell. Its reset does.
    let mut resets = half_closed(&proxy, &hanging);
    assert_eq!(resets.receive_head().unwrap().status, 100);
    nix::sys::socket::setsockopt(
        resets.stream(),
        nix::sys::socket::sockopt::Linger,
        &nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        },
    )
    .unwrap();
    drop(resets);
    eventually("its reset", || proxy.outcome("m", "caller_gone") >= 2);
}

#[test]
fn where_it_is_set_so_a_caller_that_ends_its_side_has_left() {
    let upstream = Upstream::start();
    let variables = [("TAILBACK_HALF_CLOSE", "abort")];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &variables);
    let bytes = request("GET", "/v2/models/m/hang", &[], b"");
    let mut caller = Client::connect(proxy.address).unwrap();
    caller.send(bytes).unwrap();
    eventually("it is inside", || proxy.model("m")["inFlight"] == 1);
    caller.stream().shutdown(Shutdown::Write).unwrap();
    assert!(caller.is_closed());
    eventually("it has left", || proxy.outcome("m", "caller_gone") == 1);
}

#[test]
fn behind_a_head_that_the_proxy_answers_itself_nothing_is_left_to_wait_for() {
    let (_upstream, proxy) = proxy();
    let mut caller = Client::connect(proxy.address).unwrap();
    for (method, path, status) in [
        ("HEAD", "/v2/health/live", 200),
        ("HEAD", "/v2/models/unknown", 404),
        ("GET", "/v2/models/m/ok", 200),
    ] {
        let answer = caller.call(method, path, &[], b"").unwrap();
        assert_eq!(answer.status, status, "{method} {path}");
    }
    caller.stream().shutdown(Shutdown::Write).unwrap();
    let mut rest = String::new();
    caller.stream().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "its end is the end of an idle connection");
}
