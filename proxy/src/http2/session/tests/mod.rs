//! A session is given frames, and what it answers is read.

mod flow;
mod held;
mod rules;

use std::{cell::RefCell, rc::Rc, task::Waker};

use super::*;
use crate::http2::{
    frame::{END_HEADERS, END_STREAM, FrameHead},
    handles::{Handle, ReceiveStream, SendStream},
};

/// Small bounds.
pub(in crate::http2) const LIMITS: Http2Limits = Http2Limits {
    streams: 3,
    stream_window: 1000,
    window: 100_000,
    header_bytes: 1000,
    header_fields: 10,
    early_resets: 2,
    errors: 5,
};

/// A session, with a peer whose frames are written by hand.
struct Talk {
    session: Rc<RefCell<Http2Session>>,
    encoder: HeaderEncoder,
}

/// A frame from the session.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Talk {
    /// A session that has the peer's SETTINGS, and whose own first frames were read.
    fn begun(role: Role) -> Self {
        let session = Http2Session::new(role, LIMITS);
        let mut talk = Self {
            session: Rc::new(RefCell::new(session)),
            encoder: HeaderEncoder::new(),
        };
        assert_eq!(talk.say(frame::SETTINGS, 0, 0, &[]), Ok(()));
        talk.answers();
        talk
    }

    /// The peer sends a frame. Returns whether the connection goes on.
    fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Reason> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, kind, flags, stream, &[payload]);
        match self.session.borrow_mut().receive(&bytes) {
            Ok(taken) => {
                assert_eq!(taken, bytes.len());
                Ok(())
            }
            Err(ConnectionError(reason)) => Err(reason),
        }
    }

    /// The fields of a request, with some added.
    fn request_block(&mut self, added: &[(&'static str, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        self.encoder.method(&http::Method::POST, &mut out);
        self.encoder.scheme(false, &mut out);
        self.encoder.path(b"/a", &mut out);
        for (name, value) in added {
            let name = http::HeaderName::from_static(name);
            let value = value.parse().unwrap();
            self.encoder.field(&name, &value, &mut out);
        }
        out
    }

    /// The peer opens a stream.
    fn ask(&mut self, stream: u32, is_end: bool) -> Result<(), Reason> {
        let block = self.request_block(&[]);
        let end = if is_end { END_STREAM } else { 0 };
        self.say(frame::HEADERS, END_HEADERS | end, stream, &block)
    }

    /// The request that has come.
    fn accept(&self) -> Option<(ReceiveStream, SendStream)> {
        let next = self.session.borrow_mut().accept();
        next.map(|(key, _)| self.handles(key))
    }

    fn handles(&self, key: StreamKey) -> (ReceiveStream, SendStream) {
        let handle = Handle::new(self.session.clone(), key);
        (ReceiveStream(handle.another()), SendStream(handle))
    }

    /// What waits for the connection has its turns.
    fn begin_round(&self) {
        self.session.borrow_mut().serve_queue();
    }

    /// What the session has written.
    fn answers(&mut self) -> Vec<Answer> {
        let mut session = self.session.borrow_mut();
        let mut written = Vec::new();
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(session.output.poll_write(&mut written, cx).is_ready());
        let mut rest = written
            .strip_prefix(&frame::PREFACE[..])
            .unwrap_or(&written);
        let mut answers = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk() {
            let head = FrameHead::parse(head);
            let (payload, next) = behind.split_at(head.length);
            answers.push(Answer {
                kind: head.kind,
                flags: head.flags,
                stream: head.stream,
                payload: payload.to_vec(),
            });
            rest = next;
        }
        answers
    }
}

/// RST_STREAM.
fn reset(stream: u32, reason: Reason) -> Answer {
    Answer {
        kind: frame::RST_STREAM,
        flags: 0,
        stream,
        payload: reason.0.to_be_bytes().to_vec(),
    }
}

/// WINDOW_UPDATE.
fn more(stream: u32, bytes: u32) -> Answer {
    Answer {
        kind: frame::WINDOW_UPDATE,
        flags: 0,
        stream,
        payload: bytes.to_be_bytes().to_vec(),
    }
}

/// GOAWAY without an error.
fn going(last: u32) -> Answer {
    Answer {
        kind: frame::GOAWAY,
        flags: 0,
        stream: 0,
        payload: [last.to_be_bytes(), [0; 4]].concat(),
    }
}
