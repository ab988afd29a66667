//! A bounded queue from requests to the thread of an [`Exporter`], which writes or sends what is known of
//! them.
//!
//! Nothing waits for that thread: what does not fit is dropped and counted. The thread polls the
//! queue at intervals instead of being woken, so that the data plane makes no system call and takes
//! no lock for it.

use std::{
    io,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, SyncSender, TryIter},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use metrics::Counter;

/// What takes the records of ended requests out of the process. It runs on a thread of its own.
pub(super) trait Exporter: Send + 'static {
    /// What it is told of a request.
    type Record: Send;

    /// The thread's name.
    const THREAD: &'static str;

    /// Takes what comes from `records` until that is closed and empty. It may wait for whom it writes to:
    /// requests do not wait for it.
    fn run(self, records: &QueueReceiver<Self::Record>);
}

/// The end that requests put things into. Its state is leaked: it lives as long as the process.
#[derive(Debug)]
pub(super) struct QueueSender<T: 'static>(&'static Shared<T>);

#[derive(Debug)]
struct Shared<T> {
    queue: SyncSender<Box<T>>,
    dropped: Counter,
    closing: AtomicBool,
}

/// The end that the thread polls.
#[derive(Debug)]
pub(super) struct QueueReceiver<T: 'static> {
    queue: Receiver<Box<T>>,
    shared: &'static Shared<T>,
}

/// A queue and its thread.
#[derive(Debug)]
pub(super) struct PolledQueue<T: 'static> {
    sender: QueueSender<T>,
    thread: JoinHandle<()>,
}

/// A queue with room for `room` things. What does not fit is counted as `dropped`.
pub(super) fn queue<T>(room: usize, dropped: Counter) -> (QueueSender<T>, QueueReceiver<T>) {
    let (sender, receiver) = mpsc::sync_channel(room);
    let shared: &'static Shared<T> = Box::leak(Box::new(Shared {
        queue: sender,
        dropped,
        closing: AtomicBool::new(false),
    }));
    let receiver = QueueReceiver {
        queue: receiver,
        shared,
    };
    (QueueSender(shared), receiver)
}

impl<T: Send> PolledQueue<T> {
    /// A queue whose receiving end `exporter` gets, on its thread.
    ///
    /// # Errors
    /// If there can be no thread.
    pub(super) fn start<E: Exporter<Record = T>>(
        exporter: E,
        (sender, receiver): (QueueSender<T>, QueueReceiver<T>),
    ) -> io::Result<Self> {
        let thread = thread::Builder::new()
            .name(E::THREAD.to_owned())
            .spawn(move || exporter.run(&receiver))?;
        Ok(Self { sender, thread })
    }

    /// The sending end.
    pub(super) fn sender(&self) -> QueueSender<T> {
        self.sender
    }

    /// Lets the thread finish what is in the queue, for at most `patience`: what it writes to may be
    /// stuck.
    pub(super) fn close(self, patience: Duration) {
        self.sender.0.closing.store(true, Ordering::Release);
        let start = Instant::now();
        while !self.thread.is_finished() && start.elapsed() < patience {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for QueueSender<T> {}

impl<T> QueueSender<T> {
    /// Puts `item` in, or drops it.
    pub(super) fn send(self, item: Box<T>) {
        if self.0.queue.try_send(item).is_err() {
            self.0.dropped.increment(1);
        }
    }
}

impl<T> QueueReceiver<T> {
    /// Whether the queue is to be closed. Asked before the queue is read, it tells that what is read
    /// then is the last.
    pub(super) fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    /// What is in the queue now.
    pub(super) fn try_iter(&self) -> TryIter<'_, Box<T>> {
        self.queue.try_iter()
    }
}
