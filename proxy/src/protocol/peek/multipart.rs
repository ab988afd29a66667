//! Finds the part `model` of a `multipart/form-data` body (RFC 7578; RFC 2046, 5.1.1), as requests
//! with audio and images have it. Other parts are skipped, whatever their size.
//!
//! A second such part is an error, because many servers take the last of two. So the rest of the
//! body is scanned as it passes.

use memchr::memmem;

use super::{Fault, Found, LONGEST_NAME, Progress};

/// The name of the part.
const FIELD: &str = "model";
/// Most bytes of a part's header.
const HEADER: usize = 8 * 1024;

/// Scans a form, piece by piece.
#[derive(Debug)]
pub struct Multipart {
    /// `\r\n--boundary`.
    delimiter: Vec<u8>,
    state: State,
    /// Bytes that are not decided yet: at most a header or a name.
    rest: Vec<u8>,
    /// Bytes of the body before `rest`.
    before: usize,
    /// Whether the part was found.
    found: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Skipping to the next delimiter.
    Skip,
    /// After a delimiter: before the end of its line, or of the form.
    Line,
    /// Within a part's header.
    Header,
    /// Within the part that is looked for.
    Model,
    /// After the form.
    End,
}

impl Multipart {
    /// A scanner for a body of this content type; `None` if it has no valid boundary.
    #[must_use]
    pub fn of(content_type: &str) -> Option<Self> {
        let boundary = parameter(content_type, "boundary")?;
        // RFC 2046: 1 to 70 characters.
        (1..=70).contains(&boundary.len()).then(|| Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            state: State::Skip,
            // The first delimiter may start the body, without the line break before it.
            rest: b"\r\n".to_vec(),
            before: 0,
            found: false,
        })
    }

    /// Scans the next piece of the body. After the part was found, [`Progress::More`] means that
    /// all is well.
    pub fn feed(&mut self, piece: &[u8]) -> Progress {
        self.rest.extend_from_slice(piece);
        loop {
            let used = match self.state {
                State::Skip => match memmem::find(&self.rest, &self.delimiter) {
                    Some(at) => {
                        self.state = State::Line;
                        at + self.delimiter.len()
                    }
                    None => {
                        let kept = self.delimiter.len() - 1;
                        let skipped = self.rest.len().saturating_sub(kept);
                        self.used(skipped);
                        return Progress::More;
                    }
                },
                State::Line if self.rest.starts_with(b"--") => {
                    if !self.found {
                        return Progress::Not(Fault::Absent);
                    }
                    self.state = State::End;
                    continue;
                }
                State::End => {
                    self.rest.clear();
                    return Progress::More;
                }
                State::Line => match memmem::find(&self.rest, b"\r\n") {
                    Some(at) if at > HEADER => return Progress::Not(Fault::NotForm),
                    // The header may be empty: then this line break is also the start of its end.
                    Some(at) => {
                        self.state = State::Header;
                        at
                    }
                    None if self.rest.len() > HEADER + 2 => return Progress::Not(Fault::NotForm),
                    None => return Progress::More,
                },
                State::Header => match memmem::find(&self.rest, b"\r\n\r\n") {
                    Some(at) if at > HEADER => return Progress::Not(Fault::NotForm),
                    Some(at) => {
                        self.state = match is_field(&self.rest[..at]) {
                            true if self.found => return Progress::Not(Fault::Twice),
                            true => State::Model,
                            false => State::Skip,
                        };
                        at + 4
                    }
                    None if self.rest.len() > HEADER + 4 => return Progress::Not(Fault::NotForm),
                    None => return Progress::More,
                },
                State::Model => return self.model(),
            };
            self.used(used);
        }
    }

    fn model(&mut self) -> Progress {
        match memmem::find(&self.rest, &self.delimiter) {
            Some(end) if end > LONGEST_NAME => Progress::Not(Fault::TooLong),
            None if self.rest.len() > LONGEST_NAME + self.delimiter.len() => {
                Progress::Not(Fault::TooLong)
            }
            None => Progress::More,
            Some(end) => {
                let text = self.rest[..end].to_vec();
                // Without the two bytes that were inserted before the body.
                let start = self.before - 2;
                (self.found, self.state) = (true, State::Skip);
                self.used(end);
                match String::from_utf8(text) {
                    Ok(name) => Progress::Found(Found {
                        name,
                        span: start..start + end,
                    }),
                    Err(_) => Progress::Not(Fault::NotForm),
                }
            }
        }
    }

    fn used(&mut self, bytes: usize) {
        self.rest.drain(..bytes);
        self.before += bytes;
    }
}

/// Whether a part with this header is the one that is looked for.
fn is_field(header: &[u8]) -> bool {
    let Ok(header) = std::str::from_utf8(header) else {
        return false;
    };
    header
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("content-disposition")
                && parameter(value, "name").as_deref() == Some(FIELD)
        })
}

