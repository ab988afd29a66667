//! Reads the bodies of requests.

use std::{
    io::{self, BufRead, BufReader, Read},
    net::TcpStream,
};

/// Reads a body and returns its length.
pub(super) fn discarded(reader: &mut BufReader<TcpStream>, head: &str) -> io::Result<u64> {
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    if let Some(length) = length {
        return io::copy(&mut reader.take(length), &mut io::sink());
    }
    let mut total = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        total += io::copy(&mut reader.take(length), &mut io::sink())?;
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(total);
        }
    }
}

/// Reads a body.
pub(super) fn body(reader: &mut BufReader<TcpStream>, head: &str) -> io::Result<Vec<u8>> {
    let field = |name: &str| {
        let find = |line: &str| {
            line.to_ascii_lowercase()
                .strip_prefix(name)
                .map(|v| v.trim().to_owned())
        };
        head.lines().find_map(find)
    };
    let mut body = Vec::new();
    if let Some(length) = field("content-length:").and_then(|l| l.parse().ok()) {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    } else if field("transfer-encoding:").is_some() {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let start = body.len();
            body.resize(start + length, 0);
            reader.read_exact(&mut body[start..])?;
            reader.read_line(&mut line)?;
            if length == 0 {
                break;
            }
        }
    }
    Ok(body)
}
