//! Large tensors: bodies of 1 GiB pass at flat memory, in either version of HTTP;
//! both ways at once; and beside each other and small ones.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use bytes::Bytes;
use http::Method;
use tailback_tests::{
    eventually,
    http::{Client, request},
    http2::{self, piece, receive},
    process::Tailback,
    upstream::{HUGE, Upstream, static_manifest},
};

/// What one request may take, in bytes.
const MOST: u64 = 8 * 1024 * 1024;
/// Sent or read at once.
const PIECE: usize = 1024 * 1024;

/// Watches how far the proxy grows.
struct Growth<'a>(&'a Tailback, u64, u64);

impl<'a> Growth<'a> {
    fn of(proxy: &'a Tailback) -> Self {
        // Its first request brings what every later one uses, too.
        tailback_tests::http::call(proxy.address, "GET", "/v2/models/m/large", b"").unwrap();
        Self(proxy, proxy.resident(), 0)
    }

    fn look(&mut self) {
        self.2 = self.2.max(self.0.resident().saturating_sub(self.1));
    }
}

impl Drop for Growth<'_> {
    fn drop(&mut self) {
        println!("grew by {} KiB", self.2 / 1024);
        assert!(
            self.2 < MOST || std::thread::panicking(),
            "{} bytes",
            self.2
        );
    }
}

fn serving() -> (Upstream, Tailback) {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[("TAILBACK_WORKERS", "1")]);
    (upstream, proxy)
}

#[test]
fn gibibyte_out_and_in_by_http1() {
    let (_upstream, proxy) = serving();
    let mut growth = Growth::of(&proxy);
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .send("GET /v2/models/m/huge HTTP/1.1\r\nhost: t\r\n\r\n")
        .unwrap();
    assert_eq!(client.receive_head().unwrap().status, 200);
    let (mut left, mut buffer) = (HUGE, vec![0; PIECE]);
    let mut stream = client.stream();
    while left > PIECE {
        left -= stream.read(&mut buffer).unwrap();
        growth.look();
    }
    drop(client);

    let mut client = Client::connect(proxy.address).unwrap();
    let head =
        format!("POST /v2/models/m/sink HTTP/1.1\r\nhost: t\r\ncontent-length: {HUGE}\r\n\r\n");
    client.send(head).unwrap();
    for _ in 0..HUGE / PIECE {
        client.stream().write_all(&buffer).unwrap();
        growth.look();
    }
    assert_eq!(client.receive().unwrap().text(), HUGE.to_string());
    eventually("its end", || proxy.model("m")["inFlight"] == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn gibibyte_out_and_in_by_http2() {
    let (_upstream, proxy) = serving();
    let mut growth = Growth::of(&proxy);
    let client = http2::Client::connect(proxy.address).await.unwrap();
    let (response, _stream) = client
        .open(Method::GET, "/v2/models/m/huge", &[], true)
        .await
        .unwrap();
    let mut body = response.await.unwrap().into_body();
    let mut received = 0;
    while let Some(piece) = piece(&mut body).await {
        received += piece.unwrap().len();
        if received % (64 * 1024) == 0 {
            growth.look();
        }
    }
    assert_eq!(received, HUGE);

    let (response, mut stream) = client
        .open(Method::POST, "/v2/models/m/sink", &[], false)
        .await
        .unwrap();
    let buffer = Bytes::from(vec![b'x'; PIECE]);
    let mut left = HUGE;
    while left > 0 {
        stream.reserve_capacity(PIECE.min(left));
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx))
            .await
            .unwrap()
            .unwrap();
        let length = room.min(PIECE).min(left);
        left -= length;
        stream.send_data(buffer.slice(..length), left == 0).unwrap();
        growth.look();
    }
    assert_eq!(receive(response).await.unwrap().text(), HUGE.to_string());
    eventually("its end", || proxy.model("m")["inFlight"] == 0);
}

/// Bytes of a body that goes up, and of one that comes down meanwhile.
const EACH_WAY: usize = 32 * 1024 * 1024;

