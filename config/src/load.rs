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

fn build(sources: &[Source], env: &Env, errors: Vec<Error>) -> Result<Config, Errors> {
    build_with(sources, &[], env, errors)
}

/// The configuration of manifests and of what a cluster adds to them. Such objects are built upon
/// as they are: `cluster` has only those that are to be tried.
pub(crate) fn build_with(
    sources: &[Source],
    cluster: &[&Source],
    env: &Env,
    mut errors: Vec<Error>,
) -> Result<Config, Errors> {
    let mut objects = Objects {
        unread: !errors.is_empty(),
        ..Objects::default()
    };
    for source in sources.iter().chain(cluster.iter().copied()) {
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
    let none = errors.is_empty() && objects.models.is_empty();
    let Some(environment) = environment::read(env, &mut errors) else {
        return Err(errors.into());
    };
    if none && environment.process.cluster_models.is_none() {
        let read = sources
            .iter()
            .map(|source| source.file.display().to_string());
        errors.push(Error::NoModel {
            read: read.collect::<Vec<_>>().join(", "),
        });
    }
    let config = resolve::resolve(objects, environment, &mut errors);
    Errors::none_or(errors, config)
}

#[cfg(test)]
mod tests;
