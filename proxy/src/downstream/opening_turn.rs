//! Turns of new connections. To open one costs as much as several requests, and a TLS handshake as much as
//! many. So only some are opened in each round of a worker's event loop, and requests on open
//! connections do not wait for the rest of a crowd.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use crate::exchange::in_each_round;

/// Turns that a worker has before it looks at its sockets again.
const IN_A_ROUND: usize = 16;
/// Where rounds take long, there is a turn for each of these: new connections get their part of the
/// worker's time, too.
const TIME_OF_TURN: Duration = Duration::from_micros(500);

/// How many turns a new connection needs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opening {
    Clear = 1,
    /// It has a handshake.
    Tls = 4,
}

thread_local! {
    /// The turns that are left in this round.
    static LEFT: Rc<Semaphore> = Rc::new(Semaphore::new(IN_A_ROUND));
    /// Whether the task that renews them is running.
    static RENEWING: Cell<bool> = const { Cell::new(false) };
}

/// Waits until it is a new connection's turn: the first to wait is the first to be served.
pub(super) async fn opening_turn(opening: Opening) {
    let left = LEFT.with(Rc::clone);
    let mut begun = Instant::now();
    in_each_round(&RENEWING, {
        let left = left.clone();
        move || renew(&left, &mut begun)
    });
    if let Ok(taken) = left.acquire_many(opening as u32).await {
        taken.forget();
    }
}

/// Renews the turns after a round that has `begun` at that time. Returns whether any was taken in it.
fn renew(left: &Semaphore, begun: &mut Instant) -> bool {
    if let Some(more) = left.available_permits().checked_sub(IN_A_ROUND) {
        left.forget_permits(more);
        return false;
    }
    let took = begun.elapsed();
    *begun += took;
    let turns = IN_A_ROUND.max((took.as_micros() / TIME_OF_TURN.as_micros()) as usize);
    left.add_permits(turns.saturating_sub(left.available_permits()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tokio::task::{LocalSet, yield_now};

    /// What happens, in its order: a connection is opened, or the worker has looked at its sockets.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Opened(usize),
        Looked,
    }

    #[tokio::test]
    async fn a_crowd_is_opened_in_its_order_and_others_have_their_turn_between() {
        const CROWD: usize = 5 * IN_A_ROUND;
        let events = Rc::new(RefCell::new(Vec::new()));
        let tasks = LocalSet::new();
        for number in 0..CROWD {
            let events = events.clone();
            tasks.spawn_local(async move {
                opening_turn(Opening::Clear).await;
                events.borrow_mut().push(Event::Opened(number));
            });
        }
        let seen = events.clone();
        tasks.spawn_local(async move {
            let is_open = |event: &&Event| **event != Event::Looked;
            while seen.borrow().iter().filter(is_open).count() < CROWD {
                yield_now().await;
                seen.borrow_mut().push(Event::Looked);
            }
        });
        let all = tokio::time::timeout(Duration::from_secs(10), tasks);
        all.await.expect("all are opened");
        let events = events.take();
        let opened = events.iter().filter_map(|event| match event {
            Event::Opened(number) => Some(*number),
            Event::Looked => None,
        });
        assert!(opened.eq(0..CROWD), "{events:?}");
        // Two rounds may touch.
        let mut rounds = events.split(|event| *event == Event::Looked);
        assert!(
            rounds.all(|round| round.len() <= 2 * IN_A_ROUND),
            "{events:?}"
        );
        // Nothing is left to do, and the next connection is opened at once.
        yield_now().await;
        yield_now().await;
        LEFT.with(|left| assert_eq!(left.available_permits(), IN_A_ROUND));
        assert!(!RENEWING.get());
    }

    #[tokio::test]
    async fn a_caller_that_leaves_while_it_waits_takes_no_turn() {
        for _ in 0..IN_A_ROUND {
            opening_turn(Opening::Clear).await;
        }
        let waiting = opening_turn(Opening::Clear);
        tokio::select! {
            biased;
            () = waiting => panic!("there was no turn left"),
            () = std::future::ready(()) => {}
        }
        tokio::time::timeout(Duration::from_secs(10), opening_turn(Opening::Tls))
            .await
            .expect("the next has its turn");
    }
}
