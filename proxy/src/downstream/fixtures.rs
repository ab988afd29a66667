//! Connections to begin with.

use std::{path::Path, sync::Arc};

use tailback_config::{Env, load_text};
use tokio::net::{TcpListener, TcpStream};

use crate::{
    exchange::{Connection, Scheme},
    net::{HttpVersion, Socket, Transport},
};

const MANIFEST: &str = include_str!("../../../config/fixtures/static.yaml");

/// A connection, its bytes, and its caller.
pub(super) async fn connected(version: HttpVersion) -> (Connection, Transport<Socket>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let caller = TcpStream::connect(listener.local_addr().unwrap());
    let (caller, accepted) = tokio::join!(caller, listener.accept());
    let config = load_text(Path::new("a.yaml"), MANIFEST, &Env::default()).unwrap();
    let timeouts = Arc::new(config.process.timeouts.clone());
    let connection = Connection::new(timeouts, None, version, Scheme::Http);
    let io = Transport::clear(Socket::Tcp(accepted.unwrap().0));
    (connection, io, caller.unwrap())
}
