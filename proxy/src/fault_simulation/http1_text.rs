//! A strict and minimal HTTP/1.1 parser for the simulated callers and replicas.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A message's header.
#[derive(Debug)]
pub(super) struct Head {
    /// The words of its first line.
    pub words: Vec<String>,
    fields: Vec<(String, String)>,
}

/// How the end of a body is determined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Framing {
    Length(usize),
    Chunks,
    Close,
}

impl Head {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.parse().ok()
    }

    /// The framing; `otherwise` if the header does not determine it.
    pub(super) fn framing(&self, otherwise: Framing) -> Framing {
        match self.field("transfer-encoding") {
            Some(_) => Framing::Chunks,
            None => match self.number("content-length") {
                Some(length) => Framing::Length(length as usize),
                None => otherwise,
            },
        }
    }

    pub(super) fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

/// Reads messages of one direction of a connection.
pub(super) struct Reader<R> {
    io: R,
    bytes: BytesMut,
    /// A pause before the second read of a body.
    pub pause: Duration,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(io: R) -> Self {
        Self {
            io,
            bytes: BytesMut::new(),
            pause: Duration::ZERO,
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.io.read_buf(&mut self.bytes).await
    }

    /// The next line, without its end. `None`: the connection has ended.
    async fn line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|at| at == b"\r\n") {
                let line = self.bytes.split_to(end + 2);
                let line = String::from_utf8(line[..end].to_vec());
                return line.map(Some).map_err(|_| malformed("a line is no text"));
            }
            if self.more().await? == 0 {
                return match self.bytes.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// The next header. `None`: the connection has ended.
    pub(super) async fn head(&mut self) -> io::Result<Option<Head>> {
        let Some(first) = self.line().await? else {
            return Ok(None);
        };
        let mut head = Head {
            words: first.split(' ').map(str::to_owned).collect(),
            fields: Vec::new(),
        };
        loop {
            let line = self.line().await?;
            let line = line.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                return Ok(Some(head));
            }
            let (name, value) = line
                .split_once(": ")
                .ok_or_else(|| malformed("a field without a colon"))?;
            head.fields
                .push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// Reads a body to its end, and passes its pieces to `piece`.
    pub(super) async fn body(
        &mut self,
        framing: Framing,
        mut piece: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.exactly(length, &mut piece).await,
            Framing::Chunks => loop {
                let line = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
                let length = usize::from_str_radix(&line, 16);
                let length = length.map_err(|_| malformed("no length of a chunk"))?;
                self.exactly(length, &mut piece).await?;
                let end = self.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
                if !end.is_empty() {
                    return Err(malformed("a chunk is longer than it says"));
                }
                if length == 0 {
                    return Ok(());
                }
            },
            Framing::Close => loop {
                piece(&self.bytes);
                self.bytes.clear();
                self.rest().await;
                if self.more().await? == 0 {
                    return Ok(());
                }
            },
        }
    }

    async fn exactly(
        &mut self,
        mut length: usize,
        piece: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        while length > 0 {
            if self.bytes.is_empty() {
                self.rest().await;
                if self.more().await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let now = self.bytes.split_to(self.bytes.len().min(length));
            length -= now.len();
            piece(&now);
        }
        Ok(())
    }

    async fn rest(&mut self) {
        let pause = std::mem::take(&mut self.pause);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether bytes follow the last message.
    pub(super) fn has_rest(&self) -> bool {
        !self.bytes.is_empty()
    }
}

/// `bytes` in the chunked encoding.
pub(super) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
