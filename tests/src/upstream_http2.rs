//! A model server with HTTP/2 in clear text, whose behaviour depends on the request's path.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, Request, Response};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::http2::piece;

/// The server. Its behaviour depends on the last segment of the path:
///
/// | path | behaviour |
/// |---|---|
/// | `echo` | the body, as it comes |
/// | `hang` | nothing |
/// | `stall` | one piece, then nothing |
/// | `reset` | resets the stream |
/// | `break` | one gRPC message, then resets the stream |
/// | `vanish` | one gRPC message, then closes the connection |
/// | `cut` | one gRPC message, then ends the stream without trailers |
/// | `refuse-once` | refuses the first stream, answers the next |
/// | `unavailable-once` | `grpc-status: 14` without a message the first time, then `hello` |
/// | `goaway` | answers, and accepts no further stream on that connection |
/// | `large` | 16 MiB |
/// | `both` | sends 16 MiB while it reads the body |
/// | `tick` | ten pieces, 20 ms apart |
/// | anything else | `hello` |
///
/// Responses to `application/grpc` end with `grpc-status: 0`, and for `refuse-call` with 3.
#[derive(Debug)]
pub struct UpstreamHttp2 {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    streams: AtomicUsize,
    refused: AtomicUsize,
    cancelled: AtomicUsize,
    active: AtomicUsize,
    heads: Mutex<Vec<Request<()>>>,
}

impl UpstreamHttp2 {
    /// Starts it on a free port; it ends with the test. `streams` is the number of concurrent
    /// streams for each connection.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start(streams: u32) -> Self {
        let seen = Arc::new(Seen::default());
        let all = seen.clone();
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let _ = tell.send(listener.local_addr().expect("its address"));
                while let Ok((tcp, _)) = listener.accept().await {
                    all.connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(tcp, streams, all.clone()));
                }
            });
        });
        let address = told.recv().expect("its address");
        Self { address, seen }
    }

    /// The number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// The number of requests so far.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.seen.streams.load(Ordering::SeqCst)
    }

    /// The number of streams that the other side has reset.
    #[must_use]
    pub fn cancelled(&self) -> usize {
        self.seen.cancelled.load(Ordering::SeqCst)
    }

    /// The number of open streams.
    #[must_use]
    pub fn active(&self) -> usize {
        self.seen.active.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    ///
    /// # Panics
    /// If the serving thread did.
    #[must_use]
    pub fn heads(&self) -> Vec<Request<()>> {
        let clone = |head: &Request<()>| {
            let mut copy = Request::new(());
            copy.method_mut().clone_from(head.method());
            copy.uri_mut().clone_from(head.uri());
            copy.headers_mut().clone_from(head.headers());
            copy
        };
        self.seen
            .heads
            .lock()
            .expect("heads")
            .iter()
            .map(clone)
            .collect()
    }
}

async fn serve(tcp: TcpStream, streams: u32, seen: Arc<Seen>) {
    let _ = tcp.set_nodelay(true);
    let Ok(mut h2) = Builder::new()
        .max_concurrent_streams(streams)
        .handshake(tcp)
        .await
    else {
        return;
    };
    let vanish = Arc::new(Notify::new());
    loop {
        let accepted = tokio::select! {
            accepted = h2.accept() => accepted,
            () = vanish.notified() => return,
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        let (head, body) = request.into_parts();
        let head = Request::from_parts(head, ());
        if head.uri().path().ends_with("/goaway") {
            h2.graceful_shutdown();
        }
        tokio::spawn(answer(head, body, respond, seen.clone(), vanish.clone()));
    }
}

async fn answer(
    head: Request<()>,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
    seen: Arc<Seen>,
    vanish: Arc<Notify>,
) {
    seen.streams.fetch_add(1, Ordering::SeqCst);
    seen.active.fetch_add(1, Ordering::SeqCst);
    let _active = Active(seen.clone());
    let path = head.uri().path().to_owned();
    let manner = path.rsplit('/').next().unwrap_or_default();
    let grpc = head
        .headers()
        .get("content-type")
        .is_some_and(|v| v == "application/grpc");
    seen.heads.lock().expect("heads").push(head);
    if manner == "reset" {
        return respond.send_reset(Reason::INTERNAL_ERROR);
    }
    if manner == "refuse-once" && seen.refused.fetch_add(1, Ordering::SeqCst) == 0 {
        return respond.send_reset(Reason::REFUSED_STREAM);
    }
    if manner == "hang" {
        let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
        seen.cancelled.fetch_add(1, Ordering::SeqCst);
        return;
    }
    if !matches!(manner, "echo" | "both") {
        while let Some(Ok(_)) = piece(&mut body).await {}
    }
    let mut response = Response::new(());
    if grpc {
        let value = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", value);
    }
    if manner == "unavailable-once" && seen.refused.fetch_add(1, Ordering::SeqCst) == 0 {
        let status = http::HeaderValue::from_static("14");
        response.headers_mut().insert("grpc-status", status);
        let _ = respond.send_response(response, true);
        return;
    }
    let Ok(mut stream) = respond.send_response(response, false) else {
        return;
    };
    let sent = match manner {
        "echo" => echo(&mut body, &mut stream).await,
        "stall" => {
            let _ = stream.send_data("hello".into(), false);
            let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            Err(())
        }
        "break" | "vanish" | "cut" => {
            let _ = stream.send_data(Bytes::from_static(b"\0\0\0\0\x05hello"), false);
            // It has gone out by then.
            tokio::time::sleep(Duration::from_millis(100)).await;
            match manner {
                "break" => stream.send_reset(Reason::INTERNAL_ERROR),
                "vanish" => vanish.notify_one(),
                _ => {
                    let _ = stream.send_data(Bytes::new(), true);
                }
            }
            return;
        }
        "large" => send(&mut stream, vec![b'x'; crate::upstream::LARGE].into()).await,
        "both" => {
            let answer = send(&mut stream, vec![b'x'; crate::upstream::LARGE].into());
            let take = async { while let Some(Ok(_)) = piece(&mut body).await {} };
            tokio::join!(answer, take).0
        }
        "tick" => tick(&mut stream).await,
        _ => send(&mut stream, "hello".into()).await,
    };
    if sent.is_err() {
        seen.cancelled.fetch_add(1, Ordering::SeqCst);
    } else if grpc {
        let status = if manner == "refuse-call" { "3" } else { "0" };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", status.parse().expect("a value"));
        let _ = stream.send_trailers(trailers);
    } else {
        let _ = stream.send_data(Bytes::new(), true);
    }
}

/// An open stream.
struct Active(Arc<Seen>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn echo(body: &mut RecvStream, stream: &mut SendStream<Bytes>) -> Result<(), ()> {
    while let Some(next) = piece(body).await {
        send(stream, next.map_err(|_| ())?).await?;
    }
    Ok(())
}

async fn tick(stream: &mut SendStream<Bytes>) -> Result<(), ()> {
    for number in 0..10 {
        send(stream, format!("{number}\n").into()).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Sends a piece, as fast as the window allows.
async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), ()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = room.and_then(Result::ok).ok_or(())?;
        let part = bytes.split_to(room.min(bytes.len()));
        stream.send_data(part, false).map_err(|_| ())?;
    }
    Ok(())
}
