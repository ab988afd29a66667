//! Watches: events from a version on, as lines of JSON, for as long as the
//! client stays (Kubernetes' API concepts, "Efficient detection of changes").

use std::{collections::VecDeque, convert::Infallible, future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, stream};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::{
    sync::watch::Receiver,
    time::{self, Instant},
};

use super::{
    Shared,
    failure::Failure,
    faults::WatchSignals,
    resource::Resource,
    selector::Selector,
    store::{Compacted, Event, Presence, State},
};

/// How often a watch that wants bookmarks gets one: about as often as from the
/// real server. [`super::faults::Faults::send_bookmarks`] has them sooner.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

/// What a watch is about and how it begins.
#[derive(Clone, Debug)]
pub struct Request {
    /// The kind.
    pub resource: Arc<Resource>,
    /// Empty for all.
    pub namespace: String,
    /// The selection of objects.
    pub selector: Selector,
    /// Where it begins.
    pub start: Start,
    /// `allowWatchBookmarks`.
    pub bookmarks: Bookmarks,
    /// `timeoutSeconds`.
    pub timeout: Duration,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this version.
    After(u64),
    /// With the existing objects, as ADDED events.
    Present,
    /// As [`Present`](Self::Present), followed by a bookmark at the end: `sendInitialEvents`.
    PresentThenBookmark,
}

/// Whether a watch gets bookmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bookmarks {
    /// Now and then and at its end.
    Wanted,
    /// Never.
    Unwanted,
}

/// One open watch.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    request: Request,
    cursor: u64,
    lines: VecDeque<Bytes>,
    progress: Progress,
    deadline: Instant,
    changes: Receiver<u64>,
    signals: Receiver<WatchSignals>,
    seen: WatchSignals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It has not caught up for the first time yet.
    Opening,
    Open,
    Deaf,
    Ended,
}

impl Watch {
    /// Opens it.
    #[must_use]
    pub fn open(shared: Arc<Shared>, request: Request) -> Self {
        let changes = shared.store.changes();
        let signals = shared.faults.signals();
        let seen = *signals.borrow();
        let mut watch = Self {
            deadline: Instant::now() + request.timeout,
            cursor: 0,
            lines: VecDeque::new(),
            progress: Progress::Opening,
            changes,
            signals,
            seen,
            shared: shared.clone(),
            request,
        };
        watch.begin(&shared.store.lock());
        watch
    }

    /// Its events, for a response's body.
    pub fn into_body(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::unfold(self, |mut watch| async move {
            let line = watch.next().await?;
            Some((Ok(Frame::data(line)), watch))
        })
    }

    fn begin(&mut self, state: &State) {
        self.cursor = state.version();
        match self.request.start {
            Start::After(version) => self.cursor = version,
            Start::Present | Start::PresentThenBookmark => {
                for (key, object) in state.of(&self.request.resource.to_string()) {
                    if self.is_about(&key.namespace, object) {
                        self.send("ADDED", object);
                    }
                }
                if self.request.start == Start::PresentThenBookmark {
                    let mut bookmark = self.bookmark();
                    bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"] =
                        "true".into();
                    self.send("BOOKMARK", &bookmark);
                }
            }
        }
    }

    /// The next line; none at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            match self.progress {
                Progress::Opening | Progress::Open => {}
                Progress::Deaf => future::pending().await,
                Progress::Ended => return None,
            }
            self.heed_signals();
            self.catch_up();
            if self.lines.is_empty() && self.progress == Progress::Open {
                self.wait().await;
            }
        }
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.changes.changed() => {}
            _ = self.signals.changed() => {}
            () = time::sleep_until(self.deadline) => {
                self.offer_bookmark();
                self.progress = Progress::Ended;
            }
            () = time::sleep(BOOKMARK_PERIOD) => self.offer_bookmark(),
        }
    }

    fn heed_signals(&mut self) {
        let now = *self.signals.borrow_and_update();
        if now.silence != self.seen.silence {
            self.progress = Progress::Deaf;
        } else if now.expiry != self.seen.expiry {
            self.expire(&Compacted {
                asked: self.cursor,
                oldest: self.cursor + 1,
            });
        } else if now.bookmark != self.seen.bookmark {
            self.catch_up();
            self.offer_bookmark();
        }
        self.seen = now;
    }

    /// Takes all writes since the last call.
    fn catch_up(&mut self) {
        if !matches!(self.progress, Progress::Opening | Progress::Open) {
            return;
        }
        self.changes.borrow_and_update();
        let shared = self.shared.clone();
        let state = shared.store.lock();
        match state.since(self.cursor) {
            Ok(events) => {
                let resource = self.request.resource.to_string();
                for event in events.iter().filter(|e| e.key.resource == resource) {
                    self.tell(event);
                }
                self.cursor = self.cursor.max(state.version());
                self.progress = Progress::Open;
            }
            // A watch that has had everything loses nothing by a compaction.
            Err(lost) if self.progress == Progress::Open && self.cursor + 1 >= lost.oldest => {
                self.cursor = lost.oldest;
            }
            Err(lost) => self.expire(&lost),
        }
    }

    fn tell(&mut self, event: &Event) {
        let namespace = &event.key.namespace;
        let was = event
            .before
            .as_ref()
            .is_some_and(|before| self.is_about(namespace, before));
        let is = event.presence == Presence::Here && self.is_about(namespace, &event.object);
        match (was, is) {
            (false, true) => self.send("ADDED", &event.object),
            (true, true) => self.send("MODIFIED", &event.object),
            (true, false) => {
                // To this watch it is gone, even if it only changed its labels:
                // told with its last state that was selected.
                let mut last = event.before.as_deref().cloned().unwrap_or_default();
                super::meta::set(&mut last, "resourceVersion", event.version.to_string());
                self.send("DELETED", &last);
            }
            (false, false) => {}
        }
    }

    fn is_about(&self, namespace: &str, object: &Value) -> bool {
        let wanted = &self.request.namespace;
        (wanted.is_empty() || wanted == namespace) && self.request.selector.matches(object)
    }

    fn expire(&mut self, lost: &Compacted) {
        let status = too_old(lost).status();
        self.send("ERROR", &status);
        self.progress = Progress::Ended;
    }

    fn offer_bookmark(&mut self) {
        if self.request.bookmarks == Bookmarks::Wanted && self.progress == Progress::Open {
            let bookmark = self.bookmark();
            self.send("BOOKMARK", &bookmark);
        }
    }

    fn bookmark(&self) -> Value {
        json!({
            "kind": self.request.resource.kind,
            "apiVersion": self.request.resource.api_version(),
            "metadata": { "resourceVersion": self.cursor.to_string() },
        })
    }

    fn send(&mut self, kind: &str, object: &Value) {
        let mut line = json!({ "type": kind, "object": object }).to_string();
        line.push('\n');
        self.lines.push_back(line.into());
    }
}

/// 410 for a version that is no longer there, in the watch cache's words.
#[must_use]
pub fn too_old(lost: &Compacted) -> Failure {
    Failure::expired(format!(
        "too old resource version: {} ({})",
        lost.asked, lost.oldest
    ))
}
