//! A bounded queue from requests to the thread of an [`Exporter`], which writes or sends their
//! records.
//!
//! Requests never wait for that thread: a record that does not fit is dropped and counted. The
//! thread polls the queue at intervals instead of being woken, so that the data plane makes no
//! system call and takes no lock for it.

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

/// Exports the records of ended requests. It runs on a thread of its own.
pub(super) trait Exporter: Send + 'static {
    /// The record of a request.
    type Record: Send;

    /// The thread's name.
    const THREAD: &'static str;

    /// Exports `records` until the queue is closed and empty. It may wait for its destination,
    /// because requests do not wait for it.
    fn run(self, records: &QueueReceiver<Self::Record>);
}

/// The sending end, for requests. Its state is leaked, because it lives as long as the process.
#[derive(Debug)]
pub(super) struct QueueSender<T: 'static>(&'static Shared<T>);

#[derive(Debug)]
struct Shared<T> {
    queue: SyncSender<Box<T>>,
    dropped: Counter,
    closing: AtomicBool,
}

/// The receiving end, which the thread polls.
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

/// A queue with room for `room` items. Items that do not fit are counted as `dropped`.
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
    /// A queue whose receiving end is polled by `exporter`, on its own thread.
    ///
    /// # Errors
    /// If the thread cannot be started.
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

    /// Lets the thread finish the queue, for at most `patience`, because its destination may hang.
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
    /// Sends `item`, or drops it.
    pub(super) fn send(self, item: Box<T>) {
        if self.0.queue.try_send(item).is_err() {
            self.0.dropped.increment(1);
        }
    }
}

impl<T> QueueReceiver<T> {
    /// Whether the queue is being closed. If this is called before the queue is read, that read is
    /// the last one.
    pub(super) fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Acquire)
    }

    /// The items that are in the queue now.
    pub(super) fn try_iter(&self) -> TryIter<'_, Box<T>> {
        self.queue.try_iter()
    }
}
