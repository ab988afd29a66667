//! A model server whose behaviour depends on the request's path.

mod request_body;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use request_body::{body, discarded};

/// Longer than any test waits.
const FOR_EVER: Duration = Duration::from_secs(600);

/// The server. Its behaviour depends on the last segment of the path, or on the header
/// `x-manner`:
///
/// | path | behaviour |
/// |---|---|
/// | `ok` | 200 `hello` |
/// | `echo` | 200 with the request's body |
/// | `refuse`, `fail`, `status-NNN` | 400, 500, NNN |
/// | `first-X` | `X` for the first request to this path, then `echo` |
/// | `chunks` | 200, five chunks |
/// | `reset` | resets the connection instead of answering |
/// | `half` | announces more than it sends, then closes |
/// | `stall` | announces more than it sends, then does nothing |
/// | `hang` | does nothing |
/// | `slow-events` | 200 `text/event-stream` at once, two of OpenAI's events after 0.8 s each, then the end |
/// | `die` | resets the connection 0.3 s after the request |
/// | `fields` | 200 `hello` with 120 header fields |
/// | `late` | 200 `late`, a second after the request |
/// | `close-after` | 200, then closes the connection without `Connection: close` |
/// | `large` | 16 MiB |
/// | `huge` | 1 GiB |
/// | `sink` | 200 with the length of the request's body |
/// | `early` | 200 `early` at once; the request's body is never read |
/// | `early-switch` | 101 at once; the request's body is never read |
/// | `switch` | 101, and then nothing |
/// | `busy` | 429 `busy` with `Retry-After: 30` |
/// | `sick` | 503 to GET, else 200 `hello` |
/// | `deaf` | 200 `hello` to GET, else nothing |
/// | `every-other` | 500 to every other request, else 200 `hello` |
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    heads: Mutex<Vec<String>>,
    /// What it does whatever the path is.
    manner: Mutex<Option<&'static str>>,
}

/// The size of `huge`.
pub const HUGE: usize = 1024 * 1024 * 1024;

/// The size of `large`.
pub const LARGE: usize = 16 * 1024 * 1024;

impl Default for Upstream {
    fn default() -> Self {
        Self::start()
    }
}

impl Upstream {
    /// Starts it on a free port; it ends with the test.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start() -> Self {
        Self::with_idle_limit(FOR_EVER)
    }

    /// The same, which closes connections on which no request has begun for so long.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn with_idle_limit(idle: Duration) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a free port"), idle)
    }

    /// Starts it where a pod of a test listens.
    ///
    /// # Panics
    /// If something else listens there.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self::on(TcpListener::bind(address).expect("the address"), FOR_EVER)
    }

    fn on(listener: TcpListener, idle: Duration) -> Self {
        let address = listener.local_addr().expect("its address");
        let seen = Arc::new(Seen::default());
        let all = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                all.connections.fetch_add(1, Ordering::SeqCst);
                let seen = all.clone();
                thread::spawn(move || serve(stream, &seen, idle));
            }
        });
        Self { address, seen }
    }

    /// A manifest that serves `models` from this server.
    #[must_use]
    pub fn manifest(&self, models: &[&str]) -> String {
        static_manifest("up", self.address, models)
    }

    /// From now on, it behaves in this way whatever the path is; `None`: by the path again.
    ///
    /// # Panics
    /// If a serving thread did.
    pub fn set_manner(&self, manner: Option<&'static str>) {
        *self.seen.manner.lock().expect("manner") = manner;
    }

    /// The number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    ///
    /// # Panics
    /// If a serving thread did.
    #[must_use]
    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().expect("heads").clone()
    }
}

/// A manifest of models on a static server.
#[must_use]
pub fn static_manifest(server: &str, address: SocketAddr, models: &[&str]) -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    let mut text = format!(
        "{api}\nkind: Server\nmetadata: {{ name: {server} }}\nspec: {{ static: {{ endpoints: [\"http://{address}\"] }} }}\n"
    );
    for model in models {
        text += &format!(
            "---\n{api}\nkind: Model\nmetadata: {{ name: {model} }}\nspec: {{ server: {server} }}\n"
        );
    }
    text
}

/// A manifest of `model`, with the fields in `spec`, on the server `never`, whose replicas never
/// become ready.
#[must_use]
pub fn never_ready_manifest(model: &str, spec: &str) -> String {
    let api = "apiVersion: tailback.dev/v1alpha1";
    format!(
        "{api}\nkind: Server\nmetadata: {{ name: never }}\n\
         spec: {{ process: {{ command: [sleep, '600', '{{port}}'] }} }}\n---\n\
         {api}\nkind: Model\nmetadata: {{ name: {model} }}\nspec: {{ server: never{spec} }}\n"
    )
}

fn serve(stream: TcpStream, seen: &Seen, idle: Duration) {
    let mut reader = BufReader::new(stream);
    let begins = |reader: &mut BufReader<TcpStream>| {
        reader.get_ref().set_read_timeout(Some(idle))?;
        let begins = !reader.fill_buf()?.is_empty();
        reader.get_ref().set_read_timeout(None)?;
        Ok::<_, io::Error>(begins)
    };
    while let Ok(true) =
        begins(&mut reader).and_then(|begins| Ok(begins && answer(&mut reader, seen)?))
    {}
}

