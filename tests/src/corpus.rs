//! The corpora of HTTP/1 in `tests/corpus`, whose heads say how they are written.

/// A request, and what must become of it.
#[derive(Debug)]
pub struct Case {
    /// What it is, for a failure's message.
    pub what: String,
    /// The status of the answer; 0: the connection is closed without one.
    pub status: u16,
    /// Lines that the replica's request must have, or, with `!`, fields that it must not have.
    pub forwarded: Vec<String>,
    /// What the caller sends.
    pub bytes: Vec<u8>,
}

/// What a caller sends on one connection, and what must become of it.
#[derive(Debug)]
pub struct StreamCase {
    /// What it is, for a failure's message.
    pub what: String,
    /// The statuses of the answers.
    pub statuses: Vec<u16>,
    /// The last words of the paths of the requests that the replica gets.
    pub forwarded: Vec<String>,
    /// What the caller sends.
    pub bytes: Vec<u8>,
}

/// The requests of `http1-requests.txt`.
///
/// # Panics
/// If a line is not as the file's head says.
#[must_use]
pub fn requests() -> Vec<Case> {
    let case = |[status, forwarded, what, request]: [&str; 4]| Case {
        what: format!("{what}: {request}"),
        status: status.parse().expect("a status"),
        forwarded: words(forwarded, ';'),
        bytes: unescaped(request),
    };
    let text = include_str!("../corpus/http1-requests.txt");
    lines(text).map(case).collect()
}

/// The streams of `http1-streams.txt`.
///
/// # Panics
/// If a line is not as the file's head says.
#[must_use]
pub fn streams() -> Vec<StreamCase> {
    let case = |[statuses, forwarded, what, stream]: [&str; 4]| StreamCase {
        what: format!("{what}: {stream}"),
        statuses: words(statuses, ' ')
            .iter()
            .map(|status| status.parse().expect("a status"))
            .collect(),
        forwarded: words(forwarded, ' '),
        bytes: unescaped(stream),
    };
    let text = include_str!("../corpus/http1-streams.txt");
    lines(text).map(case).collect()
}

fn lines(text: &str) -> impl Iterator<Item = [&str; 4]> {
    let lines = text.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let columns: Vec<_> = line.splitn(4, '|').map(str::trim).collect();
        columns
            .try_into()
            .unwrap_or_else(|_| panic!("four columns: {line}"))
    })
}

fn words(text: &str, between: char) -> Vec<String> {
    let all = text.split(between).map(str::trim);
    all.filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The bytes that a text stands for: `\r`, `\n`, `\t`, `\0`, `\xNN`, and `{N}c` for N times `c`.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes().peekable();
    let next =
        |rest: &mut std::iter::Peekable<std::str::Bytes<'_>>| rest.next().expect("no end here");
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => match next(&mut rest) {
                b'r' => bytes.push(b'\r'),
                b'n' => bytes.push(b'\n'),
                b't' => bytes.push(b'\t'),
                b'0' => bytes.push(0),
                b'x' => {
                    let digits = [next(&mut rest), next(&mut rest)];
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                }
                other => panic!("there is no \\{}", char::from(other)),
            },
            b'{' => {
                let digits: Vec<_> = rest.by_ref().take_while(|&byte| byte != b'}').collect();
                let times: usize = String::from_utf8(digits)
                    .expect("a number")
                    .parse()
                    .expect("a number");
                bytes.extend(vec![next(&mut rest); times]);
            }
            byte => bytes.push(byte),
        }
    }
    bytes
}
