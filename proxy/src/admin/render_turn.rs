//! RenderTurns of what takes long on the admin address: pages of all models and updates of live pages.
//!
//! Its connections and the rest of the process share one thread. If all pages that were asked for
//! were rendered one after another, health would wait for all of them. So one is rendered in each
//! round of the event loop, and health, which takes no turn, is answered between two of them.

use std::sync::Arc;

use tokio::{sync::Mutex, task::yield_now};

/// Gives turns in the order in which they are asked for. Clones share it.
#[derive(Clone, Default)]
pub(super) struct RenderTurns(Arc<Mutex<()>>);

impl RenderTurns {
    /// Returns when it is the caller's turn, which ends where the caller next waits.
    pub(super) async fn next(&self) {
        let turn = self.0.clone().lock_owned().await;
        // A task that yields runs again after the next look at the sockets, and after the tasks
        // that this look has woken. It is a task of its own so that the caller need not wait, and
        // so that a caller that ends early does not let the next one run in the same round.
        tokio::spawn(async move {
            yield_now().await;
            drop(turn);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
        task::JoinSet,
    };

    use super::*;

    /// Waits for `count` turns in as many tasks, and says what happened in which order.
    async fn pages(turns: &RenderTurns, done: &Arc<Mutex<Vec<char>>>, count: usize) {
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (turns, done) = (turns.clone(), done.clone());
            tasks.spawn(async move {
                turns.next().await;
                done.lock().unwrap().push('p');
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    #[tokio::test]
    async fn what_comes_at_a_socket_is_answered_between_two_pages() {
        let (mut here, mut there) = UnixStream::pair().unwrap();
        let done = Arc::<Mutex<Vec<char>>>::default();
        let answered = done.clone();
        tokio::spawn(async move {
            let mut byte = [0];
            while there.read_exact(&mut byte).await.is_ok() {
                answered.lock().unwrap().push('h');
                there.write_all(&byte).await.unwrap();
            }
        });
        let health = async {
            let mut byte = [0];
            for _ in 0..3 {
                here.write_all(&byte).await.unwrap();
                here.read_exact(&mut byte).await.unwrap();
            }
        };
        let turns = RenderTurns::default();
        tokio::join!(pages(&turns, &done, 20), health);
        let order: String = done.lock().unwrap().iter().collect();
        assert_eq!(order.matches('p').count(), 20);
        let last = order.rfind('h').unwrap();
        assert!(last < 12, "health had to wait for the pages: {order}");
    }

    #[tokio::test]
    async fn a_caller_that_goes_leaves_its_turn_to_the_next_one() {
        let turns = RenderTurns::default();
        turns.next().await;
        let mut waits = Box::pin(turns.next());
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(waits);
        pages(&turns, &Arc::default(), 2).await;
    }
}
