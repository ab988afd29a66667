//! A caller's bytes go through the real data plane to a replica, on a simulated network. The replica reads
//! them by another parser, hyper's.

use std::{
    io,
    path::Path,
    pin::Pin,
    rc::Rc,
    sync::{Arc, LazyLock, Mutex},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tailback::simulation::{
    DataPlane, clock,
    network::{self, Network, Plan, Stream, connection},
};
use tailback_config::{Config, Env, load_text};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    runtime::Builder,
    time::timeout,
};

const MANIFEST: &str = r#"
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: { name: s }
spec: { static: { endpoints: ["http://replica:80"] }, concurrency: 4 }
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: { name: m }
spec: { server: s, replicas: 1, hold: { seconds: 2, queue: 4 }, timeouts: { totalSeconds: 20 } }
"#;

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    clock::install();
    let variables = [("TAILBACK_WORKERS", "1"), ("TAILBACK_MEMORY_MAX", "none")];
    let env: Env = variables.into_iter().collect();
    load_text(Path::new("m.yaml"), MANIFEST, &env).unwrap()
});

/// Longer than all time limits together, on the simulated clock.
const LONGEST: Duration = Duration::from_secs(4_000);

/// What came of a caller's bytes.
#[derive(Debug, Default)]
pub struct Proxied {
    /// What the caller got.
    pub answer: Vec<u8>,
    /// The requests that the replica has read: path, Host and body.
    pub forwarded: Vec<(String, String, Bytes)>,
    /// Those of them that had to be counted: the others have asked about the model.
    pub to_be_counted: u64,
    /// Requests that were counted.
    pub counted: u64,
}

/// Sends `pieces` to the proxy, one after the other, and ends the caller's side.
///
/// # Panics
/// If a count is wrong afterwards, a connection or a permit stays, or nothing comes to an end.
#[must_use]
pub fn proxied(pieces: Vec<Vec<u8>>) -> Proxied {
    LazyLock::force(&CONFIG);
    // On a thread of its own: what is thread-local begins anew.
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .on_thread_unpark(clock::follow)
            .build()
            .unwrap();
        runtime.block_on(async {
            clock::begin();
            timeout(LONGEST, run(pieces)).await.expect("it ends")
        })
    };
    thread::spawn(run).join().unwrap()
}

/// The requests, and how many of them had to be counted.
type Seen = Arc<Mutex<(Vec<(String, String, Bytes)>, u64)>>;

struct ToReplica(Seen);

impl Network for ToReplica {
    fn connect(&self, _: &str) -> Pin<Box<dyn Future<Output = io::Result<Stream>>>> {
        let (near, far, _) = connection(Plan::default());
        let seen = self.0.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let seen = seen.clone();
            async move {
                let path = request.uri().to_string();
                let is_question = *request.method() == Method::OPTIONS
                    || path.split('?').next() == Some("/v2/models/m");
                let host = request.headers().get(HOST);
                let host = host.map_or_else(String::new, |host| format!("{host:?}"));
                let body = request.into_body().collect().await?.to_bytes();
                let mut seen = seen.lock().unwrap();
                seen.0.push((path, host, body));
                seen.1 += u64::from(!is_question);
                Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            }
        });
        tokio::spawn(async move {
            let served = http1::Builder::new().serve_connection(TokioIo::new(far), service);
            drop(served.await);
        });
        Box::pin(async move { Ok(near) })
    }
}

async fn run(pieces: Vec<Vec<u8>>) -> Proxied {
    let seen = Seen::default();
    network::enter(Rc::new(ToReplica(seen.clone())));
    let data_plane = DataPlane::new(&CONFIG);
    data_plane.set_replicas("m", &["replica:80"], 4);
    let stream = data_plane.connect(Plan::default()).expect("it listens");
    let (mut read, mut write) = split(stream);
    let sent = tokio::spawn(async move {
        for piece in pieces {
            if write.write_all(&piece).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let _ = write.shutdown().await;
    });
    let mut answer = Vec::new();
    // An error is an end as well.
    let _ = read.read_to_end(&mut answer).await;
    sent.abort();
    let _ = sent.await;
    drop(read);
    while data_plane.connections() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let counts = data_plane.ledger("m").read();
    assert_eq!(
        (counts.in_flight(), counts.held, counts.receiving),
        (0, 0, 0)
    );
    assert!(
        data_plane
            .replicas()
            .iter()
            .all(|(_, replica)| replica.in_flight() == 0)
    );
    assert!(data_plane.has_all_memory_back());
    let (forwarded, to_be_counted) = std::mem::take(&mut *seen.lock().unwrap());
    Proxied {
        answer,
        forwarded,
        to_be_counted,
        counted: counts.arrived,
    }
}
