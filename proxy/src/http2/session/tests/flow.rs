//! Flow control, and who may send next.

use std::task::Poll;

use super::*;

/// How much may be sent.
fn capacity(stream: &mut SendStream, wanted: usize) -> Option<usize> {
    let cx = &mut Context::from_waker(Waker::noop());
    match stream.poll_capacity(wanted, cx) {
        Poll::Ready(bytes) => Some(bytes.unwrap()),
        Poll::Pending => None,
    }
}

/// The bytes of the next piece.
fn taken(stream: &mut ReceiveStream) -> Option<usize> {
    let cx = &mut Context::from_waker(Waker::noop());
    match stream.poll_frame(cx) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().ok().map(|data| data.len()),
        _ => None,
    }
}

#[test]
fn the_peer_may_send_more_once_what_it_sent_was_taken() {
    let mut talk = Talk::begun(Role::Server);
    assert_eq!(talk.ask(1, false), Ok(()));
    let (mut receive, _respond) = talk.accept().unwrap();
    for _ in 0..2 {
        assert_eq!(talk.say(frame::DATA, 0, 1, &[7; 500]), Ok(()));
    }
    assert_eq!(talk.answers(), []);
    assert_eq!(taken(&mut receive), Some(500));
    assert_eq!(talk.answers(), [more(1, 500)]);
    // 500 bytes are open again, and no more.
    assert_eq!(talk.say(frame::DATA, 0, 1, &[7; 501]), Ok(()));
    assert_eq!(talk.answers(), [reset(1, Reason::FLOW_CONTROL_ERROR)]);
}

#[test]
fn padding_takes_room_of_the_window_and_gives_it_back() {
    let mut talk = Talk::begun(Role::Server);
    assert_eq!(talk.ask(1, false), Ok(()));
    let (mut receive, _respond) = talk.accept().unwrap();
    let mut padded = vec![200];
    padded.extend([1; 300]);
    for _ in 0..10 {
        assert_eq!(talk.say(frame::DATA, frame::PADDED, 1, &padded), Ok(()));
        assert_eq!(taken(&mut receive), Some(100));
    }
    let told: u32 = (talk.answers().iter())
        .map(|answer| u32::from_be_bytes(answer.payload[..].try_into().unwrap()))
        .sum();
    assert!(told > 2500, "{told}");
}

#[test]
fn the_connections_window_is_held_too_and_what_nobody_reads_is_given_back() {
    let mut talk = Talk::begun(Role::Server);
    let mut sent = 0;
    // Each stream is dropped with what it has not read.
    for id in (1..2001).step_by(2) {
        assert_eq!(talk.ask(id, false), Ok(()));
        let stream = talk.accept();
        assert_eq!(talk.say(frame::DATA, 0, id, &[7; 1000]), Ok(()));
        drop(stream);
        sent += 1000;
    }
    assert_eq!(sent, 10 * LIMITS.window);
    let told = (talk.answers().iter())
        .filter(|answer| answer.kind == frame::WINDOW_UPDATE && answer.stream == 0)
        .map(|answer| u32::from_be_bytes(answer.payload[..].try_into().unwrap()))
        .sum::<u32>();
    assert!((sent - LIMITS.window..=sent).contains(&told), "{told}");
}

#[test]
fn a_body_has_the_announced_length() {
    for (pieces, fits) in [
        (&[3, 2][..], true),
        (&[5], true),
        (&[3, 3], false),
        (&[3], false),
    ] {
        let mut talk = Talk::begun(Role::Server);
        let block = talk.request_block(&[("content-length", "5")]);
        assert_eq!(talk.say(frame::HEADERS, END_HEADERS, 1, &block), Ok(()));
        let (receive, _respond) = talk.accept().unwrap();
        assert_eq!(receive.left(), Some(5));
        for (i, &piece) in pieces.iter().enumerate() {
            let end = if i + 1 == pieces.len() { END_STREAM } else { 0 };
            assert_eq!(talk.say(frame::DATA, end, 1, &vec![7; piece]), Ok(()));
        }
        let expected = if fits {
            vec![]
        } else {
            vec![reset(1, Reason::PROTOCOL_ERROR)]
        };
        assert_eq!(talk.answers(), expected, "{pieces:?}");
    }
}

#[test]
fn no_more_is_sent_than_the_windows_allow() {
    let mut talk = Talk::begun(Role::Server);
    assert_eq!(talk.ask(1, true), Ok(()));
    let (_receive, mut respond) = talk.accept().unwrap();
    let mut sent = 0;
    while let Some(bytes) = capacity(&mut respond, 100_000) {
        respond.send_data(vec![7; bytes].into(), false).unwrap();
        sent += bytes;
        talk.answers();
    }
    assert_eq!(sent, 65_535);
    assert_eq!(talk.say(frame::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]), Ok(()));
    talk.begin_round();
    assert_eq!(
        capacity(&mut respond, 100),
        None,
        "the connection has no more"
    );
    assert_eq!(talk.say(frame::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 5]), Ok(()));
    talk.begin_round();
    assert_eq!(capacity(&mut respond, 100), Some(5));
    // A smaller window for all streams: this one has less than nothing.
    let window = [0, 4, 0, 0, 0, 0];
    assert_eq!(talk.say(frame::SETTINGS, 0, 0, &window), Ok(()));
    talk.begin_round();
    assert_eq!(capacity(&mut respond, 100), None);
    assert_eq!(
        talk.say(frame::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
        Ok(())
    );
    talk.begin_round();
    assert_eq!(capacity(&mut respond, 100), Some(5));
    assert_eq!(
        talk.say(frame::WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]),
        Ok(())
    );
    let last = talk.answers().pop();
    assert_eq!(last, Some(reset(1, Reason::FLOW_CONTROL_ERROR)));
}

#[test]
fn streams_that_wait_for_the_connection_have_their_turns() {
    let mut talk = Talk::begun(Role::Server);
    for (kind, stream) in [(frame::SETTINGS, 0), (frame::WINDOW_UPDATE, 0)] {
        // Windows of streams and the connection that are no bound.
        let settings = [0, 4, 0x3f, 0xff, 0xff, 0xff];
        let payload = if kind == frame::SETTINGS {
            &settings[..]
        } else {
            &settings[2..]
        };
        assert_eq!(talk.say(kind, 0, stream, payload), Ok(()));
    }
    let mut streams: Vec<_> = [1, 3, 5]
        .map(|id| {
            assert_eq!(talk.ask(id, true), Ok(()));
            talk.accept().unwrap()
        })
        .into();
    let mut sent = [0; 3];
    for _ in 0..30 {
        for (i, (_, respond)) in streams.iter_mut().enumerate() {
            while let Some(bytes) = capacity(respond, 100_000) {
                respond.send_data(vec![7; bytes].into(), false).unwrap();
                sent[i] += bytes;
            }
        }
        talk.answers();
        talk.begin_round();
    }
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(*least > 0 && most - least <= 4 * ENOUGH, "{sent:?}");
}
