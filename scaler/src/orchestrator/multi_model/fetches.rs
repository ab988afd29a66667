//! Fetches the files of models before they are loaded. A fetch does not count among the loads of a
//! replica, and its time is not part of the load's.

use super::{
    hosted::{Fetch, Files},
    outcome::{CallDone, Outcome, Subject},
    reconciler::Reconciler,
    repository::CallError,
};
use crate::{clock::Nanos, placement::PlacedState};

impl Reconciler {
    /// Starts fetches for models that are to be loaded. A load that is dropped ends its fetch.
    pub(super) fn fetch_files(&mut self) {
        for (name, server) in &mut self.servers {
            for replica in &mut server.replicas {
                let id = replica.replica.id();
                for (model, hosted) in &mut replica.hosted {
                    let waits = hosted.state == PlacedState::Loading && hosted.sent.is_none();
                    if !waits || !matches!(hosted.files, Files::Unseen) {
                        continue;
                    }
                    let Some((storage, uri)) = server.storage.clone().zip(hosted.uri.clone())
                    else {
                        hosted.files = Files::Here;
                        continue;
                    };
                    let at = Subject {
                        server: name.clone(),
                        replica: Some(id),
                        model: Some(model.clone()),
                        attempt: Some(hosted.replica.id()),
                    };
                    let (done, folder) = (self.done.clone(), hosted.name_at_server.clone());
                    let task = tokio::spawn(async move {
                        let result = storage.provide(&folder, &uri).await;
                        let outcome = Outcome::Fetched(result);
                        // Fails only when the scaler has stopped.
                        let _ = done.send(CallDone { at, outcome });
                    });
                    hosted.files = Files::Coming(Fetch(task.abort_handle()));
                }
            }
        }
    }

    pub(super) fn fetched(&mut self, at: &Subject, result: Result<(), String>, now: Nanos) {
        // Unless the model is configured with other files by now.
        let fetched = self.attempt(at);
        let Some(hosted) = fetched.filter(|hosted| matches!(hosted.files, Files::Coming(_))) else {
            return;
        };
        match result {
            Ok(()) => {
                hosted.files = Files::Here;
                self.send_loads(now);
            }
            Err(why) => self.loaded(at, Err(CallError::Refused(why)), now),
        }
    }
}
