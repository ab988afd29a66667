//! How far the fetch of a model's files is, and what becomes of one that breaks off.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use tailback_tests::{eventually, process::Tailback};

use super::{infer, manifests, reason, state};

const MIB: usize = 1024 * 1024;

/// A web server with one file of 4 MiB, of which it sends as much as it is told.
struct SlowFile {
    address: SocketAddr,
    orders: Sender<Order>,
}

enum Order {
    /// So many MiB of the file.
    Send(usize),
    /// No more: the connection closes.
    Close,
}

impl SlowFile {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (orders, inbox) = mpsc::channel();
        let inbox = Mutex::new(inbox);
        thread::spawn(move || {
            thread::scope(|scope| {
                for stream in listener.incoming().flatten() {
                    let inbox = &inbox;
                    scope.spawn(move || {
                        let _ = answer(stream, inbox);
                    });
                }
            });
        });
        Self { address, orders }
    }

    fn order(&self, order: Order) {
        self.orders.send(order).unwrap();
    }
}

/// Answers the requests of a connection, which are HEAD, GET, and others that it does not know.
fn answer(stream: TcpStream, inbox: &Mutex<Receiver<Order>>) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(first) = lines.next() {
        let first = first?;
        // Their bodies are empty.
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let size = 4 * MIB;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
        match first.split(' ').next() {
            Some("HEAD") => writer.write_all(head.as_bytes())?,
            Some("GET") => {
                writer.write_all(head.as_bytes())?;
                let inbox = inbox.lock().unwrap();
                let mut left = size;
                while left > 0 {
                    match inbox.recv() {
                        Ok(Order::Send(mib)) => {
                            writer.write_all(&vec![7; mib * MIB])?;
                            left -= mib * MIB;
                        }
                        Ok(Order::Close) | Err(_) => {
                            return writer.shutdown(std::net::Shutdown::Both);
                        }
                    }
                }
            }
            _ => {
                writer.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")?
            }
        }
    }
    Ok(())
}

#[test]
fn how_far_a_fetch_is_stands_on_the_models_page_and_one_that_breaks_off_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let file = SlowFile::start();
    let server = format!(
        "multiModel: {{ repository: '{}' }}\n  replicas: 1",
        folder.path().display()
    );
    let uri = format!(", storageUri: 'http://{}/weights.bin'", file.address);
    let proxy = Tailback::start(&manifests(&["m"], &server, "", &uri), &[]);
    let eventually_here = |mib: usize| {
        let expected = format!("its files are being fetched: {mib} of 4 MiB are here");
        eventually(&expected, || reason(&proxy, "m") == expected);
    };
    file.order(Order::Send(1));
    eventually_here(1);
    assert_eq!(state(&proxy, "m"), "loading");
    file.order(Order::Send(1));
    eventually_here(2);
    file.order(Order::Close);
    eventually("the fetch to have failed", || {
        proxy.failure("m").contains("weights.bin")
    });
    let whole = folder.path().join("m/weights.bin");
    assert!(!whole.exists());

    file.order(Order::Send(3));
    eventually_here(3);
    file.order(Order::Send(1));
    eventually("it to be loaded", || state(&proxy, "m") == "available");
    assert_eq!(infer(&proxy, "m").status, 200);
    assert_eq!(std::fs::read(whole).unwrap(), vec![7; 4 * MIB]);
    proxy.logs("fetches its files from http://");
}
