//! Reads the header fields of forms and their parts, as far as all servers agree on them (RFC
//! 9110, 5.6.6; RFC 7578). Whatever some servers read differently is refused: a duplicate
//! parameter, a folded line, RFC 2231's continuations, escapes in a name.

use super::Fault;

/// The name of the part that is searched.
const FIELD: &[u8] = b"model";

/// The parameters of the media type that determine how a form is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FormType {
    /// `boundary`.
    pub boundary: Vec<u8>,
}

impl FormType {
    /// Reads a `Content-Type`. `None`: it has no valid boundary, or is ambiguous.
    pub(super) fn of(content_type: &[u8]) -> Option<Self> {
        let mut boundary = None;
        for parameter in Parameters::of(content_type) {
            let Parameter { name, value, .. } = parameter.ok()?;
            match name.to_ascii_lowercase().as_slice() {
                b"boundary" if boundary.is_none() => boundary = Some(value),
                b"boundary" => return None,
                b"charset" if !is_utf8(&value) => return None,
                name if name.starts_with(b"boundary*") => return None,
                _ => {}
            }
        }
        let boundary = boundary?;
        // RFC 2046, 5.1.1.
        let is_allowed =
            |&byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let is_valid = (1..=70).contains(&boundary.len())
            && boundary.iter().all(is_allowed)
            && boundary.last() != Some(&b' ');
        is_valid.then_some(Self { boundary })
    }
}

/// Whether text of this charset is UTF-8.
pub fn is_utf8(charset: &[u8]) -> bool {
    [&b"utf-8"[..], b"utf8", b"us-ascii", b"ascii"]
        .iter()
        .any(|known| charset.eq_ignore_ascii_case(known))
}

/// Whether a media type names a charset other than UTF-8, or could be read as if it did: some
/// servers search for the word `charset` alone, and find it even where it is not a parameter.
#[must_use]
pub fn has_other_charset(content_type: &[u8]) -> bool {
    if memchr::memchr2(b'h', b'H', content_type).is_none() || !names_charset(content_type) {
        return false;
    }
    let of_parameters = memchr::memchr(b';', content_type).unwrap_or(content_type.len());
    names_charset(&content_type[..of_parameters])
        || Parameters::of(content_type).any(|parameter| match parameter {
            Ok(Parameter { name, value, .. }) => {
                let is_charset = name
                    .get(..7)
                    .is_some_and(|start| start.eq_ignore_ascii_case(b"charset"));
                is_charset && !(name.len() == 7 && is_utf8(&value))
            }
            Err(()) => true,
        })
}

/// Whether the word occurs anywhere in it.
fn names_charset(content_type: &[u8]) -> bool {
    const WORD: &[u8] = b"charset";
    let mut places = content_type.windows(WORD.len());
    places.any(|place| place.eq_ignore_ascii_case(WORD))
}

/// Whether a part with this header is the one that is searched.
///
/// # Errors
/// If servers could read the header in different ways.
pub(super) fn is_field(header: &[u8]) -> Result<bool, Fault> {
    let mut named = None;
    let mut is_plain = true;
    for line in lines(header) {
        let (name, value) = line.ok_or(Fault::AmbiguousForm)?;
        match name.to_ascii_lowercase().as_slice() {
            b"content-disposition" if named.is_none() => named = Some(part_name(value)?),
            b"content-disposition" => return Err(Fault::AmbiguousForm),
            b"content-transfer-encoding" => {
                let known = [&b"binary"[..], b"8bit", b"7bit"];
                is_plain &= known
                    .iter()
                    .any(|k| value.trim_ascii().eq_ignore_ascii_case(k));
            }
            b"content-type" => is_plain &= !has_other_charset(value),
            _ => {}
        }
    }
    match named.flatten().is_some_and(|name| name == FIELD) {
        true if is_plain => Ok(true),
        // Some servers decode it.
        true => Err(Fault::AmbiguousForm),
        false => Ok(false),
    }
}

/// The lines of a part's header as names and values. `None`: the line is malformed or folded.
fn lines(header: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    let mut rest = Some(header);
    let lines = std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memmem::find(text, b"\r\n");
        rest = end.map(|end| &text[end + 2..]);
        Some(&text[..end.unwrap_or(text.len())])
    });
    lines.filter(|line| !line.is_empty()).map(|line| {
        let colon = memchr::memchr(b':', line)?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        let is_name = !name.is_empty() && name.iter().all(|&byte| is_token(byte));
        let is_value = !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        (is_name && is_value).then_some((name, value))
    })
}

