//! What the peer must do, and what happens if it does not (RFC 9113; the cases of h2spec).

use super::*;
use crate::message::HeaderMap;

const PROTOCOL: Result<(), Reason> = Err(Reason::PROTOCOL_ERROR);
const SIZE: Result<(), Reason> = Err(Reason::FRAME_SIZE_ERROR);

#[test]
fn settings_come_first() {
    let mut session = Http2Session::new(Role::Server, LIMITS);
    let mut ping = Vec::new();
    frame::write(&mut ping, frame::PING, 0, 0, &[&[0; 8]]);
    assert_eq!(
        session.receive(&ping),
        Err(ConnectionError(Reason::PROTOCOL_ERROR))
    );
}

#[test]
fn frames_that_are_wrong_by_themselves_end_the_connection() {
    let go_away = [0; 8];
    for (kind, flags, stream, payload, expected) in [
        (frame::DATA, 0, 0, &b"a"[..], PROTOCOL),
        (frame::DATA, 0, 1, b"a", PROTOCOL),
        (frame::HEADERS, END_HEADERS, 0, b"\x82", PROTOCOL),
        (frame::HEADERS, END_HEADERS, 2, b"\x82\x86\x84", PROTOCOL),
        (
            frame::HEADERS,
            END_HEADERS,
            1,
            b"\xff\xff\xff\xff\xff\xff",
            Err(Reason::COMPRESSION_ERROR),
        ),
        (
            frame::HEADERS,
            END_HEADERS | frame::PRIORITISED,
            1,
            b"\x82",
            SIZE,
        ),
        (
            frame::HEADERS,
            END_HEADERS | frame::PADDED,
            1,
            b"\x09\x82",
            PROTOCOL,
        ),
        (frame::CONTINUATION, END_HEADERS, 1, b"\x82", PROTOCOL),
        (frame::PRIORITY, 0, 0, &[0; 5], PROTOCOL),
        (frame::RST_STREAM, 0, 1, &[0; 4], PROTOCOL),
        (frame::RST_STREAM, 0, 0, &[0; 4], PROTOCOL),
        (frame::RST_STREAM, 0, 1, &[0; 3], SIZE),
        (frame::SETTINGS, 0, 1, &[], PROTOCOL),
        (frame::SETTINGS, 0, 0, &[0; 5], SIZE),
        (frame::SETTINGS, frame::ACK, 0, &[0; 6], SIZE),
        (frame::PUSH_PROMISE, END_HEADERS, 1, &[0; 4], PROTOCOL),
        (frame::PING, 0, 1, &[0; 8], PROTOCOL),
        (frame::PING, 0, 0, &[0; 7], SIZE),
        (frame::GOAWAY, 0, 1, &go_away, PROTOCOL),
        (frame::GOAWAY, 0, 0, &[0; 7], SIZE),
        (frame::WINDOW_UPDATE, 0, 0, &[0; 4], PROTOCOL),
        (frame::WINDOW_UPDATE, 0, 0, &[0; 3], SIZE),
        (frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1], PROTOCOL),
        (
            frame::WINDOW_UPDATE,
            0,
            0,
            &[0x7f, 0xff, 0xff, 0xff],
            Err(Reason::FLOW_CONTROL_ERROR),
        ),
        (0xf0, 0xff, 7, b"unknown", Ok(())),
    ] {
        let said = Talk::begun(Role::Server).say(kind, flags, stream, payload);
        assert_eq!(said, expected, "{kind} {flags} {stream} {payload:?}");
    }
    let mut talk = Talk::begun(Role::Server);
    let long = vec![0; frame::MOST + 1];
    assert_eq!(talk.say(frame::DATA, 0, 1, &long), SIZE);
}

