//! An HTTP/2 client whose streams do exactly what a test says.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::{net::TcpStream, task::JoinHandle};

/// A connection to the proxy. Dropping it closes the connection and its streams.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Bytes>,
    task: JoinHandle<()>,
}

/// A complete response.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: StatusCode,
    /// Fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// The trailers.
    pub trailers: Option<HeaderMap>,
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The gRPC status: in the trailers, or the fields.
    #[must_use]
    pub fn grpc_status(&self) -> Option<&str> {
        let trailers = self.trailers.as_ref().unwrap_or(&self.headers);
        trailers.get("grpc-status")?.to_str().ok()
    }
}

impl Client {
    /// Connects, with prior knowledge.
    ///
    /// # Errors
    /// If the other side does not speak HTTP/2.
    pub async fn connect(address: SocketAddr) -> Result<Self, h2::Error> {
        Self::with(address, h2::client::Builder::new()).await
    }

    /// Connects with these settings.
    ///
    /// # Errors
    /// If the other side does not speak HTTP/2.
    ///
    /// # Panics If the connection is refused.
    pub async fn with(
        address: SocketAddr,
        builder: h2::client::Builder,
    ) -> Result<Self, h2::Error> {
        let tcp = TcpStream::connect(address).await.expect("a listener");
        let _ = tcp.set_nodelay(true);
        let (sender, connection) = builder.handshake(tcp).await?;
        let task = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, task })
    }

    /// Sends a request's head on a new stream.
    ///
    /// # Errors
    /// If the connection is closed.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://test{path}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        self.sender
            .clone()
            .ready()
            .await?
            .send_request(request, end)
    }

    /// Sends one request and reads its response.
    ///
    /// # Errors
    /// If the stream or the connection breaks.
    pub async fn call(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Response, h2::Error> {
        let (response, mut stream) = self.open(Method::POST, path, fields, false).await?;
        // An answer that does not wait for the body may end the stream before.
        let _ = stream.send_data(body.into(), true);
        receive(response).await
    }

    /// Whether the connection is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads a response to its end.
///
/// # Errors
/// If it breaks.
pub async fn receive(response: ResponseFuture) -> Result<Response, h2::Error> {
    let (parts, mut body) = response.await?.into_parts();
    let mut whole = Vec::new();
    while let Some(piece) = piece(&mut body).await {
        whole.extend_from_slice(&piece?);
    }
    Ok(Response {
        status: parts.status,
        headers: parts.headers,
        body: whole,
        trailers: body.trailers().await?,
    })
}

/// The next piece of a body. Its flow-control capacity is released.
pub async fn piece(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    loop {
        let piece = body.data().await?;
        match &piece {
            // Only the end.
            Ok(piece) if piece.is_empty() => continue,
            Ok(piece) => {
                let _ = body.flow_control().release_capacity(piece.len());
            }
            Err(_) => {}
        }
        return Some(piece);
    }
}
