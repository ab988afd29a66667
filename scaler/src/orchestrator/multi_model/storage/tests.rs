use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    thread,
};

use tempfile::TempDir;

use super::*;

struct Fixture {
    folder: TempDir,
    storage: Arc<ModelStorage>,
}

impl Fixture {
    fn new(cache: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source/iris");
        fs::create_dir_all(source.join("1")).unwrap();
        fs::write(source.join("model-settings.json"), r#"{"name":"iris"}"#).unwrap();
        fs::write(source.join("1/weights"), [7; 1000]).unwrap();
        let storage = ModelStorage::open(&ModelRepository {
            path: folder.path().join("models"),
            cache,
        });
        Self { folder, storage }
    }

    fn uri(&self) -> String {
        format!("file://{}/source/iris", self.folder.path().display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn provide(&self, name: &str) -> Result<(), String> {
        self.storage.provide(name, &self.uri()).await
    }

    async fn need(&self, names: &[&str]) {
        if self.storage.set_needed(&names.iter().copied().collect()) {
            self.storage.trim().await;
        }
    }
}

#[tokio::test]
async fn files_are_fetched_under_the_models_name_and_again_when_they_have_changed() {
    let own = Fixture::new(0);
    own.provide("a").await.unwrap();
    let settings = own.path("models/a/model-settings.json");
    assert!(fs::read_to_string(&settings).unwrap().contains("\"a\""));
    assert_eq!(fs::read(own.path("models/a/1/weights")).unwrap(), [7; 1000]);
    fs::write(own.path("models/a/1/weights"), "touched").unwrap();
    own.provide("a").await.unwrap();
    let touched = fs::read(own.path("models/a/1/weights")).unwrap();
    assert_eq!(touched, b"touched", "what has not changed is not fetched");
    fs::write(own.path("source/iris/1/weights"), [8; 2000]).unwrap();
    own.provide("a").await.unwrap();
    assert_eq!(fs::read(own.path("models/a/1/weights")).unwrap(), [8; 2000]);
    fs::remove_dir_all(own.path("source")).unwrap();
    own.provide("a").await.unwrap();
}

#[tokio::test]
async fn what_is_needed_no_more_goes_or_is_kept_within_the_bound() {
    let own = Fixture::new(0);
    own.provide("a").await.unwrap();
    own.need(&["a"]).await;
    assert!(own.path("models/a").exists());
    own.need(&[]).await;
    assert!(!own.path("models/a").exists());

    let own = Fixture::new(2500);
    for name in ["a", "b", "c"] {
        own.provide(name).await.unwrap();
        own.need(&[name]).await;
    }
    own.need(&[]).await;
    let left = ["a", "b", "c"].map(|name| own.path(&format!("models/{name}")).exists());
    assert_eq!(left, [false, true, true]);
    let again = ModelStorage::open(&ModelRepository {
        path: own.path("models"),
        cache: 0,
    });
    assert!(again.set_needed(&["b"].into()));
    again.trim().await;
    assert!(own.path("models/b").exists() && !own.path("models/c").exists());
}

#[tokio::test]
async fn files_of_which_a_process_before_was_removing_half_are_fetched_anew() {
    let own = Fixture::new(0);
    own.provide("a").await.unwrap();
    // As it is when a process is killed while it removes them: the record may be there or not.
    let gone = own.storage.set_aside("a").await.unwrap();
    assert!(!own.path("models/a").exists());
    fs::remove_file(gone.join("1/weights")).unwrap();
    fs::create_dir_all(own.path("models/.tailback/b.partial/1")).unwrap();
    let again = ModelStorage::open(&ModelRepository {
        path: own.path("models"),
        cache: 0,
    });
    assert!(!gone.exists() && !own.path("models/.tailback/b.partial").exists());
    again.provide("a", &own.uri()).await.unwrap();
    assert_eq!(fs::read(own.path("models/a/1/weights")).unwrap(), [7; 1000]);
}

#[tokio::test]
async fn what_tailback_did_not_put_there_is_neither_changed_nor_removed() {
    let own = Fixture::new(0);
    fs::create_dir_all(own.path("models/a")).unwrap();
    let why = own.provide("a").await.unwrap_err();
    assert!(why.contains("Tailback has not put it there"), "{why}");
    own.need(&[]).await;
    assert!(own.path("models/a").exists());
}

#[tokio::test]
async fn what_cannot_be_fetched_says_why_and_leaves_nothing() {
    let own = Fixture::new(0);
    for (uri, expected) in [
        ("file:///nowhere/at/all".to_owned(), "there is nothing"),
        ("http://127.0.0.1:1/x".to_owned(), "127.0.0.1"),
        ("what://x/y".to_owned(), "what://x/y"),
        (format!("{}/nothing", own.uri()), "there is nothing"),
        (
            "http://me:secret@127.0.0.1:1/x?sig=secret".to_owned(),
            "the store's variables",
        ),
    ] {
        let fetched = own.storage.provide("a", &uri);
        let why = tokio::time::timeout(std::time::Duration::from_secs(60), fetched);
        let why = why.await.expect("in time").unwrap_err();
        let shown = uri.replace("me:secret@", "").replace("?sig=secret", "");
        assert!(why.contains(expected) && why.contains(&shown), "{why}");
        assert!(!why.contains("secret"), "{why}");
        assert!(!own.path("models/a").exists());
        assert!(!own.path("models/.tailback/a.partial").exists());
    }
}

#[tokio::test]
async fn one_file_is_a_model_too() {
    let own = Fixture::new(0);
    let uri = format!("{}/1/weights", own.uri());
    own.storage.provide("a", &uri).await.unwrap();
    assert_eq!(fs::read(own.path("models/a/weights")).unwrap(), [7; 1000]);
}

/// A web server that says of its one file that it has 20 bytes, and sends so many.
fn web_server(sends: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/iris.bin", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            // The head of a request ends with an empty line.
            while lines.read_line(&mut request).is_ok_and(|length| length > 2) {}
            let modified = "Last-Modified: Tue, 01 Jan 2030 00:00:00 GMT";
            let answer = match request.split(' ').next() {
                Some("HEAD") => format!("200 OK\r\n{modified}\r\nContent-Length: 20\r\n\r\n"),
                Some("GET") => format!(
                    "200 OK\r\n{modified}\r\nContent-Length: {sends}\r\n\r\n{}",
                    "7".repeat(sends)
                ),
                _ => "405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n".to_owned(),
            };
            let answer = format!(
                "HTTP/1.1 {}",
                answer.replacen("\r\n", "\r\nConnection: close\r\n", 1)
            );
            // Fails if nobody waits for it any more.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    uri
}

#[tokio::test]
async fn a_file_of_a_web_server_is_fetched_whole_or_not_at_all() {
    let own = Fixture::new(0);
    own.storage.provide("a", &web_server(20)).await.unwrap();
    assert_eq!(fs::read(own.path("models/a/iris.bin")).unwrap(), [b'7'; 20]);
    for sends in [10, 30] {
        let why = own
            .storage
            .provide("b", &web_server(sends))
            .await
            .unwrap_err();
        let expected = format!("{sends} bytes came, and it has 20: it has changed, or was cut off");
        assert!(why.contains(&expected), "{why}");
        assert!(!own.path("models/b").exists());
        assert!(!own.path("models/.tailback/b.partial").exists());
    }
}

#[tokio::test]
async fn what_was_there_stays_where_a_new_file_is_cut_off() {
    let own = Fixture::new(0);
    own.provide("a").await.unwrap();
    own.storage.provide("a", &web_server(10)).await.unwrap_err();
    assert_eq!(fs::read(own.path("models/a/1/weights")).unwrap(), [7; 1000]);
    own.provide("a").await.unwrap();
}