/// A parameter of a header field's value, such as `boundary` (RFC 9110, 5.6.6).
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, after) = if let Some(quoted) = after.trim_start().strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = after.find(';').unwrap_or(after.len());
            (after[..end].trim().to_owned(), &after[end..])
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = after.trim_start().strip_prefix(';')?;
    }
}

/// The content of a quoted string, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => text.push(characters.next()?.1),
            _ => text.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "multipart/form-data; boundary=xyz";

    fn form(parts: &[(&str, &str)]) -> String {
        let mut text = String::new();
        for (disposition, value) in parts {
            text += &format!(
                "--xyz\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n"
            );
        }
        text + "--xyz--\r\n"
    }

    fn whole(text: &str) -> Progress {
        Multipart::of(TYPE).unwrap().feed(text.as_bytes())
    }

    #[test]
    fn finds_the_part_among_others() {
        for parts in [
            &[("name=\"model\"", "whisper")][..],
            &[
                ("name=\"file\"; filename=\"a.wav\"", "\r\n--xy\r\n--\0model"),
                ("name=\"model\"", "whisper"),
            ],
            &[
                ("filename=\"x;name=model\"; name=file", "1"),
                ("name=model", "whisper"),
            ],
        ] {
            let text = form(parts);
            let Progress::Found(found) = whole(&text) else {
                panic!("{text}: {:?}", whole(&text))
            };
            assert_eq!(found.name, "whisper");
            assert_eq!(&text[found.span], "whisper");
        }
        let preamble = format!("ignored\r\n{}", form(&[("name=\"model\"", "m")]));
        assert!(matches!(whole(&preamble), Progress::Found(_)));
    }

    #[test]
    fn a_missing_model_is_reported_with_its_reason() {
        assert_eq!(whole(&form(&[])), Progress::Not(Fault::Absent));
        assert_eq!(
            whole(&form(&[("name=\"modell\"", "m")])),
            Progress::Not(Fault::Absent)
        );
        let long = form(&[("name=\"model\"", &"x".repeat(LONGEST_NAME + 1))]);
        assert_eq!(whole(&long), Progress::Not(Fault::TooLong));
        let header = format!("--xyz\r\nx: {}", "x".repeat(HEADER));
        assert_eq!(whole(&header), Progress::Not(Fault::NotForm));
        assert_eq!(whole("--xyz\r\n"), Progress::More);
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "x; a=b",
        ] {
            assert!(Multipart::of(content_type).is_none(), "{content_type}");
        }
    }

    #[test]
    fn a_second_part_is_found_as_the_form_passes() {
        let (one, file) = (("name=\"model\"", "m"), ("name=\"file\"", "\r\n--\0model"));
        for (parts, expected) in [
            (&[one][..], Progress::More),
            (&[one, file], Progress::More),
            (&[one, one], Progress::Not(Fault::Twice)),
            (&[one, file, one], Progress::Not(Fault::Twice)),
        ] {
            let text = form(parts) + "--xyz\r\nname=model";
            for at in 0..text.len() {
                let mut scanner = Multipart::of(TYPE).unwrap();
                let first = scanner.feed(&text.as_bytes()[..at]);
                let mut second = scanner.feed(&text.as_bytes()[at..]);
                // The scanner has kept the end of the piece in which it found the part: scan it.
                if let Progress::Found(_) = second {
                    second = scanner.feed(b"");
                }
                let end = if let Progress::Not(_) = first {
                    first
                } else {
                    second
                };
                assert_eq!(end, expected, "{text} cut at {at}");
            }
        }
    }

    #[test]
    fn parameters_are_read_quoted_or_not() {
        for (value, expected) in [
            ("a/b; boundary=xyz", Some("xyz")),
            (
                "a/b;charset=\"u;boundary=no\"; Boundary=\"x\\\"z\"",
                Some("x\"z"),
            ),
            ("a/b; boundary=\"open", None),
            ("a/b", None),
        ] {
            assert_eq!(parameter(value, "boundary").as_deref(), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_cuts(
            file in "[\\r\\n-xyz]{0,40}",
            cuts in proptest::collection::vec(0usize..300, 0..8),
        ) {
            let text = form(&[("name=\"file\"", &file), ("name=\"model\"", "whisper")]);
            let expected = whole(&text);
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut scanner = Multipart::of(TYPE).unwrap();
            let mut end = Progress::More;
            for pair in cuts.windows(2) {
                if end == Progress::More {
                    end = scanner.feed(&bytes[pair[0]..pair[1]]);
                }
            }
            prop_assert_eq!(end, expected);
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, content_type: String) {
            if let Some(mut scanner) = Multipart::of(&content_type) {
                let _ = scanner.feed(&bytes);
            }
            let _ = Multipart::of(TYPE).unwrap().feed(&bytes);
        }
    }
}
