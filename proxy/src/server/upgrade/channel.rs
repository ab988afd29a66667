//! Messages with file descriptors, over a Unix socket.
//!
//! A message is a header of eight bytes, then its text as JSON. The header is the length of the
//! text and the number of descriptors, each a big-endian number of four bytes. The descriptors are
//! attached to the header's first byte. Nothing is read beyond a message, so that the socket can be
//! used otherwise after the last one.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut, Write},
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Serialize, de::DeserializeOwned};
use tailback_scaler::orchestrator::handover::Parcel;

/// Most descriptors of one message.
const DESCRIPTORS: usize = 8;
/// Most bytes of a message. Each model takes some hundred bytes.
const LONGEST: usize = 64 * 1024 * 1024;

/// One end of the socket.
#[derive(Debug)]
pub(super) struct Channel {
    socket: UnixStream,
    /// Descriptors received, and not yet assigned to a message.
    received: VecDeque<OwnedFd>,
}

impl Channel {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            received: VecDeque::new(),
        }
    }

    /// The socket, for other use after the last message.
    pub(super) fn into_socket(self) -> UnixStream {
        self.socket
    }

    /// Sets how long to wait for a message.
    pub(super) fn wait_at_most(&self, limit: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(limit))
    }

    /// Sends `message` with `descriptors`.
    pub(super) fn send(
        &mut self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.send_text(&serde_json::to_string(message)?, descriptors)
    }

    /// Sends a parcel.
    pub(super) fn send_parcel(&mut self, parcel: &Parcel) -> io::Result<()> {
        use std::os::fd::AsFd;
        let descriptors: Vec<_> = parcel.descriptors.iter().map(AsFd::as_fd).collect();
        self.send_text(&parcel.line, &descriptors)
    }

    fn send_text(&mut self, text: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        if text.len() > LONGEST || descriptors.len() > DESCRIPTORS {
            return Err(io::Error::other("a message is too long"));
        }
        // Lossless: both were checked against much smaller limits.
        let length = (text.len() as u32).to_be_bytes();
        let number = (descriptors.len() as u32).to_be_bytes();
        let head = [length, number].concat();
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights[..] };
        let sent = sendmsg::<()>(
            self.socket.as_raw_fd(),
            &[IoSlice::new(&head)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        self.socket.write_all(&head[sent..])?;
        self.socket.write_all(text.as_bytes())
    }

    /// Receives the next message with its descriptors; `None` if the other end has closed.
    pub(super) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Some(parcel) = self.receive_parcel()? else {
            return Ok(None);
        };
        Ok(Some((parcel.read()?, parcel.descriptors)))
    }

    /// Receives the next message as a parcel; `None` if the other end has closed.
    pub(super) fn receive_parcel(&mut self) -> io::Result<Option<Parcel>> {
        let mut head = [0; 8];
        if !self.read(&mut head)? {
            return Ok(None);
        }
        let [l0, l1, l2, l3, n0, n1, n2, n3] = head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let number = u32::from_be_bytes([n0, n1, n2, n3]) as usize;
        if length > LONGEST || number > self.received.len() {
            return Err(io::Error::other("not a message of an upgrade"));
        }
        let mut text = vec![0; length];
        if !self.read(&mut text)? {
            return Ok(None);
        }
        Ok(Some(Parcel {
            line: String::from_utf8(text).map_err(io::Error::other)?,
            descriptors: self.received.drain(..number).collect(),
        }))
    }

    /// Fills `buffer`; `false` if the other end closes before it is full.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < buffer.len() {
            let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS]);
            let mut pieces = [IoSliceMut::new(&mut buffer[filled..])];
            let received = recvmsg::<()>(
                self.socket.as_raw_fd(),
                &mut pieces,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            );
            let received = match received {
                Err(nix::errno::Errno::EINTR) => continue,
                received => received?,
            };
            for message in received.cmsgs()? {
                if let ControlMessageOwned::ScmRights(descriptors) = message {
                    let owned = descriptors.into_iter().map(|descriptor| {
                        // SAFETY: the kernel has just opened it for this process and reported its
                        // number to this call alone (unix(7), SCM_RIGHTS), so nothing else owns it.
                        unsafe { OwnedFd::from_raw_fd(descriptor) }
                    });
                    self.received.extend(owned);
                }
            }
            match received.bytes {
                0 => return Ok(false),
                bytes => filled += bytes,
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read, Seek},
        os::fd::AsFd,
    };

    use super::*;

    fn pair() -> (Channel, Channel) {
        let (a, b) = UnixStream::pair().unwrap();
        (Channel::new(a), Channel::new(b))
    }

    #[test]
    fn each_message_has_its_descriptors_and_nothing_is_read_beyond_the_last() {
        let (mut here, mut there) = pair();
        let mut files: Vec<File> = (0..3).map(|_| tempfile::tempfile().unwrap()).collect();
        for (number, file) in files.iter_mut().enumerate() {
            write!(file, "{number}").unwrap();
            file.rewind().unwrap();
        }
        here.send(&"none", &[]).unwrap();
        here.send(&"two", &[files[0].as_fd(), files[1].as_fd()])
            .unwrap();
        here.send(&"one", &[files[2].as_fd()]).unwrap();
        here.into_socket().write_all(b"rest").unwrap();
        let mut read = Vec::new();
        for expected in ["none", "two", "one"] {
            let (text, descriptors): (String, _) = there.receive().unwrap().unwrap();
            assert_eq!(text, expected);
            for descriptor in descriptors {
                let mut content = String::new();
                File::from(descriptor).read_to_string(&mut content).unwrap();
                read.push((text.clone(), content));
            }
        }
        let expected = [("two", "0"), ("two", "1"), ("one", "2")];
        assert_eq!(read, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let mut rest = String::new();
        there.into_socket().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "rest");
    }

    #[test]
    fn a_closed_socket_is_no_error_and_a_malformed_message_is() {
        let (here, mut there) = pair();
        drop(here);
        assert!(there.receive::<String>().unwrap().is_none());
        let (here, mut there) = pair();
        here.into_socket().write_all(&[255; 8]).unwrap();
        assert!(there.receive::<String>().is_err());
    }
}
