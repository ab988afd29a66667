//! A minimal HTTP/1.1 client that sends exactly the bytes that a test gives it.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::PATIENCE;

/// A connection to the proxy.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// A complete response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields with lower-case names, in order.
    pub headers: Vec<(String, String)>,
    /// The body, without transfer coding.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }
}

impl Client {
    /// Connects to `address`.
    ///
    /// # Errors
    /// As the system says.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// The TCP stream, for what the other methods cannot do.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// As the system says.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream().write_all(bytes.as_ref())
    }

    /// Reads a response with its body.
    ///
    /// # Errors
    /// If the connection ends before it is complete.
    pub fn receive(&mut self) -> io::Result<Response> {
        let mut response = self.receive_head()?;
        if response.is_chunked() {
            response.body = self.receive_chunks()?;
        } else if let Some(length) = response
            .header("content-length")
            .and_then(|l| l.parse().ok())
        {
            response.body = vec![0; length];
            self.reader.read_exact(&mut response.body)?;
        }
        Ok(response)
    }

    /// Reads a response's head only; so also after HEAD.
    ///
    /// # Errors
    /// If the connection ends before it is complete.
    pub fn receive_head(&mut self) -> io::Result<Response> {
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let mut response = Response {
            status: status.ok_or_else(|| invalid(&line))?,
            ..Response::default()
        };
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(response);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid(&line))?;
            response
                .headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn receive_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(&line, 16).map_err(|_| invalid(&line))?;
            let mut chunk = vec![0; length];
            self.reader.read_exact(&mut chunk)?;
            self.line()?;
            if length == 0 {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Reads exactly `length` bytes.
    ///
    /// # Errors
    /// If the connection ends before.
    pub fn receive_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the other side has closed the connection, after discarding what it still sends.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Sends one request and reads its response.
    ///
    /// # Errors
    /// As the system says.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.send(request(method, path, headers, body))?;
        if method == "HEAD" {
            self.receive_head()
        } else {
            self.receive()
        }
    }
}

/// Sends a request to the model `m` that its replica never answers, on a new connection.
///
/// # Panics
/// If the connection fails.
#[must_use]
pub fn hang(address: SocketAddr) -> Client {
    let mut caller = Client::connect(address).unwrap();
    let request = request("GET", "/v2/models/m/hang", &[], b"");
    caller.send(request).unwrap();
    caller
}

/// The bytes of a request with Host and Content-Length.
#[must_use]
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        text += &format!("content-length: {}\r\n", body.len());
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

/// Sends one request on a new connection.
///
/// # Errors
/// As the system says.
pub fn call(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> io::Result<Response> {
    Client::connect(address)?.call(method, path, &[("connection", "close")], body)
}

fn invalid(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {line:?}"))
}

/// The value of a field in a request head.
#[must_use]
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
