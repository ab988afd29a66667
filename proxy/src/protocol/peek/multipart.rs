//! Finds the part `model` of a `multipart/form-data` body (RFC 7578; RFC 2046, 5.1.1), as in
//! requests with audio and images. Other parts are skipped, whatever their size.
//!
//! A second such part is an error, because many servers take the last of two. So the rest of the
//! body is scanned while it passes. Whatever some servers read differently is refused: anything
//! before the first delimiter or after a delimiter on its line, and lines that end in CR or LF
//! alone.

use memchr::memmem;

use super::{
    Fault, Found, LONGEST_NAME, Progress,
    disposition::{FormType, is_field},
};

/// Most bytes of a part's header.
const HEADER: usize = 8 * 1024;

/// Scans a form, piece by piece.
#[derive(Debug)]
pub struct Multipart {
    /// `--boundary`. A line break precedes it.
    delimiter: Vec<u8>,
    state: State,
    /// Undecided bytes: at most a header or a name.
    rest: Vec<u8>,
    /// Bytes of the body before `rest`.
    before: usize,
    /// Whether the part was found.
    found: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the form.
    Start,
    /// Skipping to the next delimiter.
    Skip,
    /// After a delimiter: before the end of its line, or of the form.
    Line,
    /// Within a part's header.
    Header,
    /// Within the part that is searched.
    Model,
    /// After the form.
    End,
}

