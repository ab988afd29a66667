//! What waits, or comes late, costs no more than it must and stops nothing else.

use std::task::Poll;

use super::*;
use crate::message::HeaderMap;

fn next(stream: &mut ReceiveStream) -> Poll<Option<Result<usize, Http2Error>>> {
    let cx = &mut Context::from_waker(Waker::noop());
    let polled = stream.poll_frame(cx);
    polled.map_ok(|frame| frame.data_ref().map_or(0, bytes::Bytes::len))
}

#[test]
fn streams_go_on_beside_one_that_nobody_reads() {
    let mut talk = Talk::begun(Role::Server);
    talk.session.borrow_mut().limits.stream_window = 1000;
    let mut window = i64::from(LIMITS.window);
    let mut told = |talk: &mut Talk| {
        for answer in talk.answers() {
            if answer.kind == frame::WINDOW_UPDATE && answer.stream == 0 {
                let more = u32::from_be_bytes(answer.payload[..].try_into().unwrap());
                window += i64::from(more);
            }
        }
        window -= 1000;
        window
    };
    // 99 of the connection's 100 windows are full, on streams that nobody reads.
    talk.session.borrow_mut().limits.streams = 200;
    let held: Vec<_> = (0..99)
        .map(|i| {
            let id = 2 * i + 1;
            assert_eq!(talk.ask(id, false), Ok(()));
            assert_eq!(talk.say(frame::DATA, 0, id, &[7; 1000]), Ok(()));
            told(&mut talk);
            talk.accept()
        })
        .collect();
    for i in 99..400 {
        let id = 2 * i + 1;
        assert_eq!(talk.ask(id, false), Ok(()));
        let (mut receive, _respond) = talk.accept().unwrap();
        assert_eq!(talk.say(frame::DATA, END_STREAM, id, &[7; 1000]), Ok(()));
        assert_eq!(next(&mut receive), Poll::Ready(Some(Ok(1000))));
        let left = told(&mut talk);
        assert!(left >= 0, "{i} {left}");
    }
    drop(held);
}

#[test]
fn small_pieces_that_wait_are_put_together() {
    let mut talk = Talk::begun(Role::Server);
    talk.session.borrow_mut().limits.stream_window = 100_000;
    assert_eq!(talk.ask(1, false), Ok(()));
    let (mut receive, _respond) = talk.accept().unwrap();
    let sent: Vec<u8> = (0..20_000_u32).map(|i| (i % 251) as u8).collect();
    for piece in sent.chunks(1) {
        assert_eq!(talk.say(frame::DATA, 0, 1, piece), Ok(()));
    }
    assert_eq!(talk.say(frame::DATA, 0, 1, &[1; 8000]), Ok(()));
    assert_eq!(talk.say(frame::DATA, END_STREAM, 1, &[2; 5]), Ok(()));
    let cx = &mut Context::from_waker(Waker::noop());
    let mut pieces = Vec::new();
    while let Poll::Ready(Some(frame)) = receive.poll_frame(cx) {
        pieces.push(frame.unwrap().into_data().unwrap());
    }
    assert!(pieces.len() < 10, "{}", pieces.len());
    assert_eq!(pieces.concat(), [&sent[..], &[1; 8000], &[2; 5]].concat());
    assert!(receive.is_end());
}

#[test]
fn a_message_that_has_arrived_stays_complete_when_its_stream_is_reset() {
    let mut talk = Talk::begun(Role::Client);
    let key = talk.session.borrow_mut().open().unwrap();
    let (mut receive, mut send) = talk.handles(key);
    let mut head = Vec::new();
    talk.encoder.status(http::StatusCode::OK, &mut head);
    assert_eq!(talk.say(frame::HEADERS, END_HEADERS, 1, &head), Ok(()));
    assert_eq!(talk.say(frame::DATA, END_STREAM, 1, b"all of it"), Ok(()));
    send.reset(Reason::CANCEL);
    assert_eq!(talk.answers().pop(), Some(reset(1, Reason::CANCEL)));
    assert_eq!(next(&mut receive), Poll::Ready(Some(Ok(9))));
    assert_eq!(next(&mut receive), Poll::Ready(None));
}

#[test]
fn a_message_that_has_not_arrived_fails_with_its_stream() {
    let mut talk = Talk::begun(Role::Client);
    let key = talk.session.borrow_mut().open().unwrap();
    let (mut receive, _send) = talk.handles(key);
    let mut head = Vec::new();
    talk.encoder.status(http::StatusCode::OK, &mut head);
    assert_eq!(talk.say(frame::HEADERS, END_HEADERS, 1, &head), Ok(()));
    assert_eq!(talk.say(frame::DATA, 0, 1, b"a part"), Ok(()));
    assert_eq!(talk.say(frame::RST_STREAM, 0, 1, &[0; 4]), Ok(()));
    assert_eq!(next(&mut receive), Poll::Ready(Some(Ok(6))));
    let error = Http2Error::Reset(Reason::NO_ERROR);
    assert_eq!(next(&mut receive), Poll::Ready(Some(Err(error))));
}

#[test]
fn bodies_of_many_requests_that_were_answered_early_are_no_fault() {
    let mut talk = Talk::begun(Role::Server);
    for i in 0..3 * REMEMBERED as u32 {
        let id = 2 * i + 1;
        assert_eq!(talk.ask(id, false), Ok(()));
        let (receive, mut respond) = talk.accept().unwrap();
        let head = HeaderMap::new();
        respond
            .send_head(http::StatusCode::OK, &head, true)
            .unwrap();
        drop((receive, respond));
    }
    talk.answers();
    for i in 0..3 * REMEMBERED as u32 {
        assert_eq!(talk.say(frame::DATA, 0, 2 * i + 1, b"late"), Ok(()));
    }
    assert_eq!(talk.answers(), []);
}

#[test]
fn a_connection_that_ends_says_which_requests_were_not_processed() {
    let mut talk = Talk::begun(Role::Server);
    for id in [1, 3, 5] {
        assert_eq!(talk.ask(id, true), Ok(()));
    }
    let _first = talk.accept();
    let violation = ConnectionError(Reason::PROTOCOL_ERROR);
    talk.session.borrow_mut().violated(violation);
    let payload = [1_u32.to_be_bytes(), Reason::PROTOCOL_ERROR.0.to_be_bytes()].concat();
    assert_eq!(talk.answers().pop().unwrap().payload, payload);
}