#[test]
fn nothing_comes_between_the_frames_of_a_header_block() {
    let mut talk = Talk::begun(Role::Server);
    let block = talk.request_block(&[]);
    let (first, rest) = block.split_at(2);
    assert_eq!(talk.say(frame::HEADERS, END_STREAM, 1, first), Ok(()));
    assert_eq!(talk.say(frame::CONTINUATION, 0, 1, &[]), Ok(()));
    assert_eq!(talk.say(frame::CONTINUATION, END_HEADERS, 1, rest), Ok(()));
    assert!(talk.accept().is_some());
    for (kind, stream) in [(frame::DATA, 3), (frame::CONTINUATION, 5), (frame::PING, 0)] {
        let mut talk = Talk::begun(Role::Server);
        assert_eq!(talk.say(frame::HEADERS, END_STREAM, 3, first), Ok(()));
        assert_eq!(talk.say(kind, 0, stream, &[0; 8]), PROTOCOL);
    }
}

#[test]
fn a_header_block_without_an_end_ends_the_connection() {
    for piece in [0, 1000] {
        let mut talk = Talk::begun(Role::Server);
        assert_eq!(talk.say(frame::HEADERS, 0, 1, &[]), Ok(()));
        let ended =
            (0..100).find_map(|_| talk.say(frame::CONTINUATION, 0, 1, &vec![0; piece]).err());
        assert_eq!(ended, Some(Reason::ENHANCE_YOUR_CALM));
    }
}

#[test]
fn a_malformed_request_is_reset_and_others_go_on() {
    for added in [
        ("connection", "close"),
        ("te", "gzip"),
        ("content-length", "x"),
        ("content-length", "1"),
    ] {
        let mut talk = Talk::begun(Role::Server);
        let block = talk.request_block(&[added]);
        assert_eq!(
            talk.say(frame::HEADERS, END_HEADERS | END_STREAM, 1, &block),
            Ok(())
        );
        assert_eq!(
            talk.answers(),
            [reset(1, Reason::PROTOCOL_ERROR)],
            "{added:?}"
        );
        assert!(talk.accept().is_none());
        assert_eq!(talk.ask(3, true), Ok(()));
        assert!(talk.accept().is_some());
    }
}

