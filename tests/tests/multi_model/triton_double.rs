//! A double of Triton's model repository API that is as strict as its documentation lets it be
//! (triton-inference-server/server, `docs/protocol/extension_model_repository.md` and
//! `docs/user_guide/model_management.md`, explicit mode): a load that does not fit, or of a model
//! that it does not have, is answered with 400; an unload is answered before the memory is free; the
//! index lists all models, those that were never loaded without a state.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};

use super::double::serve;

/// How far a model is, as the index names it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    Never,
    Ready,
    Unloading,
    Unavailable,
}

/// A Triton that has room for so many models at once.
pub struct Triton {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

pub struct Shared {
    room: usize,
    models: BTreeMap<String, State>,
    /// Models that an ensemble needs, which are loaded with it.
    parts: BTreeMap<String, Vec<String>>,
    /// Whether unloads take until this is no longer set.
    pub keeps_memory: bool,
    /// Loads that did not fit, and loads of models that were loaded.
    pub did_not_fit: usize,
    pub reloads: usize,
    /// How often it was asked what it has.
    pub indexes: usize,
}

impl Triton {
    /// Has these models in its repository, and none of them loaded.
    pub fn start(room: usize, models: &[&str]) -> Self {
        let never = |name: &&str| ((*name).to_owned(), State::Never);
        let shared = Arc::new(Mutex::new(Shared {
            room,
            models: models.iter().map(never).collect(),
            parts: BTreeMap::new(),
            keeps_memory: false,
            did_not_fit: 0,
            reloads: 0,
            indexes: 0,
        }));
        let own = shared.clone();
        let address = serve(move |path, body| own.lock().unwrap().answer(path, body));
        Self { address, shared }
    }

    pub fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }

    pub fn state(&self, model: &str) -> State {
        self.shared().models[model]
    }

    /// Makes a model an ensemble of others.
    pub fn compose(&self, ensemble: &str, parts: &[&str]) {
        let parts = parts.iter().map(|&part| part.to_owned()).collect();
        self.shared().parts.insert(ensemble.to_owned(), parts);
    }

    /// Puts a model into a state, by nobody's request.
    pub fn put(&self, model: &str, state: State) {
        self.shared().models.insert(model.to_owned(), state);
    }

    /// Frees the memory of all models that are being unloaded.
    pub fn free(&self) {
        let mut shared = self.shared();
        shared.keeps_memory = false;
        let unloading = |state: &&mut State| **state == State::Unloading;
        for state in shared.models.values_mut().filter(unloading) {
            *state = State::Unavailable;
        }
    }
}

fn error(message: String) -> (u16, String) {
    (400, json!({ "error": message }).to_string())
}

impl Shared {
    fn answer(&mut self, path: &str, body: &[u8]) -> (u16, String) {
        let segments: Vec<_> = path.split('/').skip(1).collect();
        // An empty body is one without parameters.
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        match segments[..] {
            ["v2", "repository", "index"] => self.index(&body),
            ["v2", "repository", "models", model, "load"] => self.load(model),
            ["v2", "repository", "models", model, "unload"] => {
                let with_parts = body["parameters"]["unload_dependents"] == true;
                self.unload(model, with_parts)
            }
            ["v2", "models", model, what] => match (self.models.get(model), what) {
                (Some(State::Ready), _) => (200, "{}".to_owned()),
                (_, "ready") => (400, String::new()),
                _ => error(format!(
                    "Request for unknown model: '{model}' has no available versions"
                )),
            },
            _ => (200, "{}".to_owned()),
        }
    }

    fn index(&mut self, body: &Value) -> (u16, String) {
        self.indexes += 1;
        let only_ready = body["ready"] == true;
        let listed = self.models.iter();
        let listed = listed.filter(|(_, state)| !only_ready || **state == State::Ready);
        let entry = |(name, state): (&String, &State)| match state {
            State::Never => json!({ "name": name }),
            State::Ready => json!({ "name": name, "version": "1", "state": "READY" }),
            State::Unloading => json!({ "name": name, "version": "1", "state": "UNLOADING" }),
            State::Unavailable => {
                json!({ "name": name, "version": "1", "state": "UNAVAILABLE", "reason": "unloaded" })
            }
        };
        (200, Value::from_iter(listed.map(entry)).to_string())
    }

    /// Does not return before the model is loaded. One that is loaded already is loaded again.
    fn load(&mut self, model: &str) -> (u16, String) {
        let mut names = self.parts.get(model).cloned().unwrap_or_default();
        names.push(model.to_owned());
        for name in names {
            let state = match self.models.get(&name) {
                Some(state) => *state,
                None => {
                    return error(format!(
                        "failed to load '{name}', failed to poll from model repository"
                    ));
                }
            };
            let takes = |state: &&State| matches!(state, State::Ready | State::Unloading);
            let taken = self.models.values().filter(takes).count();
            if state == State::Ready {
                self.reloads += usize::from(name == model);
            } else if taken >= self.room {
                self.did_not_fit += 1;
                return error(format!("failed to load '{name}', CUDA out of memory"));
            }
            self.models.insert(name, State::Ready);
        }
        (200, String::new())
    }

    fn unload(&mut self, model: &str, with_parts: bool) -> (u16, String) {
        let parts = self.parts.get(model).filter(|_| with_parts).cloned();
        let mut names = parts.unwrap_or_default();
        names.push(model.to_owned());
        for name in names {
            // What is not loaded is unloaded.
            if let Some(state @ State::Ready) = self.models.get_mut(&name) {
                *state = match self.keeps_memory {
                    true => State::Unloading,
                    false => State::Unavailable,
                };
            }
        }
        (200, String::new())
    }
}
