//! The files of the workspace.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use proc_macro2::TokenStream;

use crate::tokens::{Contents, Definition};

/// A file of Rust.
#[derive(Debug)]
pub struct Source {
    /// Where it is.
    pub file: PathBuf,
    pub(crate) contents: Contents,
}

impl Source {
    /// The file at `file`.
    ///
    /// # Errors
    /// If it cannot be read, or is not Rust.
    pub fn read(file: &Path) -> Result<Self, String> {
        let said = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| said(&error))?;
        let tokens = TokenStream::from_str(&text).map_err(|error| said(&error))?;
        Ok(Self {
            file: file.to_owned(),
            contents: Contents::read(tokens),
        })
    }

    /// What it defines, outside tests.
    #[must_use]
    pub fn definitions(&self) -> &[Definition] {
        &self.contents.definitions
    }
}

/// The files of Rust in `folder` and below, sorted; what is built or hidden is left out.
///
/// # Errors
/// If a folder cannot be read.
pub fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
