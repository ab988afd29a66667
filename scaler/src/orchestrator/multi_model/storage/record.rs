//! Records of fetched files and their source: one for each model.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::source::SourceFile;

/// The files in a model's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub uri: String,
    /// Size and stamp of each file, by its path below the folder.
    files: BTreeMap<String, (u64, String)>,
}

impl Record {
    pub(super) fn new(uri: &str, files: &[SourceFile]) -> Self {
        let entry = |file: &SourceFile| {
            let path = file.relative.to_string_lossy().into_owned();
            (path, (file.size, file.stamp.clone()))
        };
        Self {
            uri: uri.to_owned(),
            files: files.iter().map(entry).collect(),
        }
    }

    /// Whether the folder has exactly these files.
    pub(super) fn is_of(&self, files: &[SourceFile]) -> bool {
        Self::new(&self.uri, files) == *self
    }

    /// The size of all files together, when they were fetched.
    pub(super) fn bytes(&self) -> u64 {
        let sizes = self.files.values().map(|(size, _)| *size);
        sizes.fold(0, u64::saturating_add)
    }

    pub(super) fn write(&self, own: &Path, name: &str) -> io::Result<()> {
        fs::write(own.join(file(name)), serde_json::to_vec_pretty(self)?)
    }
}

fn file(name: &str) -> String {
    format!("{name}.json")
}

/// The record of a model. A record that cannot be read counts as none.
pub(super) fn read(own: &Path, name: &str) -> Option<Record> {
    let bytes = fs::read(own.join(file(name))).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The records of all models.
pub(super) fn all(own: &Path) -> Vec<(String, Record)> {
    let entries = fs::read_dir(own).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some(name.strip_suffix(".json")?.to_owned())
    });
    names
        .filter_map(|name| Some((name.clone(), read(own, &name)?)))
        .collect()
}

pub(super) fn remove(own: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(own.join(file(name))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
