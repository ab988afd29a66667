//! Tests of the ways in which files change.

use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A watch on `path`, and a channel of its calls.
fn watched(path: &Path) -> (Watch, Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    let watch = watch(&[path.to_owned()], move || {
        let _ = sender.send(());
    });
    (watch.unwrap(), receiver)
}

fn called(receiver: &Receiver<()>) -> bool {
    // Well below the interval of the poll, so that this tests the event.
    receiver.recv_timeout(Duration::from_secs(5)).is_ok()
}

fn quiet(receiver: &Receiver<()>) -> bool {
    receiver.recv_timeout(3 * QUIET).is_err()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), "a").unwrap();
    folder
}

#[test]
fn a_file_written_in_place_is_reported_once() {
    let folder = folder();
    let file = folder.path().join("a.yaml");
    let (_watch, calls) = watched(&file);
    fs::write(&file, "ab").unwrap();
    fs::write(&file, "abc").unwrap();
    assert!(called(&calls) && quiet(&calls));
    fs::write(&file, "abcd").unwrap();
    assert!(called(&calls));
}

#[test]
fn a_file_renamed_over_the_old_one_is_reported() {
    let folder = folder();
    let (file, new) = (
        folder.path().join("a.yaml"),
        folder.path().join(".a.yaml.swp"),
    );
    let (_watch, calls) = watched(&file);
    for text in ["new", "newer"] {
        fs::write(&new, text).unwrap();
        fs::rename(&new, &file).unwrap();
        assert!(called(&calls), "{text}");
    }
}

#[test]
fn who_else_writes_in_the_folder_does_not_hold_up_a_change() {
    let folder = folder();
    let (sender, receiver) = mpsc::channel();
    let mut folders = Folders {
        watcher: notify::recommended_watcher(|_| {}).unwrap(),
        paths: vec![folder.path().join("a.yaml")],
    };
    let (done, stopped) = mpsc::channel::<()>();
    let stirs = thread::spawn(move || {
        while stopped.recv_timeout(QUIET / 10) == Err(RecvTimeoutError::Timeout) {
            let _ = sender.send(Notice::Stir);
        }
    });
    // `settle` must end as soon as two checks find the same files, even if events go on:
    // `patience` is endless here.
    let found = settle(&receiver, &mut folders, Duration::MAX);
    assert_eq!(found, Some(fingerprint(&folders.paths)));
    drop(done);
    stirs.join().unwrap();
}

#[test]
fn files_added_to_and_removed_from_a_folder_are_reported() {
    let folder = folder();
    let (_watch, calls) = watched(folder.path());
    let file = folder.path().join("b.yml");
    fs::write(&file, "b").unwrap();
    assert!(called(&calls));
    fs::remove_file(&file).unwrap();
    assert!(called(&calls));
}

#[test]
fn the_swap_of_a_mounted_configmap_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("..1", "old"), ("..2", "new")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("a.yaml"), text).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let (_folder, folder_calls) = watched(folder.path());
    let (_file, file_calls) = watched(&at("a.yaml"));
    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    fs::remove_dir_all(at("..1")).unwrap();
    assert!(called(&folder_calls) && called(&file_calls));
}

#[test]
fn the_file_behind_a_link_is_watched_where_it_is() {
    let (real, links) = (folder(), tempfile::tempdir().unwrap());
    let link = links.path().join("link.yaml");
    symlink(real.path().join("a.yaml"), &link).unwrap();
    let (_watch, calls) = watched(&link);
    fs::write(real.path().join("a.yaml"), "abc").unwrap();
    assert!(called(&calls));
}

#[test]
fn a_folder_that_is_made_again_is_watched_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("manifests");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), "a").unwrap();
    let (_watch, calls) = watched(&folder);
    fs::remove_dir_all(&folder).unwrap();
    assert!(called(&calls));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("a.yaml"), "b").unwrap();
    assert!(called(&calls));
    fs::write(folder.join("a.yaml"), "bc").unwrap();
    assert!(called(&calls));
}

#[test]
fn other_files_and_reads_are_not_reported() {
    let folder = folder();
    let (_watch, calls) = watched(folder.path());
    fs::write(folder.path().join("notes.txt"), "x").unwrap();
    let _ = fs::read(folder.path().join("a.yaml")).unwrap();
    assert!(quiet(&calls));
}

#[test]
fn nothing_is_reported_after_the_watch_is_dropped() {
    let folder = folder();
    let (watch, calls) = watched(folder.path());
    drop(watch);
    fs::write(folder.path().join("a.yaml"), "abc").unwrap();
    assert!(matches!(
        calls.recv_timeout(Duration::from_secs(1)),
        Err(RecvTimeoutError::Disconnected)
    ));
}

#[test]
fn a_path_in_a_folder_that_is_not_there_is_an_error() {
    let folder = folder();
    let error = watch(&[folder.path().join("no/a.yaml")], || {}).unwrap_err();
    assert!(
        error.to_string().contains("cannot be watched for changes"),
        "{error}"
    );
}
