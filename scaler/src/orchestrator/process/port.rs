//! A free port of the loopback interface for each replica.

use std::{
    collections::HashSet,
    io,
    net::{Ipv4Addr, TcpListener},
    sync::Mutex,
};

/// Ports that replicas of this process have now. The system may hand out a port again before its
/// replica listens on it.
static IN_USE: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port on which nothing listened when it was chosen. No other replica gets it while this value
/// lives. Another program may still take it first: the replica then fails to start, and is started
/// again with another port.
#[derive(Debug)]
pub(super) struct Port(u16);

impl Port {
    pub(super) fn free() -> io::Result<Self> {
        loop {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port();
            let mut in_use = IN_USE.lock().unwrap_or_else(|e| e.into_inner());
            if in_use.get_or_insert_default().insert(port) {
                return Ok(Self(port));
            }
        }
    }

    /// The port of a replica that runs already.
    pub(super) fn of(number: u16) -> Self {
        let mut in_use = IN_USE.lock().unwrap_or_else(|e| e.into_inner());
        in_use.get_or_insert_default().insert(number);
        Self(number)
    }

    pub(super) fn number(&self) -> u16 {
        self.0
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut in_use = IN_USE.lock().unwrap_or_else(|e| e.into_inner());
        in_use.get_or_insert_default().remove(&self.0);
    }
}