impl Seen {
    /// How many requests to this path there have been.
    fn times(&self, path: &str) -> usize {
        let of = |head: &&String| head.split(' ').nth(1) == Some(path);
        self.heads.lock().expect("heads").iter().filter(of).count()
    }
}

/// Answers one request. Returns whether the connection stays open.
fn answer(reader: &mut BufReader<TcpStream>, seen: &Seen) -> io::Result<bool> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(false);
        }
    }
    seen.heads.lock().expect("heads").push(head.clone());
    let path = head.split(' ').nth(1).unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let manner = crate::http::field(&head, "x-manner")
        .unwrap_or(last)
        .to_owned();
    let manner = match *seen.manner.lock().expect("manner") {
        Some(set) => set.to_owned(),
        None => manner,
    };
    let is_get = head.starts_with("GET ");
    let manner = match (manner.as_str(), is_get) {
        ("sick", true) => "status-503".to_owned(),
        ("deaf", false) => "hang".to_owned(),
        _ => manner,
    };
    let early: Option<&[u8]> = match manner.as_str() {
        "early" => Some(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly"),
        "early-switch" => Some(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
        _ => None,
    };
    if let Some(early) = early {
        reader.get_ref().write_all(early)?;
        thread::sleep(FOR_EVER);
        return Ok(false);
    }
    let manner = match manner.strip_prefix("first-") {
        Some(first) if seen.times(path) == 1 => first.to_owned(),
        Some(_) => "echo".to_owned(),
        None => manner,
    };
    let body = if manner == "sink" {
        discarded(reader, &head)?.to_string().into_bytes()
    } else {
        body(reader, &head)?
    };
    let mut stream = reader.get_ref();
    let is_head = head.starts_with("HEAD ");
    let mut reply = |status: u16, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nx-hop: 1\r\nconnection: x-hop\r\n\r\n",
            body.len()
        );
        let body = if is_head { b"".as_slice() } else { body };
        stream.write_all(&[head.as_bytes(), body].concat())
    };
    match manner.as_str() {
        "huge" => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {HUGE}\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            for _ in 0..HUGE / LARGE {
                stream.write_all(&vec![b'x'; LARGE])?;
            }
        }
        "echo" | "sink" => reply(200, &body)?,
        "refuse" => reply(400, b"no")?,
        "fail" => reply(500, b"broken")?,
        status if status.starts_with("status-") => {
            reply(status["status-".len()..].parse().unwrap_or(500), b"no")?;
        }
        "every-other" => match seen.heads.lock().expect("heads").len() % 2 {
            0 => reply(500, b"broken")?,
            _ => reply(200, b"hello")?,
        },
        "busy" => stream
            .write_all(b"HTTP/1.1 429 X\r\nretry-after: 30\r\ncontent-length: 4\r\n\r\nbusy")?,
        "large" => reply(200, &vec![b'x'; LARGE])?,
        "mebibyte" => reply(200, &vec![b'x'; 1024 * 1024])?,
        "close-after" => {
            reply(200, b"bye")?;
            return Ok(false);
        }
        "switch" => {
            stream
                .write_all(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello")?;
            wait_for_close(reader);
            return Ok(false);
        }
        "chunks" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            for _ in 0..5 {
                stream.write_all(b"5\r\nhello\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        "reset" => {
            reset(stream);
            return Ok(false);
        }
        "half" | "stall" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhello")?;
            if manner == "stall" {
                wait_for_close(reader);
            }
            return Ok(false);
        }
        "slow-events" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
            for piece in ["a", "b"] {
                thread::sleep(Duration::from_millis(800));
                let event = format!(
                    "data: {{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
                     \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{piece}\"}}}}]}}\n\n"
                );
                stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
            }
            stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")?;
        }
        "die" => {
            thread::sleep(Duration::from_millis(300));
            reset(stream);
            return Ok(false);
        }
        "fields" => {
            let fields: String = (0..120).map(|n| format!("x-{n}: {n}\r\n")).collect();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{fields}\r\nhello");
            stream.write_all(head.as_bytes())?;
        }
        "late" => {
            thread::sleep(Duration::from_secs(1));
            reply(200, b"late")?;
        }
        "hang" => {
            wait_for_close(reader);
            return Ok(false);
        }
        _ => reply(200, b"hello")?,
    }
    Ok(true)
}

fn wait_for_close(reader: &mut BufReader<TcpStream>) {
    let _ = reader.get_ref().set_read_timeout(Some(FOR_EVER));
    let _ = reader.read(&mut [0]);
}

/// Makes closing `stream` send a reset.
fn reset(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let _ = nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger);
}

/// An upstream, and a proxy that serves it as the model `m`.
#[must_use]
pub fn proxy() -> (Upstream, crate::process::Tailback) {
    let upstream = Upstream::start();
    let proxy = crate::process::Tailback::start(&upstream.manifest(&["m"]), &[]);
    (upstream, proxy)
}
