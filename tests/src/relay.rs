//! A TCP relay to a server, which a test can close. It forwards bytes unchanged, TLS included.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The relay. It ends with the process.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    way: Way,
    streams: Vec<TcpStream>,
}

/// Whether the relay forwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    #[default]
    Open,
    Closed,
}

impl Relay {
    /// Starts a relay to `host`, as `name:port`.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn to(host: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State::default()));
        let (host, all) = (host.to_owned(), state.clone());
        thread::spawn(move || serve(listener, address, &host, &all));
        Self { address, state }
    }

    /// Closes all connections and refuses new ones.
    ///
    /// # Panics
    /// If a thread that serves did.
    pub fn close(&self) {
        let mut state = self.state.lock().expect("a relay");
        state.way = Way::Closed;
        for stream in state.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Accepts connections again.
    ///
    /// # Panics
    /// If a thread that serves did.
    pub fn open(&self) {
        self.state.lock().expect("a relay").way = Way::Open;
    }
}

fn serve(listener: TcpListener, address: SocketAddr, host: &str, state: &Mutex<State>) {
    listener.set_nonblocking(true).expect("a listener");
    let mut listener = Some(listener);
    loop {
        let way = state.lock().expect("a relay").way;
        match (way, &listener) {
            (Way::Closed, _) => listener = None,
            (Way::Open, None) => {
                listener = TcpListener::bind(address).ok();
                if let Some(listener) = &listener {
                    listener.set_nonblocking(true).expect("a listener");
                }
            }
            (Way::Open, Some(open)) => {
                if let Ok((stream, _)) = open.accept() {
                    let _ = connect(stream, host, state);
                    continue;
                }
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn connect(near: TcpStream, host: &str, state: &Mutex<State>) -> io::Result<()> {
    let far = TcpStream::connect(host)?;
    near.set_nonblocking(false)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    let mut all = state.lock().expect("a relay");
    if all.way == Way::Closed {
        return Ok(());
    }
    all.streams.extend([near.try_clone()?, far.try_clone()?]);
    drop(all);
    copy(near.try_clone()?, far.try_clone()?);
    copy(far, near);
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
