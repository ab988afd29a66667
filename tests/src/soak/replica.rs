//! A replica of the soak: a process that serves HTTP/1.1 and, when a request says so, misbehaves.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{self, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

/// Events of a stream, and the time between two of them.
pub(super) const EVENTS: usize = 20;
const PAUSE: Duration = Duration::from_millis(25);
/// How long an inference takes.
const WORK: Duration = Duration::from_millis(4);

/// Serves on `port` until the process ends. What the last segment of a path says, it does:
///
/// | path | |
/// |---|---|
/// | `infer` | 200, after a few milliseconds |
/// | `stream` | 200 and twenty events |
/// | `echo` | 101, then sends back what it gets |
/// | `crash` | ends the process, without an answer |
/// | `leak` | 200, and leaves behind a child in a session of its own |
/// | anything else | 200 |
#[must_use]
pub fn serve(port: &str) -> ExitCode {
    let listener = match TcpListener::bind(format!("127.0.0.1:{port}")) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("replica: cannot listen on port {port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    for stream in listener.incoming().map_while(Result::ok) {
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            while let Ok(true) = answer(&mut reader) {}
        });
    }
    ExitCode::SUCCESS
}

/// Answers one request; whether the connection goes on.
fn answer(reader: &mut BufReader<TcpStream>) -> io::Result<bool> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(false);
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    io::copy(&mut reader.take(length.unwrap_or(0)), &mut io::sink())?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let mut stream = reader.get_ref();
    match path.rsplit('/').next().unwrap_or_default() {
        "infer" => {
            thread::sleep(WORK);
            reply(stream)?;
        }
        "stream" => {
            stream.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            )?;
            for _ in 0..EVENTS {
                thread::sleep(PAUSE);
                stream.write_all(b"9\r\ndata: x\n\n\r\n")?;
            }
            stream.write_all(b"0\r\n\r\n")?;
        }
        "echo" => {
            stream.write_all(
                b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
            )?;
            let mut piece = [0; 256];
            while let Ok(length @ 1..) = reader.read(&mut piece) {
                reader.get_ref().write_all(&piece[..length])?;
            }
            return Ok(false);
        }
        "crash" => process::abort(),
        "leak" => {
            leave_behind()?;
            reply(stream)?;
        }
        _ => reply(stream)?,
    }
    Ok(true)
}

fn reply(mut stream: &TcpStream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

/// Starts a child that its parent's end does not reach: of a session of its own, deaf to SIGTERM, and
/// told apart by the mark in this process's own arguments.
fn leave_behind() -> io::Result<()> {
    let mark = std::env::args().next_back().unwrap_or_default();
    let mut child = Command::new("sh");
    child.args(["-c", "trap '' TERM; while :; do sleep 1; done", &mark]);
    child.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: `setsid` is async-signal-safe (POSIX, 2.4.3), and nothing else is called.
    unsafe {
        child.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
    child.spawn().map(drop)
}
