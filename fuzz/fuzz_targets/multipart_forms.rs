//! Forms as clients write them: where one part alone is named `model`, its content is found, at its place.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tailback::protocol::peek::{Multipart, Progress};
use tailback_fuzz::scan;

#[derive(Arbitrary, Debug)]
struct Part {
    name: Name,
    is_file: bool,
    has_type: bool,
    content: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Name {
    Model,
    Unquoted,
    Twice,
    Extended,
    Other(u8),
}

fuzz_target!(|input: (u16, bool, Vec<Part>)| {
    let (at, ends, parts) = input;
    let mut form = Vec::new();
    for part in &parts {
        let name = match &part.name {
            Name::Model => "name=\"model\"".to_owned(),
            Name::Unquoted => "name=model".to_owned(),
            Name::Twice => "name=\"a\"; name=\"model\"".to_owned(),
            Name::Extended => "name*=utf-8''model".to_owned(),
            Name::Other(number) => format!("name=\"f{number}\""),
        };
        let file = if part.is_file { "; filename=\"f\"" } else { "" };
        let kind = if part.has_type {
            "content-type: text/plain\r\n"
        } else {
            ""
        };
        let head = format!("--x\r\ncontent-disposition: form-data; {name}{file}\r\n{kind}\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(&part.content);
        form.extend_from_slice(b"\r\n");
    }
    if ends {
        form.extend_from_slice(b"--x--\r\n");
    }
    let scanner = || Multipart::of(b"multipart/form-data; boundary=x").unwrap();
    let whole = scan(scanner, Multipart::feed, &form, at);
    if let Progress::Found(found) = whole {
        assert_eq!(&form[found.span], found.name.as_bytes());
        assert!(
            parts
                .iter()
                .any(|part| !matches!(part.name, Name::Other(_)))
        );
    }
});