/// Bytes that nothing else has.
fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; EACH_WAY];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// Answers a request with `answer` while its body comes in, all but the last
/// byte, for which it waits for the end of that. Returns the body.
fn answer_meanwhile(listener: &TcpListener, answer: &[u8]) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(listener.accept()?.0);
    for line in reader.by_ref().lines() {
        if line?.is_empty() {
            break;
        }
    }
    let mut stream = reader.get_ref().try_clone()?;
    let (last, most) = answer.split_last().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {EACH_WAY}\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            stream.write_all(most)?;
            io::Result::Ok(stream)
        });
        let mut body = vec![0; EACH_WAY];
        reader.read_exact(&mut body)?;
        writer.join().unwrap()?.write_all(&[*last])?;
        Ok(body)
    })
}

/// When a caller reads its answer.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// While it sends.
    Meanwhile,
    /// When all is sent.
    Afterwards,
}

#[test]
fn bodies_pass_both_ways_at_once() {
    let (up, down) = (noise(1), noise(2));
    for reads in [Reads::Meanwhile, Reads::Afterwards] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let manifest = static_manifest("up", listener.local_addr().unwrap(), &["m"]);
        let proxy = Tailback::start(&manifest, &[("TAILBACK_WORKERS", "1")]);
        let mut client = Client::connect(proxy.address).unwrap();
        let mut stream = client.stream().try_clone().unwrap();
        let got = thread::scope(|scope| {
            let replica = scope.spawn(|| answer_meanwhile(&listener, &down).unwrap());
            let head = format!(
                "POST /v2/models/m/infer HTTP/1.1\r\nhost: t\r\ncontent-length: {EACH_WAY}\r\n\r\n"
            );
            client.send(head).unwrap();
            let sender = scope.spawn(|| stream.write_all(&up).unwrap());
            if matches!(reads, Reads::Afterwards) {
                sender.join().unwrap();
            }
            let answer = client.receive().unwrap();
            assert!(
                (answer.status, answer.body) == (200, down.clone()),
                "{reads:?}"
            );
            replica.join().unwrap()
        });
        assert!(got == up, "{reads:?}");
        eventually("its end", || proxy.model("m")["inFlight"] == 0);
        assert_eq!(proxy.model("m")["completed"], 1, "{reads:?}");
        assert_eq!(proxy.outcome("m", "success"), 1, "{reads:?}");
    }
}

/// Callers that download at once.
const DOWNLOADS: usize = 6;
/// Bytes that each takes: far more than sockets on the way hold of them.
const TAKEN: usize = 96 * 1024 * 1024;

/// A caller whose large answer has begun.
fn downloading(proxy: SocketAddr) -> Client {
    let mut client = Client::connect(proxy).unwrap();
    let request = request("GET", "/v2/models/m/huge", &[], b"");
    client.send(request).unwrap();
    assert_eq!(client.receive_head().unwrap().status, 200);
    client
}

/// Reads as fast as it can, and closes then.
fn take(client: &Client, taken: &AtomicUsize) {
    let (mut stream, mut buffer) = (client.stream(), vec![0; PIECE]);
    while taken.load(SeqCst) < TAKEN {
        let read = stream.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "it ended early");
        taken.fetch_add(read, SeqCst);
    }
}

#[test]
fn large_downloads_share_a_worker_and_let_small_requests_through() {
    let (_upstream, proxy) = serving();
    let taken: [AtomicUsize; DOWNLOADS] = Default::default();
    let clients = [(); DOWNLOADS].map(|()| downloading(proxy.address));
    let mut small = Client::connect(proxy.address).unwrap();
    let mut answered = 0;
    let first = thread::scope(|scope| {
        for (client, taken) in clients.into_iter().zip(&taken) {
            scope.spawn(move || take(&client, taken));
        }
        loop {
            let answer = small.call("GET", "/v2/models/m/ok", &[], b"").unwrap();
            assert_eq!(answer.status, 200);
            let now: Vec<usize> = taken.iter().map(|taken| taken.load(SeqCst)).collect();
            if now.iter().any(|&taken| taken >= TAKEN) {
                return now;
            }
            answered += 1;
        }
    });
    println!("{answered} small ones; of the large ones: {first:?}");
    assert!(first.iter().all(|&taken| taken > TAKEN / 8), "{first:?}");
    // Some 300 to 600; fewer than 30 if large bodies do not yield after each share.
    assert!(answered >= 50, "{answered}");
    eventually("the end of all", || proxy.model("m")["inFlight"] == 0);
    let state = proxy.model("m");
    assert_eq!(state["arrived"], state["completed"]);
}
