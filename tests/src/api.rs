//! An operator's HTTP API, for tests of webhooks. It gives the responses that a test prepares.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

/// The API. A request gets the next response that was prepared for its method, or else 200, with
/// the state as the body of `GET`.
#[derive(Clone, Debug)]
pub struct Api {
    /// Where it listens.
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: Vec<Seen>,
    /// Whole responses, by method.
    prepared: VecDeque<(&'static str, String)>,
    state: String,
}

/// A request that it has received.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `POST /path`.
    pub line: String,
    /// The head of the request, unchanged.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Api {
    /// Starts it on a free port; it ends with the test.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start(state: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let api = Self {
            address: listener.local_addr().expect("its address"),
            inner: Arc::new(Mutex::new(Inner {
                state: state.to_owned(),
                ..Inner::default()
            })),
        };
        let served = api.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let api = served.clone();
                thread::spawn(move || api.serve(stream));
            }
        });
        api
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("the API")
    }

    /// Sets the body of responses to `GET`.
    pub fn set_state(&self, state: &str) {
        self.inner().state = state.to_owned();
    }

    /// Prepares the response to the next request of `method`, as raw bytes. Empty: no response.
    pub fn prepare(&self, method: &'static str, response: &str) {
        self.inner()
            .prepared
            .push_back((method, response.to_owned()));
    }

    /// All requests of `method` so far.
    #[must_use]
    pub fn requests(&self, method: &str) -> Vec<Seen> {
        let all = self.inner();
        let of = all.requests.iter().filter(|r| r.line.starts_with(method));
        of.cloned().collect()
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader) {
            let method = request.line.split(' ').next().unwrap_or("").to_owned();
            let response = {
                let mut inner = self.inner();
                inner.requests.push(request);
                let next = inner.prepared.iter().position(|(of, _)| *of == method);
                match next.and_then(|index| inner.prepared.remove(index)) {
                    Some((_, response)) => response,
                    None if method == "GET" => ok(&inner.state),
                    None => ok("{}"),
                }
            };
            if response.is_empty() || reader.get_mut().write_all(response.as_bytes()).is_err() {
                return;
            }
        }
    }
}

/// A response of 200.
#[must_use]
pub fn ok(body: &str) -> String {
    answer("200 OK", "", body)
}

/// A response with these lines in its head.
#[must_use]
pub fn answer(status: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{lines}\r\n{body}")
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let line = head
        .lines()
        .next()?
        .trim_end_matches(" HTTP/1.1")
        .to_owned();
    Some(Seen {
        line,
        head,
        body: String::from_utf8(body).ok()?,
    })
}
