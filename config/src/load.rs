//! Files and environment to a [`Config`], in one go.

use std::path::{Path, PathBuf};

use crate::files::{self, Source};
use crate::manifest::Objects;
use crate::{Config, Env, Error, Errors, environment, resolve, yaml};

/// The configuration that the manifests at `paths` (files, or folders of `*.yaml` and `*.yml`)
/// and `env` make together.
///
/// # Errors
///
/// Everything that is wrong with them.
pub fn load(paths: &[PathBuf], env: &Env) -> Result<Config, Errors> {
    let mut errors = Vec::new();
    let sources = files::read(paths, &mut errors);
    build(&sources, env, errors)
}

/// Like [`load`], with one manifest whose text is at hand: for tests and tools. `file` is what
/// messages call it, and its folder is where its commands run.
///
/// # Errors
///
/// Everything that is wrong with them.
pub fn load_text(file: &Path, text: &str, env: &Env) -> Result<Config, Errors> {
    let source = Source {
        file: file.into(),
        text: text.to_owned(),
    };
    build(&[source], env, Vec::new())
}

fn build(sources: &[Source], env: &Env, mut errors: Vec<Error>) -> Result<Config, Errors> {
    let mut objects = Objects {
        unread: !errors.is_empty(),
        ..Objects::default()
    };
    for source in sources {
        match yaml::parse(&source.file, &source.text) {
            Ok(documents) => {
                for document in &documents {
                    objects.read(&source.file, document, env, &mut errors);
                }
            }
            Err(error) => {
                objects.unread = true;
                errors.push(error);
            }
        }
    }
    if errors.is_empty() && objects.models.is_empty() {
        let read = sources
            .iter()
            .map(|source| source.file.display().to_string());
        errors.push(Error::NoModel {
            read: read.collect::<Vec<_>>().join(", "),
        });
    }
    let Some(environment) = environment::read(env, &mut errors) else {
        return Err(errors.into());
    };
    let config = resolve::resolve(objects, environment, &mut errors);
    Errors::none_or(errors, config)
}

#[cfg(test)]
mod tests;
