//! Turns of large bodies.

use super::*;
use crate::{exchange::Scheme, net::HttpVersion};
use std::task::Waker;

fn state() -> StreamState {
    let hour = Duration::from_secs(3600);
    let timeouts = tailback_config::Timeouts {
        header: hour,
        keep_alive: hour,
        body: hour,
        stream_idle: hour,
        drain: hour,
        tunnel_drain: hour,
    };
    let connection = Connection::new(timeouts, None, HttpVersion::Http1, Scheme::Http);
    StreamState::new(Rc::new(connection), Phase::Streaming)
}

#[tokio::test]
async fn large_bodies_take_turns_and_let_others_through() {
    let calls = [Rc::new(state()), Rc::new(state())];
    let cx = &mut Context::from_waker(Waker::noop());
    for state in &calls {
        state.passed(&Frame::data(Bytes::from(vec![0; SHARE / 2])));
        assert!(state.poll_turn(cx).is_ready());
        state.passed(&Frame::data(Bytes::from(vec![0; SHARE])));
    }
    let mut fair_share = Vec::new();
    while fair_share.len() < 6 {
        for (i, state) in calls.iter().enumerate() {
            if state.poll_turn(cx).is_ready() {
                fair_share.push(i);
                state.passed(&Frame::data(Bytes::from(vec![0; SHARE])));
                for _ in 0..16 {
                    assert!(state.poll_turn(cx).is_pending());
                }
            }
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(fair_share, [0, 1, 0, 1, 0, 1]);
}

#[tokio::test]
async fn both_ways_of_a_call_are_told_of_their_turn() {
    let state = Rc::new(state());
    state.passed(&Frame::data(Bytes::from(vec![0; SHARE])));
    // A request's body and an answer's, each of its own task.
    let tasks = tokio::task::LocalSet::new();
    for _ in 0..2 {
        let state = state.clone();
        tasks.spawn_local(std::future::poll_fn(move |cx| state.poll_turn(cx)));
    }
    let both = tokio::time::timeout(Duration::from_secs(10), tasks);
    both.await.expect("one was not status");
}
