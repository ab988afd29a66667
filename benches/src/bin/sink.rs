//! `sink PORT`: an upstream that reads each request's body to its end and then
//! answers 200, for the benches with large bodies. (nginx, the upstream of the
//! others, answers without having read them.)

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::ExitCode,
    thread,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn main() -> ExitCode {
    let port = env::args().nth(1).and_then(|port| port.parse().ok());
    let Some(listener) = port.and_then(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
    else {
        eprintln!("sink: expected a free port");
        return ExitCode::FAILURE;
    };
    for stream in listener.incoming().map_while(Result::ok) {
        thread::spawn(move || serve(stream));
    }
    ExitCode::SUCCESS
}

fn serve(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 * 1024, stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let field = line.trim_end().to_ascii_lowercase();
            if field.is_empty() {
                break;
            }
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        reader.get_ref().write_all(ANSWER)?;
    }
}
