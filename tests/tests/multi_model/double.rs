//! A server with a repository API that does what a test says: a real one cannot be made to lie.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

/// What it answers to a request: a status and a body; `None`: nothing, as long as it stays so.
pub type Answer = Option<(u16, &'static str)>;

/// A server of which each kind of request can be given an answer; else it does as it should.
pub struct Double {
    pub address: SocketAddr,
    shared: Arc<(Mutex<Script>, Condvar)>,
}

#[derive(Default)]
pub struct Script {
    pub index: Option<Answer>,
    pub load: Option<Answer>,
    pub unload: Option<Answer>,
    pub ready: Option<Answer>,
    pub loaded: BTreeSet<String>,
    /// Loads that are going on, and the largest number of them so far.
    pub loading: usize,
    pub most_loading: usize,
    pub unloads: usize,
    /// How often it was asked what it has.
    pub indexes: usize,
}

impl Double {
    pub fn start() -> Self {
        let shared = Arc::new((Mutex::default(), Condvar::new()));
        let own = shared.clone();
        let address = serve(move |path, _| answer(path, &own));
        Self { address, shared }
    }

    /// What it knows.
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.0.lock().unwrap()
    }

    /// Changes what it answers; requests that wait for an answer get it.
    pub fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script());
        self.shared.1.notify_all();
    }
}

/// Answers requests by their path and body, each on a connection of its own, with a status and a
/// body.
pub fn serve(answer: impl Fn(&str, &[u8]) -> (u16, String) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || serve_one(stream, &*answer));
        }
    });
    address
}

/// Answers one request, and closes the connection.
fn serve_one(stream: TcpStream, answer: &impl Fn(&str, &[u8]) -> (u16, String)) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = tailback_tests::http::field(&head, "content-length");
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    let _ = reader.by_ref().take(length).read_to_end(&mut body);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (status, body) = answer(path, &body);
    let answer = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = reader.get_mut().write_all(answer.as_bytes());
}

fn answer(path: &str, (script, changed): &(Mutex<Script>, Condvar)) -> (u16, String) {
    let segments: Vec<_> = path.split('/').skip(1).collect();
    let mut script = script.lock().unwrap();
    match segments[..] {
        ["v2", "repository", "index"] => {
            script.indexes += 1;
            let said = wait(script, changed, |script| script.index);
            let names = said.1.loaded.iter();
            let entries: Vec<_> = names
                .map(|name| serde_json::json!({ "name": name, "state": "READY" }))
                .collect();
            own(said.0).unwrap_or((200, serde_json::Value::from(entries).to_string()))
        }
        ["v2", "repository", "models", model, "load"] => {
            script.loading += 1;
            script.most_loading = script.most_loading.max(script.loading);
            let (said, mut script) = wait(script, changed, |script| script.load);
            script.loading -= 1;
            own(said).unwrap_or_else(|| {
                script.loaded.insert(model.to_owned());
                (200, String::new())
            })
        }
        ["v2", "repository", "models", model, "unload"] => {
            script.unloads += 1;
            let (said, mut script) = wait(script, changed, |script| script.unload);
            own(said).unwrap_or_else(|| {
                script.loaded.remove(model);
                (200, String::new())
            })
        }
        ["v2", "models", model, "ready"] => {
            let (said, script) = wait(script, changed, |script| script.ready);
            let status = if script.loaded.contains(model) {
                200
            } else {
                404
            };
            own(said).unwrap_or((status, String::new()))
        }
        _ => (200, "{}".to_owned()),
    }
}

fn own(said: Answer) -> Option<(u16, String)> {
    said.map(|(status, body)| (status, body.to_owned()))
}

/// Waits while the script says not to answer. What it says to answer, if anything.
fn wait<'a>(
    script: MutexGuard<'a, Script>,
    changed: &Condvar,
    of: impl Fn(&Script) -> Option<Answer>,
) -> (Answer, MutexGuard<'a, Script>) {
    let hangs = |script: &mut Script| of(script) == Some(None);
    let script = changed.wait_while(script, hangs).unwrap();
    (of(&script).flatten(), script)
}