/// The name in a `Content-Disposition`.
fn part_name(value: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let mut found = None;
    for parameter in Parameters::of(value) {
        let Parameter {
            name,
            value,
            is_escaped,
        } = parameter.map_err(|()| Fault::AmbiguousForm)?;
        let name = name.to_ascii_lowercase();
        if name.starts_with(b"name*") {
            return Err(Fault::AmbiguousForm);
        }
        if name == b"name" {
            if found.is_some() || is_escaped {
                return Err(Fault::AmbiguousForm);
            }
            found = Some(value);
        }
    }
    Ok(found)
}

/// A parameter of a header field's value.
#[derive(Debug, PartialEq, Eq)]
struct Parameter<'a> {
    name: &'a [u8],
    value: Vec<u8>,
    /// Whether the value was written with a backslash. Not all servers decode that.
    is_escaped: bool,
}

/// The parameters of a header field's value. An error ends them.
struct Parameters<'a>(Option<&'a [u8]>);

impl<'a> Parameters<'a> {
    fn of(value: &'a [u8]) -> Self {
        Self(memchr::memchr(b';', value).map(|at| &value[at..]))
    }

    /// The next parameter of `rest`, which begins with a semicolon, and what follows it.
    fn parse(rest: &'a [u8]) -> Option<(Option<Parameter<'a>>, &'a [u8])> {
        let rest = rest.strip_prefix(b";")?.trim_ascii_start();
        if rest.is_empty() || rest.starts_with(b";") {
            return Some((None, rest));
        }
        let end = rest.iter().position(|&byte| !is_token(byte))?;
        let (name, rest) = rest.split_at(end);
        let rest = rest.strip_prefix(b"=")?;
        let (value, is_escaped, rest) = match rest.strip_prefix(b"\"") {
            Some(quoted) => unquote(quoted)?,
            None => {
                // Boundaries that should be quoted are often not, and are read in one way.
                let is_boundary = name.eq_ignore_ascii_case(b"boundary");
                let belongs = |byte| is_token(byte) || is_boundary && b"(),/:=?".contains(&byte);
                let end = rest.iter().position(|&byte| !belongs(byte));
                let (value, rest) = rest.split_at(end.unwrap_or(rest.len()));
                (value.to_vec(), false, rest)
            }
        };
        let is_whole = !name.is_empty();
        let parameter = Parameter {
            name,
            value,
            is_escaped,
        };
        is_whole.then(|| (Some(parameter), rest.trim_ascii_start()))
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = Result<Parameter<'a>, ()>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.0.take().filter(|rest| !rest.is_empty())?;
            match Self::parse(rest) {
                Some((parameter, rest)) => {
                    self.0 = Some(rest);
                    if let Some(parameter) = parameter {
                        return Some(Ok(parameter));
                    }
                }
                None => return Some(Err(())),
            }
        }
    }
}

