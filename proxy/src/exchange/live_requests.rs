//! Lists and cancels requests in flight, from any thread, by asking the workers.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::join_all;
use send_wrapper::SendWrapper;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::presence::{self, RequestView};

/// How long a worker may take to answer. It answers between two requests.
const PATIENCE: Duration = Duration::from_secs(1);

/// The requests of all workers.
#[derive(Debug, Default)]
pub struct LiveRequests {
    /// By the worker's number.
    workers: Mutex<Vec<mpsc::UnboundedSender<Ask>>>,
}

/// A list of a model's requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestList {
    /// The listed requests, oldest first.
    pub requests: Vec<RequestView>,
    /// The number of all its requests in flight.
    pub total: usize,
}

/// A question to a worker.
#[derive(Debug)]
enum Ask {
    List {
        model: Arc<str>,
        most: usize,
        answer: oneshot::Sender<(Vec<RequestView>, usize)>,
    },
    Cancel {
        model: Arc<str>,
        number: u64,
        answer: oneshot::Sender<bool>,
    },
}

thread_local! {
    static ANSWERS: Cell<bool> = const { Cell::new(false) };
}

impl LiveRequests {
    /// Makes this worker answer questions, from the first call on. Needs a tokio runtime around
    /// it.
    pub fn keep_answering(&self) {
        if ANSWERS.replace(true) {
            return;
        }
        let (sender, mut asks) = mpsc::unbounded_channel();
        let worker = {
            let mut workers = self.workers();
            workers.push(sender);
            workers.len() - 1
        };
        // Workers do not steal tasks, so it stays on this thread.
        tokio::spawn(SendWrapper::new(async move {
            while let Some(ask) = asks.recv().await {
                ask.answer(worker);
            }
        }));
    }

    /// The requests of `model`, at most `most`.
    pub async fn list(&self, model: &str, most: usize) -> RequestList {
        let model: Arc<str> = model.into();
        let asked: Vec<_> = (self.workers().iter())
            .map(|worker| {
                let (answer, answered) = oneshot::channel();
                let model = model.clone();
                // If sending fails, so does receiving the answer.
                let _ = worker.send(Ask::List {
                    model,
                    most,
                    answer,
                });
                timeout(PATIENCE, answered)
            })
            .collect();
        let mut all = RequestList::default();
        for (views, there) in join_all(asked).await.into_iter().flatten().flatten() {
            all.requests.extend(views);
            all.total += there;
        }
        all.requests.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        all.requests.truncate(most);
        all
    }

    /// Cancels the request of `model` with this id. Returns whether it existed.
    pub async fn cancel(&self, model: &str, id: &str) -> bool {
        let Some((worker, number)) = parse(id) else {
            return false;
        };
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Cancel {
            model: model.into(),
            number,
            answer,
        };
        let sent = self.workers().get(worker).map(|worker| worker.send(ask));
        match sent {
            Some(Ok(())) => matches!(timeout(PATIENCE, answered).await, Ok(Ok(true))),
            _ => false,
        }
    }

    fn workers(&self) -> MutexGuard<'_, Vec<mpsc::UnboundedSender<Ask>>> {
        self.workers.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Ask {
    /// Answers on the worker's own thread. It does not matter if nobody waits for the answer any
    /// more.
    fn answer(self, worker: usize) {
        match self {
            Self::List {
                model,
                most,
                answer,
            } => {
                let _ = answer.send(presence::of_model(&model, worker, most));
            }
            Self::Cancel {
                model,
                number,
                answer,
            } => {
                let _ = answer.send(presence::cancel(&model, number));
            }
        }
    }
}

/// The numbers of a worker and of its request.
fn parse(id: &str) -> Option<(usize, u64)> {
    let (worker, number) = id.split_once('-')?;
    Some((worker.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_two_numbers() {
        assert_eq!(parse("3-1042"), Some((3, 1042)));
        for id in [
            "",
            "-",
            "3",
            "a-1",
            "1-a",
            "1-2-3",
            "99999999999999999999-1",
        ] {
            assert_eq!(parse(id), None, "{id}");
        }
    }

    #[tokio::test]
    async fn without_a_worker_there_is_nothing() {
        let live = LiveRequests::default();
        assert_eq!(live.list("m", 9).await, RequestList::default());
        assert!(!live.cancel("m", "0-1").await);
    }
}
