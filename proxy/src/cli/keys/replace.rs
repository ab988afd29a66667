//! Replaces a file atomically: readers see either the old or the new content.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::Path,
    process,
};

/// Only its owner may read and write the file.
const MODE: u32 = 0o600;

/// Replaces the file at `path` by what `change` returns for its text (`None`: the file does not
/// exist). The file's owner stays. Concurrent replacements wait for each other.
pub(super) fn with(
    path: &Path,
    change: impl FnOnce(Option<String>) -> Result<String, String>,
) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: cannot be written: {error}", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The folder is locked, because the file itself is replaced by another one. Closing the handle
    // unlocks it.
    let folder_handle = File::open(folder).map_err(failed)?;
    folder_handle.lock().map_err(failed)?;
    let text = match fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{}: cannot be read: {error}", path.display())),
    };
    let owner = match &text {
        Some(_) => Some(fs::metadata(path).map_err(failed)?),
        None => None,
    };
    let changed = change(text)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.{}.new", process::id()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(MODE)
            .open(&new)?;
        let own = file.metadata()?;
        if let Some(owner) = owner
            && (owner.uid(), owner.gid()) != (own.uid(), own.gid())
        {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.write_all(changed.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        folder_handle.sync_all()
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&new); // fails if it was never written
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(path: &Path, line: &str) {
        let appended = |text: Option<String>| Ok(text.unwrap_or_default() + line);
        with(path, appended).unwrap();
    }

    #[test]
    fn a_file_is_made_for_its_owner_alone_and_a_refused_change_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.yaml");
        add(&path, "a\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        assert!(with(&path, |_| Err("no".to_owned())).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(with(&folder.path().join("none/keys.yaml"), |_| Ok(String::new())).is_err());
    }

    #[test]
    fn no_change_of_several_at_once_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.yaml");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| add(&path, "a\n"));
            }
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\n".repeat(8));
    }
}