/// The content of a quoted string, whether it had escapes, and what follows it.
fn unquote(quoted: &[u8]) -> Option<(Vec<u8>, bool, &[u8])> {
    let mut text = Vec::new();
    let (mut at, mut is_escaped) = (0, false);
    loop {
        match quoted.get(at)? {
            b'"' => return Some((text, is_escaped, &quoted[at + 1..])),
            b'\\' => {
                is_escaped = true;
                at += 1;
                text.push(*quoted.get(at)?);
            }
            &byte => text.push(byte),
        }
        at += 1;
    }
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_read_quoted_or_not_and_once() {
        for (value, expected) in [
            ("a/b; boundary=xyz", Some("xyz")),
            ("a/b;charset=\"utf-8\"; Boundary=\"x z\"; a=1;", Some("x z")),
            ("a/b; x=\"boundary=no\"; boundary=yes", Some("yes")),
            (
                "a/b; boundary=----WebKitFormBoundary7MA4YWxk",
                Some("----WebKitFormBoundary7MA4YWxk"),
            ),
            (
                "a/b; boundary=----=_Part_1_2.3; a=1",
                Some("----=_Part_1_2.3"),
            ),
            ("a/b; boundary=\"open", None),
            ("a/b; boundary=a; boundary=a", None),
            ("a/b; boundary*0=a; boundary*1=b", None),
            ("a/b; boundary*=utf-8''a; boundary=a", None),
            ("a/b; boundary = a", None),
            ("a/b; boundary=a b", None),
            ("a/b; boundary=\"a \"", None),
            ("a/b; boundary=\"a\\\"b\"", None),
            ("a/b; boundary=", None),
            ("a/b; charset=utf-7; boundary=a", None),
            ("a/b", None),
        ] {
            let found = FormType::of(value.as_bytes()).map(|form| form.boundary);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{value}");
        }
        let long = format!("a/b; boundary={}", "x".repeat(71));
        assert_eq!(FormType::of(long.as_bytes()), None);
    }

    #[test]
    fn a_part_has_one_name_or_is_refused() {
        let yes = Ok(true);
        let no = Ok(false);
        let refused = Err(Fault::AmbiguousForm);
        for (value, expected) in [
            ("form-data; name=\"model\"", yes),
            ("form-data; name=model", yes),
            ("form-data;NAME=\"model\";", yes),
            ("form-data; filename=\"\u{e9}\"; name=\"model\"", yes),
            ("form-data; filename=\"a\\\"b\"; name=\"model\"", yes),
            ("form-data; name=\"Model\"", no),
            ("form-data; name=\"models\"", no),
            ("form-data; filename=\"x;name=model\"; name=file", no),
            (
                "form-data; name=\"file\"; filename*=UTF-8''name%3Dmodel",
                no,
            ),
            ("form-data", no),
            ("form-data; name=\"model\"; name=\"x\"", refused),
            ("form-data; name=\"x\"; name=\"model\"", refused),
            ("form-data; name=\"file\"; NAME=\"model\"", refused),
            ("form-data; name*=utf-8''model", refused),
            ("form-data; name*0=mod; name*1=el", refused),
            ("form-data; name=\"mo\\del\"", refused),
            ("form-data; name=\"model\"x", refused),
            ("form-data; name=\"model", refused),
            ("form-data; name=<model>", refused),
            ("form-data; name=mo del", refused),
            ("form-data; name = \"model\"", refused),
            ("form-data; filename=\"a\"b.wav\"; name=\"model\"", refused),
            ("form-data, name=\"model\"", no),
        ] {
            let header = format!("Content-Type: text/plain\r\nContent-Disposition: {value}");
            assert_eq!(is_field(header.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn a_header_that_some_read_otherwise_is_refused() {
        const MODEL: &str = "Content-Disposition: form-data; name=\"model\"";
        for (header, expected) in [
            (MODEL.to_owned(), Ok(true)),
            (format!("{MODEL}\r\nContent-Transfer-Encoding: binary"), Ok(true)),
            (format!("{MODEL}\r\nContent-Type: text/plain; charset=UTF-8"), Ok(true)),
            (format!("{MODEL}\r\n{MODEL}"), Err(Fault::AmbiguousForm)),
            (format!("X: y\r\n {MODEL}"), Err(Fault::AmbiguousForm)),
            (format!("X: y\n{MODEL}"), Err(Fault::AmbiguousForm)),
            (format!("X: y\r{MODEL}"), Err(Fault::AmbiguousForm)),
            (format!("X\r\n{MODEL}"), Err(Fault::AmbiguousForm)),
            (MODEL.replace(':', " :"), Err(Fault::AmbiguousForm)),
            (format!("{MODEL}\r\nContent-Transfer-Encoding: base64"), Err(Fault::AmbiguousForm)),
            (format!("{MODEL}\r\nContent-Type: text/plain; charset=utf-7"), Err(Fault::AmbiguousForm)),
            (
                "Content-Disposition: form-data; name=\"file\"\r\nContent-Transfer-Encoding: base64".to_owned(),
                Ok(false),
            ),
            (String::new(), Ok(false)),
        ] {
            assert_eq!(is_field(header.as_bytes()), expected, "{header}");
        }
        let latin = b"Content-Disposition: form-data; name=\"model\"; filename=\"\xe9\"";
        assert_eq!(is_field(latin), Ok(true));
    }

    #[test]
    fn only_utf8_is_read_as_it_is() {
        for (value, other) in [
            ("application/json", false),
            ("application/json; charset=utf-8", false),
            ("application/json; Charset=\"UTF8\"", false),
            ("application/json; odata=verbose", false),
            ("application/json; charset=utf-7", true),
            ("application/json; charset=utf-16", true),
            ("application/json; charset=utf-8; charset=utf-16", true),
            ("application/json; charset*=utf-7", true),
            ("application/json; charset=iso-8859-1", true),
            ("application/json; charset=shift_jis", true),
            ("application/json; x; charset=utf-7", true),
            ("application/json; charset = utf-7", true),
            ("application/json; x y; CharSet=utf-8", true),
            ("application/json charset=utf-7", true),
            ("application/json, text/plain; charset=utf-7", true),
            ("application/json; x", false),
            ("a/b; boundary=\"charset=utf-7\"", false),
        ] {
            assert_eq!(has_other_charset(value.as_bytes()), other, "{value}");
        }
    }
}
