//! The reader beside httparse, which hyper reads with.

use proptest::prelude::*;

use super::*;

/// What is read of a header: its length, its first line and its fields; or why not.
type Found = Result<(usize, String, Vec<(Vec<u8>, Vec<u8>)>), Stop>;

const MOST: usize = 4;

fn own(bytes: &[u8], is_request: bool) -> Found {
    let mut reader = HeaderReader::new(bytes);
    reader.skip_empty_lines()?;
    let text = |range: Range| String::from_utf8_lossy(range.of(bytes)).into_owned();
    let first = if is_request {
        let (method, target, version) = reader.request_line()?;
        format!("{} {} {version:?}", text(method), text(target))
    } else {
        let (version, status, reason) = reader.status_line()?;
        format!("{version:?} {status} {}", text(reason))
    };
    let mut lines = FieldLines::new();
    reader.fields(MOST, &mut lines)?;
    let head = Bytes::copy_from_slice(bytes);
    if lines.iter().any(|line| line.read(&head).is_none()) {
        return Err(Stop::Field);
    }
    let line = |line: &FieldLine| (line.name.of(bytes).to_vec(), line.value.of(bytes).to_vec());
    Ok((reader.position(), first, lines.iter().map(line).collect()))
}

fn others(bytes: &[u8], is_request: bool) -> Found {
    let mut fields = [httparse::EMPTY_HEADER; MOST];
    let version = |number: Option<u8>| match number.unwrap() {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let (status, first, fields) = if is_request {
        let mut request = httparse::Request::new(&mut fields);
        let status = request.parse(bytes).map_err(stop)?;
        if status.is_partial() {
            return Err(Stop::Partial);
        }
        let (method, target) = (request.method.unwrap(), request.path.unwrap());
        let first = format!("{method} {target} {:?}", version(request.version));
        (status, first, request.headers)
    } else {
        let mut response = httparse::Response::new(&mut fields);
        let status = response.parse(bytes).map_err(stop)?;
        if status.is_partial() {
            return Err(Stop::Partial);
        }
        let (code, reason) = (response.code.unwrap(), response.reason.unwrap());
        let first = format!("{:?} {code} {reason}", version(response.version));
        (status, first, response.headers)
    };
    let field = |field: &httparse::Header<'_>| (field.name.into(), field.value.to_vec());
    let fields = fields.iter().map(field).collect();
    Ok((status.unwrap(), first, fields))
}

fn stop(error: httparse::Error) -> Stop {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Stop::Field,
        httparse::Error::TooManyHeaders => Stop::TooMany,
        _ => Stop::FirstLine,
    }
}

/// Both read the same, or neither reads it.
fn assert_same(bytes: &[u8]) -> Result<(), TestCaseError> {
    for is_request in [true, false] {
        let (own, others) = (own(bytes, is_request), others(bytes, is_request));
        // httparse takes what is wrong with the last line for the first line's fault, and refuses
        // targets that are not UTF-8, which are refused later here.
        let is_excused = own == Err(Stop::Field) || !bytes.is_ascii();
        // A name is looked at once the header is complete.
        let is_too_early = matches!(own, Err(Stop::Partial | Stop::TooMany));
        let alike = own == others
            || is_excused && others == Err(Stop::FirstLine)
            || is_too_early && others == Err(Stop::Field);
        let text = bytes.escape_ascii();
        prop_assert!(alike, "{text}: {own:?}, not {others:?}");
    }
    Ok(())
}

/// Parts of headers, of which most lines consist.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let text = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        8 => prop_oneof![
            text("GET / HTTP/1.1\r\n"), text("POST /v2/models/m/infer HTTP/1.0\n"),
            text("HTTP/1.1 200 OK\r\n"), text("HTTP/1.0 404\r\n"), text("HTTP/1.1 503 \r\n"),
        ],
        8 => prop_oneof![
            text("host: a\r\n"), text("x-a:\r\n"), text("x-b: \t long enough for two words \t\r\n"),
            text("content-length: 12\n"), text("a:b\rc\r\n"), text("a :b\r\n"), text(":\r\n"),
        ],
        4 => prop_oneof![text("\r\n"), text("\n"), text("\r"), text(" "), text("\t"), text(":")],
        2 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => "[a-zA-Z0-9!#-]{1,20}: [ -~]{0,40}\r\n".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 4000 }))]

    #[test]
    fn headers_are_read_as_httparse_reads_them(
        pieces in proptest::collection::vec(piece(), 1..8),
        broken in proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
        ends in any::<bool>(),
    ) {
        let mut bytes = pieces.concat();
        if ends {
            bytes.extend_from_slice(b"\r\n");
        }
        if let Some((at, byte)) = broken && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        assert_same(&bytes)?;
    }
}

#[test]
fn each_byte_is_read_alike_in_each_place_of_a_word() {
    // Miri takes a hundredth of a second for each.
    const STEP: usize = if cfg!(miri) { 7 } else { 1 };
    for line in [
        "GET /abcdefghi HTTP/1.1\r\nabcdefgh: ijklmnopqrst\r\n\r\n",
        "HTTP/1.1 200 abcdefghi\r\na:b\r\n\r\n",
    ] {
        for at in (0..line.len()).step_by(STEP) {
            for byte in (0..=u8::MAX).step_by(STEP) {
                let mut bytes = line.as_bytes().to_vec();
                bytes[at] = byte;
                assert_same(&bytes).unwrap();
            }
        }
    }
}

#[test]
fn a_header_that_has_come_in_part_is_not_refused() {
    for line in [
        "GET / HTTP/1.1\r\na: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n\r\n",
    ] {
        for length in 0..line.len() {
            assert_eq!(
                own(&line.as_bytes()[..length], line.starts_with('G')),
                Err(Stop::Partial),
                "{length}"
            );
        }
    }
}