impl Multipart {
    /// A scanner for a body of this content type; `None` if it has no valid boundary, or is
    /// ambiguous.
    #[must_use]
    pub fn of(content_type: &[u8]) -> Option<Self> {
        let FormType { boundary } = FormType::of(content_type)?;
        Some(Self {
            delimiter: [b"--", &boundary[..]].concat(),
            state: State::Start,
            rest: Vec::new(),
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
                // Some clients begin with an empty line.
                State::Start if self.rest.starts_with(b"\r\n") => 2,
                State::Start if self.rest.starts_with(&self.delimiter) => {
                    self.state = State::Line;
                    self.delimiter.len()
                }
                State::Start => {
                    let begins = self.delimiter.starts_with(&self.rest) || self.rest == b"\r";
                    return match begins {
                        true => Progress::More,
                        false => Progress::Not(Fault::NotForm),
                    };
                }
                State::Skip => match self.delimiter_in(&self.rest) {
                    Ok(Some(at)) => {
                        self.state = State::Line;
                        at + 2 + self.delimiter.len()
                    }
                    Ok(None) => {
                        // Including the line break before a delimiter.
                        let kept = self.delimiter.len() + 1;
                        let skipped = self.rest.len().saturating_sub(kept);
                        self.used(skipped);
                        return Progress::More;
                    }
                    Err(fault) => return Progress::Not(fault),
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
                State::Line => {
                    let spaces = self.rest.iter().take_while(|byte| b" \t".contains(byte));
                    let spaces = spaces.count();
                    match &self.rest[spaces..] {
                        _ if spaces > HEADER => return Progress::Not(Fault::NotForm),
                        // The header may be empty: then this line break also starts its end.
                        [b'\r', b'\n', ..] => {
                            self.state = State::Header;
                            spaces
                        }
                        [] | [b'\r'] => return Progress::More,
                        [b'-'] if spaces == 0 => return Progress::More,
                        _ => return Progress::Not(Fault::AmbiguousForm),
                    }
                }
                State::Header => match memmem::find(&self.rest, b"\r\n\r\n") {
                    // For some servers, the header ends where others see a line that goes on.
                    end if self.has_other_breaks(end) => {
                        return Progress::Not(Fault::AmbiguousForm);
                    }
                    Some(at) if at > HEADER => return Progress::Not(Fault::NotForm),
                    Some(at) => {
                        self.state = match is_field(&self.rest[..at]) {
                            Ok(true) if self.found => return Progress::Not(Fault::Twice),
                            Ok(true) => State::Model,
                            Ok(false) => State::Skip,
                            Err(fault) => return Progress::Not(fault),
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
        // With the line break. What comes behind these bytes decides nothing, however the body is cut.
        let most = LONGEST_NAME + 2 + self.delimiter.len();
        let first = &self.rest[..self.rest.len().min(most)];
        match self.delimiter_in(first) {
            Err(fault) => Progress::Not(fault),
            Ok(None) if first.len() == most => Progress::Not(Fault::TooLong),
            Ok(None) => Progress::More,
            Ok(Some(end)) => {
                let text = self.rest[..end].to_vec();
                let start = self.before;
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

    /// The position of the line break before the first delimiter in `bytes`.
    fn delimiter_in(&self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        for at in memmem::find_iter(bytes, &self.delimiter) {
            match &bytes[..at] {
                [.., b'\r', b'\n'] => return Ok(Some(at - 2)),
                // For some servers, the line ends here, too.
                [.., b'\r' | b'\n'] => return Err(Fault::AmbiguousForm),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Whether a header up to `end` has line breaks of CR or LF alone.
    fn has_other_breaks(&self, end: Option<usize>) -> bool {
        let header = &self.rest[..end.unwrap_or(self.rest.len()).min(HEADER)];
        memchr::memchr2_iter(b'\r', b'\n', header).any(|at| match header[at] {
            // One at the end may belong to what follows.
            b'\r' => header.get(at + 1).is_some_and(|&next| next != b'\n'),
            _ => at == 0 || header[at - 1] != b'\r',
        })
    }

    fn used(&mut self, bytes: usize) {
        self.rest.drain(..bytes);
        self.before += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=xyz";

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
        let line = format!("\r\n{}", form(&[("name=\"model\"", "m")]));
        assert!(matches!(whole(&line), Progress::Found(_)));
        let spaces = form(&[("name=\"model\"", "m")]).replacen("xyz\r", "xyz \t\r", 1);
        assert!(matches!(whole(&spaces), Progress::Found(_)));
        let Progress::Found(empty) = whole(&form(&[("name=\"model\"", "")])) else {
            panic!("an empty name")
        };
        assert_eq!(empty.name, "");
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
            assert!(
                Multipart::of(content_type.as_bytes()).is_none(),
                "{content_type}"
            );
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_told_whatever_follows_and_however_it_is_cut() {
        let of = |length| "x".repeat(length);
        let good = form(&[("name=\"model\"", &of(LONGEST_NAME))]);
        let long = form(&[("name=\"model\"", &of(LONGEST_NAME + 1))]);
        let broken = good.replace("x\r\n--xyz--", "xxx\n--xyz--");
        assert!(matches!(whole(&good), Progress::Found(_)));
        for text in [&long, &broken, &(broken.clone() + &of(99))] {
            for size in [1, 7, LONGEST_NAME, text.len()] {
                let mut scanner = Multipart::of(TYPE).unwrap();
                let mut pieces = text.as_bytes().chunks(size);
                let end = pieces.find_map(|piece| match scanner.feed(piece) {
                    Progress::More => None,
                    end => Some(end),
                });
                assert_eq!(
                    end,
                    Some(Progress::Not(Fault::TooLong)),
                    "in pieces of {size}"
                );
            }
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
    fn what_some_servers_read_otherwise_is_refused() {
        let good = form(&[("name=\"file\"", "data"), ("name=\"model\"", "m")]);
        for (text, fault) in [
            (format!("before\r\n{good}"), Fault::NotForm),
            (format!("before{good}"), Fault::NotForm),
            (good.replace("data", "\n--xyz\ndata"), Fault::AmbiguousForm),
            (
                good.replace("data", "\r--xyz\r\ndata"),
                Fault::AmbiguousForm,
            ),
            (
                good.replacen("--xyz\r\n", "--xyzw\r\n", 1),
                Fault::AmbiguousForm,
            ),
            (
                good.replacen("--xyz\r\n", "--xyz\n", 1),
                Fault::AmbiguousForm,
            ),
            (
                good.replace("\"file\"\r\n\r\n", "\"file\"\r\r"),
                Fault::AmbiguousForm,
            ),
            (
                good.replace("\"file\"\r\n", "\"file\"\n\r\n"),
                Fault::AmbiguousForm,
            ),
            (
                good.replacen("--xyz\r\n", "--xyz-\r\n", 1),
                Fault::AmbiguousForm,
            ),
            (
                good.replace("form-data; name=\"model\"", "form-data;\r\n name=\"model\""),
                Fault::AmbiguousForm,
            ),
            (good.replace("\r\nm\r\n", "\r\nm\n"), Fault::AmbiguousForm),
        ] {
            assert_eq!(whole(&text), Progress::Not(fault), "{text:?}");
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
        fn no_bytes_panic(bytes: Vec<u8>, content_type: Vec<u8>) {
            if let Some(mut scanner) = Multipart::of(&content_type) {
                let _ = scanner.feed(&bytes);
            }
            let _ = Multipart::of(TYPE).unwrap().feed(&bytes);
        }
    }
}