#[test]
fn a_header_that_is_too_large_is_answered_431() {
    let many = vec![("a", "b"); 11];
    let long = "x".repeat(1000);
    for added in [many, vec![("a", &long[..])]] {
        let mut talk = Talk::begun(Role::Server);
        let block = talk.request_block(&added);
        assert_eq!(
            talk.say(frame::HEADERS, END_HEADERS | END_STREAM, 1, &block),
            Ok(())
        );
        let [answer] = &talk.answers()[..] else {
            panic!("one answer");
        };
        let mut status = None;
        let read = HeaderDecoder::new().decode(&answer.payload, 1000, |field| status = Some(field));
        assert!(read.is_ok());
        let expected =
            crate::http2::hpack::Field::Status(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!((answer.kind, status), (frame::HEADERS, Some(expected)));
        assert_eq!(talk.ask(3, true), Ok(()));
        assert!(talk.accept().is_some());
    }
}

#[test]
fn more_streams_than_allowed_are_not_taken() {
    let mut talk = Talk::begun(Role::Server);
    let kept: Vec<_> = [1, 3, 5]
        .map(|id| {
            assert_eq!(talk.ask(id, false), Ok(()));
            talk.accept()
        })
        .into();
    assert_eq!(talk.ask(7, false), Ok(()));
    assert_eq!(talk.answers(), [reset(7, Reason::REFUSED_STREAM)]);
    // What was sent for it before the peer knows is ignored.
    assert_eq!(talk.say(frame::DATA, 0, 7, b"abc"), Ok(()));
    drop(kept);
    talk.answers();
    assert_eq!(talk.ask(9, false), Ok(()));
    assert!(talk.accept().is_some());
    // Numbers only rise.
    assert_eq!(talk.ask(8, false), PROTOCOL);
}

#[test]
fn after_its_end_a_stream_takes_nothing() {
    for kind in [frame::DATA, frame::HEADERS] {
        let mut talk = Talk::begun(Role::Server);
        assert_eq!(talk.ask(1, true), Ok(()));
        let _stream = talk.accept();
        let block = talk.request_block(&[]);
        assert_eq!(talk.say(kind, END_HEADERS | END_STREAM, 1, &block), Ok(()));
        assert_eq!(talk.answers(), [reset(1, Reason::STREAM_CLOSED)]);
    }
    // Nor once it is forgotten. The peer is told once.
    let mut talk = Talk::begun(Role::Server);
    assert_eq!(talk.ask(1, true), Ok(()));
    let (receive, mut respond) = talk.accept().unwrap();
    respond
        .send_head(http::StatusCode::OK, &HeaderMap::new(), true)
        .unwrap();
    drop((receive, respond));
    talk.answers();
    for _ in 0..9 {
        assert_eq!(talk.say(frame::DATA, 0, 1, b"a"), Ok(()));
    }
    assert_eq!(talk.answers(), [reset(1, Reason::STREAM_CLOSED)]);
}

#[test]
fn a_peer_that_breaks_rules_on_many_streams_loses_its_connection() {
    let mut talk = Talk::begun(Role::Server);
    for id in [1, 3, 5, 7, 9, 11] {
        let block = talk.request_block(&[("te", "gzip")]);
        let said = talk.say(frame::HEADERS, END_HEADERS | END_STREAM, id, &block);
        let expected = if id == 11 {
            Err(Reason::ENHANCE_YOUR_CALM)
        } else {
            Ok(())
        };
        assert_eq!(said, expected, "{id}");
    }
}

/// Whether the connection ends while the peer sends a frame again and again.
fn ends_by(talk: &mut Talk, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
    let ended = (0..100_000).find_map(|_| talk.say(kind, flags, stream, payload).err());
    ended == Some(Reason::ENHANCE_YOUR_CALM)
}

#[test]
#[cfg_attr(miri, ignore = "Miri is too slow for so many frames a second")]
fn frames_that_bring_nothing_end_the_connection_if_there_are_many() {
    let begun = || {
        let mut talk = Talk::begun(Role::Server);
        assert_eq!(talk.ask(1, false), Ok(()));
        let open = talk.accept().unwrap();
        assert_eq!(talk.ask(3, false), Ok(()));
        drop(talk.accept());
        talk.answers();
        (talk, open)
    };
    let trailers = begun().0.request_block(&[]);
    let padding = [3, 0, 0, 0];
    let (one, no_reason) = (1_u32.to_be_bytes(), [0; 4]);
    // Stream 1 is open, and 3 was reset by this side.
    for (kind, flags, stream, payload) in [
        (frame::DATA, 0, 1, &[][..]),
        (frame::DATA, frame::PADDED, 1, &padding),
        (frame::DATA, 0, 3, b""),
        (frame::DATA, frame::PADDED, 3, &padding),
        (frame::HEADERS, END_HEADERS | END_STREAM, 3, &trailers),
        (frame::WINDOW_UPDATE, 0, 0, &one),
        (frame::WINDOW_UPDATE, 0, 1, &one),
        (frame::WINDOW_UPDATE, 0, 3, &one),
        (frame::RST_STREAM, 0, 3, &no_reason),
    ] {
        let (mut talk, _open) = begun();
        assert!(
            ends_by(&mut talk, kind, flags, stream, payload),
            "frame {kind} of stream {stream}"
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri is too slow for so many frames a second")]
fn window_updates_for_what_was_sent_may_be_many() {
    let mut talk = Talk::begun(Role::Server);
    assert_eq!(talk.ask(1, true), Ok(()));
    let (_receive, mut respond) = talk.accept().unwrap();
    let (one, data) = (1_u32.to_be_bytes(), Bytes::from_static(b"a"));
    for _ in 0..30_000 {
        respond.send_data(data.clone(), false).unwrap();
        assert_eq!(talk.say(frame::WINDOW_UPDATE, 0, 0, &one), Ok(()));
        assert_eq!(talk.say(frame::WINDOW_UPDATE, 0, 1, &one), Ok(()));
        talk.answers();
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri is too slow for so many frames a second")]
fn a_replica_that_sends_interim_answers_without_end_loses_its_connection() {
    let mut talk = Talk::begun(Role::Client);
    let key = talk.session.borrow_mut().open().unwrap();
    let _stream = talk.handles(key);
    let mut interim = Vec::new();
    talk.encoder
        .status(http::StatusCode::EARLY_HINTS, &mut interim);
    assert!(ends_by(&mut talk, frame::HEADERS, END_HEADERS, 1, &interim));
}

#[test]
fn streams_that_are_reset_before_anybody_takes_them_are_few() {
    let mut talk = Talk::begun(Role::Server);
    for id in [1, 3, 5] {
        assert_eq!(talk.ask(id, true), Ok(()));
        let said = talk.say(frame::RST_STREAM, 0, id, &[0; 4]);
        assert_eq!(said.is_err(), id == 5, "{said:?}");
    }
    let mut talk = Talk::begun(Role::Server);
    for id in (1..99).step_by(2) {
        assert_eq!(talk.ask(id, true), Ok(()));
        let stream = talk.accept();
        assert_eq!(talk.say(frame::RST_STREAM, 0, id, &[0; 4]), Ok(()));
        drop(stream);
        assert!(talk.accept().is_none());
    }
}

#[test]
fn trailers_end_a_stream_and_have_no_pseudo_fields() {
    let mut field = Vec::new();
    let name = http::HeaderName::from_static("a");
    HeaderEncoder::new().field(&name, &http::HeaderValue::from_static("b"), &mut field);
    for (flags, is_pseudo, fits) in [
        (END_STREAM, false, true),
        (0, false, false),
        (END_STREAM, true, false),
    ] {
        let mut talk = Talk::begun(Role::Server);
        assert_eq!(talk.ask(1, false), Ok(()));
        let (mut receive, _respond) = talk.accept().unwrap();
        let pseudo = [0x82];
        let block = if is_pseudo { &pseudo[..] } else { &field };
        assert_eq!(
            talk.say(frame::HEADERS, END_HEADERS | flags, 1, block),
            Ok(())
        );
        let cx = &mut Context::from_waker(Waker::noop());
        let std::task::Poll::Ready(Some(read)) = receive.poll_frame(cx) else {
            panic!("something has come");
        };
        assert_eq!(read.is_ok_and(|frame| frame.is_trailers()), fits);
        let expected = if fits {
            vec![]
        } else {
            vec![reset(1, Reason::PROTOCOL_ERROR)]
        };
        assert_eq!(talk.answers(), expected);
    }
}

#[test]
fn the_orderly_end_takes_what_was_under_way() {
    let mut talk = Talk::begun(Role::Server);
    assert_eq!(talk.ask(1, true), Ok(()));
    let first = talk.accept();
    talk.session.borrow_mut().go_away();
    let [notice, ping] = &talk.answers()[..] else {
        panic!("GOAWAY and PING");
    };
    assert_eq!(*notice, going(0x7fff_ffff));
    assert_eq!(talk.ask(3, true), Ok(()));
    let second = talk.accept();
    assert!(second.is_some());
    assert_eq!(talk.say(frame::PING, frame::ACK, 0, &ping.payload), Ok(()));
    assert_eq!(talk.answers(), [going(3)]);
    // The peer has been told.
    assert_eq!(talk.ask(5, false), Ok(()));
    assert_eq!(talk.say(frame::DATA, END_STREAM, 5, b"abc"), Ok(()));
    assert!(talk.accept().is_none());
    assert!(!talk.session.borrow().is_over());
    drop((first, second));
    assert!(talk.session.borrow().is_over());
}

#[test]
fn streams_beyond_a_replicas_last_one_were_not_processed() {
    let mut talk = Talk::begun(Role::Client);
    let open = |talk: &Talk| {
        let key = talk.session.borrow_mut().open();
        key.map(|key| talk.handles(key))
    };
    let (mut one, mut three) = (open(&talk).unwrap(), open(&talk).unwrap());
    let mut last = [0; 8];
    last[3] = 1;
    assert_eq!(talk.say(frame::GOAWAY, 0, 0, &last), Ok(()));
    let cx = &mut Context::from_waker(Waker::noop());
    let unprocessed = Http2Error::Unprocessed(Reason::NO_ERROR);
    assert_eq!(three.1.poll_reset(cx), std::task::Poll::Ready(unprocessed));
    assert!(one.1.poll_reset(cx).is_pending());
    assert!(open(&talk).is_err());
    assert!(!talk.session.borrow().is_over());
    drop((one, three));
    assert!(talk.session.borrow().is_over());
}
