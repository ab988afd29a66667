//! Where a model's files come from: a folder or one file on this machine, on a web server, or in an
//! object store.

use std::path::{Path as FilePath, PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt,
    path::{Path, PathPart},
};
use percent_encoding::percent_decode_str;
use url::Url;

/// Prefixes of the variables by which object stores are configured, such as `AWS_REGION`.
const VARIABLES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
/// Most files that a model may have.
const MOST_FILES: usize = 100_000;

/// A `storageUri`, opened.
pub(super) struct Source {
    store: Box<dyn ObjectStore>,
    root: Path,
}

/// One of a model's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    location: Path,
    /// Its path below the model's folder.
    pub relative: PathBuf,
    /// In bytes.
    pub size: u64,
    /// Changes when the content does: the store's entity tag, or else its time.
    pub stamp: String,
}

impl Source {
    /// Opens `uri`: an absolute path, or a URI that `object_store` supports. Other settings of
    /// object stores, such as credentials, are taken from their usual variables.
    ///
    /// # Errors
    /// If the URI is not valid, or if variables are missing.
    pub(super) fn open(uri: &str) -> Result<Self, String> {
        let url = match uri.starts_with('/') {
            true => Url::from_file_path(uri).map_err(|()| "it is no path".to_owned())?,
            false => Url::parse(uri).map_err(|error| format!("it is no URI: {error}"))?,
        };
        if url.query().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(
                "a user, a password or a query in it is not read; set the store's variables".into(),
            );
        }
        let mut options: Vec<(String, String)> = std::env::vars()
            .filter(|(name, _)| VARIABLES.iter().any(|start| name.starts_with(start)))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        if url.scheme() == "http" {
            options.push(("allow_http".into(), "true".into()));
        }
        // The TLS library needs a default provider. Installing it fails if there is one already,
        // which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (store, root) = object_store::parse_url_opts(&url, options).map_err(shown)?;
        Ok(Self { store, root })
    }

    /// All files below the URI, or the one file that it names.
    ///
    /// # Errors
    /// If there are no files, if the store does not answer, or if a name leads out of the folder.
    pub(super) async fn list(&self) -> Result<Vec<SourceFile>, String> {
        let listed = self.store.list(Some(&self.root));
        let listed = listed.take(MOST_FILES + 1).try_collect::<Vec<_>>().await;
        let objects = match listed {
            Ok(objects) if !objects.is_empty() => objects,
            // A plain web server cannot list files. Then the URI names a single one.
            nothing => match (self.store.head(&self.root).await, nothing) {
                (Ok(one), _) => vec![one],
                (Err(object_store::Error::NotFound { .. }), Ok(_)) => {
                    return Err("there is nothing".into());
                }
                (Err(_), Err(error)) | (Err(error), Ok(_)) => return Err(shown(error)),
            },
        };
        if objects.len() > MOST_FILES {
            return Err(format!("it has more than {MOST_FILES} files"));
        }
        let mut files = Vec::with_capacity(objects.len());
        for object in objects {
            files.extend(self.file(object)?);
        }
        match files.is_empty() {
            true => Err("there is nothing".into()),
            false => Ok(files),
        }
    }

    /// `None`: a marker of a folder, which some tools leave behind.
    fn file(&self, object: ObjectMeta) -> Result<Option<SourceFile>, String> {
        let location = object.location;
        let own = location.filename().unwrap_or_default().to_owned();
        let parts: Vec<String> = match location == self.root {
            true if object.size == 0 => return Ok(None),
            true => vec![own],
            false => {
                let below = location.prefix_match(&self.root).into_iter().flatten();
                below
                    .map(|part: PathPart<'_>| part.as_ref().to_owned())
                    .collect()
            }
        };
        let mut relative = PathBuf::new();
        for part in parts {
            let part = percent_decode_str(&part)
                .decode_utf8()
                .map_err(|_| format!("{location} has a name that is not UTF-8"))?;
            if matches!(&*part, "" | "." | "..") || part.contains(['/', '\\', '\0']) {
                return Err(format!("{location} leads out of the model's folder"));
            }
            relative.push(&*part);
        }
        Ok(Some(SourceFile {
            location,
            relative,
            size: object.size,
            stamp: match object.e_tag {
                Some(tag) => tag,
                None => object.last_modified.to_rfc3339(),
            },
        }))
    }

    /// The content of a file.
    pub(super) async fn read(
        &self,
        file: &SourceFile,
    ) -> Result<BoxStream<'static, Result<Bytes, String>>, String> {
        let got = self.store.get(&file.location).await.map_err(shown)?;
        Ok(got.into_stream().map_err(shown).boxed())
    }
}

impl SourceFile {
    /// The path of the file within `folder`.
    pub(super) fn path(&self, folder: &FilePath) -> PathBuf {
        folder.join(&self.relative)
    }
}

/// A URI without its user, password and query, which may be secret.
pub(super) fn without_secrets(uri: &str) -> String {
    let uri = uri.split(['?', '#']).next().unwrap_or_default();
    match uri.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => uri.to_owned(),
    }
}

/// An error with its causes, on one line.
fn shown(error: object_store::Error) -> String {
    let text = error.to_string();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(location: &str) -> Result<Option<SourceFile>, String> {
        let source = Source::open("file:///models/iris").unwrap();
        source.file(ObjectMeta {
            location: Path::parse(location).unwrap(),
            last_modified: Default::default(),
            size: 1,
            e_tag: None,
            version: None,
        })
    }

    #[test]
    fn a_file_is_put_below_the_models_folder_by_its_own_name() {
        let file = listed("models/iris/1/a%20b").unwrap().unwrap();
        assert_eq!(file.relative, FilePath::new("1/a b"));
    }

    #[test]
    fn a_name_that_leads_out_of_the_models_folder_is_refused() {
        for name in [
            "%2E%2E/x",
            "a%2F..%2F..%2Fx",
            "%2Fetc%2Fpasswd",
            "a%5Cb",
            "a%00",
        ] {
            let why = listed(&format!("models/iris/{name}")).unwrap_err();
            assert!(why.contains("leads out of the model's folder"), "{why}");
        }
    }
}
