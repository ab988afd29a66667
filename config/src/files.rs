//! Finds and reads manifest files. Sizes are limited, because a path may name anything.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Error;

/// Largest manifest file, in bytes: the limit of a ConfigMap in Kubernetes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// A manifest file and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub file: Arc<Path>,
    pub text: String,
}

/// Reads all manifest files at `paths`. Files that cannot be read are added to `errors`.
pub(crate) fn read(paths: &[PathBuf], errors: &mut Vec<Error>) -> Vec<Source> {
    if paths.is_empty() {
        errors.push(Error::NoPaths);
    }
    let mut seen = HashSet::new();
    let mut sources = Vec::new();
    for path in paths {
        match list(path) {
            Err(error) => errors.push(error),
            Ok(files) => {
                for file in files {
                    // A file that is given itself and with its folder is read once.
                    if !seen.insert(fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                        continue;
                    }
                    match read_file(&file) {
                        Ok(text) => sources.push(Source {
                            file: file.into(),
                            text,
                        }),
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
    }
    sources
}

/// The manifest files at `path`: the file itself, or those directly in the folder, sorted.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source: io::Error| Error::Read {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        // Hidden files: editors' lock and swap files, and the ..data of a mounted ConfigMap.
        let hidden = name.as_encoded_bytes().starts_with(b".");
        let file = entry.path();
        let manifest = file
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        if manifest && !hidden && !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::File {
            path: path.to_owned(),
            found: "a folder without manifests".into(),
            expected: "at least one *.yaml or *.yml file in it".into(),
        });
    }
    files.sort();
    Ok(files)
}

/// Reads one file as a whole.
pub(crate) fn read_file(path: &Path) -> Result<String, Error> {
    let failed = |source: io::Error| Error::Read {
        path: path.to_owned(),
        source,
    };
    let wrong = |found: String, expected: &str| Error::File {
        path: path.to_owned(),
        found,
        expected: expected.to_owned(),
    };
    // Checked before opening, because opening a named pipe waits for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(wrong(
            "neither a file nor a folder".into(),
            "a manifest file or a folder of them",
        ));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong(
            format!("more than {MAX_BYTES} bytes"),
            "a manifest of at most 1 MiB",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        wrong(
            format!("a byte that is not UTF-8 at offset {at}"),
            "UTF-8 text",
        )
    })
}
