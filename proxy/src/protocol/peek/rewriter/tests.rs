//! Names replaced in messages and encoded bodies, however those are cut.

use super::*;
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::Write;

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.extend(message);
    framed
}

/// A message with this name in field 1, followed by `more`.
fn named(name: &str, more: &[u8]) -> Vec<u8> {
    let mut message = vec![0x0a, name.len() as u8];
    message.extend(name.as_bytes());
    message.extend(more);
    framed(&message)
}

/// The rewritten `body` when it arrives in pieces of `length` bytes.
fn rewritten(mut rewriter: Rewriter, body: &[u8], length: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    for piece in body.chunks(length) {
        rewriter.push(Bytes::copy_from_slice(piece));
        while let Some(piece) = rewriter.pull()? {
            out.extend(piece);
        }
    }
    while let Some(piece) = rewriter.finish()? {
        out.extend(piece);
    }
    assert!(rewriter.is_done());
    Ok(out)
}

fn to_real() -> Rewriter {
    Rewriter::messages(
        1,
        vec!["m".into(), "alias".into()],
        "real",
        Some(MessageCoding::Gzip),
    )
}

#[test]
fn every_message_is_renamed_however_the_call_is_cut() {
    // With a string in field 2 before the name.
    let late = framed(b"\x12\x02vv\x0a\x01m");
    let body = [
        named("m", b"\x12\x02vv"),
        late,
        framed(b""),
        named("alias", b""),
    ]
    .concat();
    let expected = [
        named("real", b"\x12\x02vv"),
        framed(b"\x12\x02vv\x0a\x04real"),
        framed(b""),
        named("real", b""),
    ]
    .concat();
    for length in 1..=body.len() {
        assert_eq!(
            rewritten(to_real(), &body, length).unwrap(),
            expected,
            "{length}"
        );
    }
}

/// A message compressed by gzip.
fn compressed(message: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(message).unwrap();
    let mut framed = framed(&writer.finish().unwrap());
    framed[0] = 1;
    framed
}

#[test]
fn compressed_messages_are_forwarded_uncompressed_with_the_new_name() {
    let body = [
        compressed(b"\x0a\x01m\x12\x02vv"),
        named("alias", b""),
        compressed(b"\x12\x02vv"),
    ]
    .concat();
    let expected = [
        named("real", b"\x12\x02vv"),
        named("real", b""),
        framed(b"\x12\x02vv"),
    ]
    .concat();
    for length in 1..=body.len() {
        let found = rewritten(to_real(), &body, length).unwrap();
        assert_eq!(found, expected, "{length}");
    }
    let other = compressed(b"\x0a\x01n");
    assert_eq!(rewritten(to_real(), &other, 9), Err(Fault::OtherModel));
    let long = [&b"\x0a\x01m\x12\x80\x80\x80\x02"[..], &vec![0; 4 << 20]].concat();
    let found = rewritten(to_real(), &compressed(&long), 5000);
    assert_eq!(found, Err(Fault::CompressedTooLong));
    let rewriter = Rewriter::messages(1, vec!["m".into()], "real", None);
    assert_eq!(rewritten(rewriter, &body, 9), Err(Fault::Compressed));
}

#[test]
fn a_message_for_another_model_or_with_an_unreadable_name_ends_the_call() {
    let ok = named("m", b"");
    let broken = [&[1][..], &ok[1..]].concat();
    let late = framed(&[&[0x12, 0x80, 0x80, 0x80, 0x01][..], &vec![0; 2 << 20]].concat());
    for (second, fault) in [
        (named("n", b""), Fault::OtherModel),
        (named("m", b"\x0a\x01n"), Fault::TwiceInMessage),
        (named("m", b"")[..6].to_vec(), Fault::NotMessage),
        (framed(b"\x0f"), Fault::NotMessage),
        (broken, Fault::NotDecodable),
        (late, Fault::NameTooLate),
    ] {
        let body = [ok.clone(), second].concat();
        for length in [1000, 3] {
            let found = rewritten(to_real(), &body, length);
            assert_eq!(found, Err(fault), "{length}");
        }
    }
    // A message without a name stays unchanged.
    let unnamed = [ok, framed(b"\x12\x02vv"), framed(b"\x0a\x00\x12\x01v")].concat();
    let found = rewritten(to_real(), &unnamed, 4).unwrap();
    assert_eq!(found.len(), unnamed.len() + 3);
}

proptest! {
    #[test]
    fn an_encoded_body_is_forwarded_decoded_with_the_new_name(
        before in 0usize..40_000, after in 0usize..40_000, length in 1usize..3000,
    ) {
        let (before, after) = ("a".repeat(before), "b".repeat(after));
        let text = format!("{{\"a\":\"{before}\",\"model\":\"m\",\"b\":\"{after}\"}}");
        let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
        writer.write_all(text.as_bytes()).unwrap();
        let start = before.len() + 16;
        let found = Found { name: "m".into(), span: start..start + 3 };
        let decoder = Decoder::named("gzip").unwrap();
        let rewriter = Rewriter::decoded(decoder, Format::Json, &found, "or/g");
        let new = rewritten(rewriter, &writer.finish().unwrap(), length).unwrap();
        let expected = text.replace("\"model\":\"m\"", "\"model\":\"or/g\"");
        prop_assert_eq!(String::from_utf8(new).unwrap(), expected);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, length in 1usize..9) {
        let _ = rewritten(to_real(), &bytes, length);
        let found = Found { name: "m".into(), span: 1..3 };
        let decoder = Decoder::named("deflate").unwrap();
        let _ = rewritten(Rewriter::decoded(decoder, Format::Json, &found, "n"), &bytes, length);
    }
}

#[test]
fn nothing_comes_out_after_a_fault_whatever_is_put_in() {
    for wrong in [
        named("other", b""),
        framed(b"\x0a"),
        b"\x02\0\0\0\x01m".to_vec(),
    ] {
        let mut rewriter = to_real();
        rewriter.push(named("m", b"").into());
        assert!(matches!(rewriter.pull(), Ok(Some(_))));
        while let Some(_piece) = rewriter.pull().unwrap() {}
        rewriter.push(wrong.into());
        let fault = rewriter.pull().unwrap_err();
        rewriter.push(named("m", b"").into());
        assert_eq!(rewriter.pull(), Err(fault));
        assert!(rewriter.finish().is_err());
    }
}
