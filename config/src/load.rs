//! Loads a [`Config`] from files and environment.

use std::path::{Path, PathBuf};

use crate::files::{self, Source};
use crate::manifest::Objects;
use crate::{Config, Env, Error, Errors, environment, resolve, yaml};

/// Loads the configuration from the manifests at `paths` (files, or folders of `*.yaml` and
/// `*.yml`) and from `env`.
///
/// # Errors
///
/// Everything that is wrong with them.
pub fn load(paths: &[PathBuf], env: &Env) -> Result<Config, Errors> {
    let mut errors = Vec::new();
    let sources = files::read(paths, &mut errors);
    build(&sources, env, errors)
}

/// As [`load`], from the text of one manifest, for tests and tools. `file` is its name in
/// messages; its commands run in that file's folder.
///
/// ```
/// use std::path::Path;
/// use tailback_config::{Env, load_text};
///
/// let manifests = r#"
/// apiVersion: tailback.dev/v1alpha1
/// kind: Server
/// metadata: { name: llama-cpp }
/// spec: { static: { endpoints: ["http://127.0.0.1:8080"] } }
/// ---
/// apiVersion: tailback.dev/v1alpha1
/// kind: Model
/// metadata: { name: qwen2.5-7b }
/// spec: { server: llama-cpp }
/// "#;
/// let config = load_text(Path::new("models.yaml"), manifests, &Env::default())?;
/// assert_eq!(config.models["qwen2.5-7b"].server.name, "llama-cpp");
///
/// // An error says where it is, what was found and what is expected.
/// let wrong = manifests.replace("server: llama-cpp", "server: lama-cpp");
/// let errors = load_text(Path::new("models.yaml"), &wrong, &Env::default()).unwrap_err();
/// assert!(errors.to_string().contains("models.yaml: document 2 (Model qwen2.5-7b)"), "{errors}");
/// # Ok::<(), tailback_config::Errors>(())
/// ```
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

/// Builds the configuration from the manifests and the given objects of a cluster, which may turn
/// out to be invalid.
pub(crate) fn build_with(
    sources: &[Source],
    cluster: &[&Source],
    env: &Env,
    mut errors: Vec<Error>,
) -> Result<Config, Errors> {
    let mut of_variables = Vec::new();
    let environment = environment::read(env, &mut of_variables);
    let skips = environment
        .as_ref()
        .is_some_and(|environment| environment.process.skip_other_kinds);
    let mut objects = Objects {
        unread: !errors.is_empty(),
        skips,
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
    errors.append(&mut of_variables);
    let Some(environment) = environment else {
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
