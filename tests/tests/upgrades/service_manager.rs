//! What systemd is told, and the sockets that it passes on: by the protocols of `sd_notify(3)` and
//! `sd_listen_fds(3)`, without systemd.

use std::{net::TcpListener, os::unix::net::UnixDatagram, time::Duration};

use nix::sys::signal::Signal;
use tailback_tests::{
    http::call,
    process::{Tailback, unique},
};

use super::manifests;

/// What is said next.
fn said(socket: &UnixDatagram) -> String {
    let mut text = [0; 1024];
    let length = socket.recv(&mut text).expect("a message");
    String::from_utf8_lossy(&text[..length]).into_owned()
}

#[test]
fn systemd_is_told_of_each_state_and_of_the_process_that_took_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let model = unique();
    let mut proxy = Tailback::start(&manifests(&model, "replicas: 0"), &variables);
    assert!(said(&socket).contains("READY=1"));
    proxy.signal(Signal::SIGHUP);
    assert!(said(&socket).contains("RELOADING=1"));
    assert!(said(&socket).contains("READY=1"));
    proxy.upgrade().unwrap();
    let state = said(&socket);
    assert!(
        state.contains(&format!("MAINPID={}", proxy.pid())),
        "{state}"
    );
    proxy.signal(Signal::SIGTERM);
    let state = said(&socket);
    assert!(state.contains("STOPPING=1"), "{state}");
    assert!(proxy.wait().success());
}

#[test]
fn sockets_that_systemd_opened_are_used_and_passed_on() {
    let requests = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [&admin, &requests].map(|socket| socket.local_addr().unwrap());
    // What systemd does between fork and exec.
    let script = "import os, sys
os.dup2(int(sys.argv[1]), 90); os.dup2(int(sys.argv[2]), 91)
os.dup2(90, 3); os.dup2(91, 4)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='admin:requests')
os.execvp(sys.argv[3], sys.argv[3:])";
    for socket in [&requests, &admin] {
        let flags = nix::fcntl::FdFlag::empty();
        nix::fcntl::fcntl(socket, nix::fcntl::FcntlArg::F_SETFD(flags)).unwrap();
    }
    let number = |socket: &TcpListener| std::os::fd::AsRawFd::as_raw_fd(socket).to_string();
    let words = ["python3", "-c", script, &number(&admin), &number(&requests)];
    let mut proxy = Tailback::start_under(&words, &manifests(&unique(), "replicas: 0"));
    drop((requests, admin));
    assert_eq!([proxy.admin, proxy.address], addresses);
    proxy.upgrade().unwrap();
    assert_eq!(
        call(addresses[0], "GET", "/healthz", b"").unwrap().status,
        200
    );
    assert_eq!(
        call(addresses[1], "GET", "/v1/models", b"").unwrap().status,
        200
    );
}
