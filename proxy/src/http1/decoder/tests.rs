use super::*;
use proptest::prelude::*;

/// What comes out of `input`, given in pieces of `size` bytes: the data, the trailers, and
/// whether it ended.
fn decode(
    framing: Framing,
    input: &[u8],
    size: usize,
) -> Result<(Vec<u8>, Option<Trailers>, bool), Malformed> {
    let (mut decoder, mut bytes) = (BodyDecoder::new(framing), BytesMut::new());
    let (mut data, mut trailers) = (Vec::new(), None);
    for piece in input.chunks(size) {
        bytes.extend_from_slice(piece);
        while let Some(part) = decoder.decode(&mut bytes)? {
            match part {
                DecodedFrame::Data(part) => {
                    assert!(!part.is_empty());
                    data.extend_from_slice(&part);
                }
                DecodedFrame::Trailers(fields) => trailers = Some(fields),
            }
        }
    }
    Ok((data, trailers, decoder.is_ended()))
}

#[test]
fn a_body_ends_where_its_length_says() {
    let mut decoder = BodyDecoder::new(Framing::Length(3));
    let mut bytes = BytesMut::from(&b"abcHTTP/1.1"[..]);
    assert_eq!(decoder.left(), Some(3));
    assert!(
        matches!(decoder.decode(&mut bytes), Ok(Some(DecodedFrame::Data(data))) if data == "abc")
    );
    assert!(decoder.is_ended() && decoder.decode(&mut bytes).unwrap().is_none());
    assert_eq!(&bytes[..], b"HTTP/1.1");
    let mut cut = BodyDecoder::new(Framing::Length(3));
    assert_eq!(cut.end_of_input(), Err(Malformed::Incomplete));
}

#[test]
fn a_body_without_length_ends_with_its_connection() {
    let mut decoder = BodyDecoder::new(Framing::Close);
    let mut bytes = BytesMut::from(&b"abc"[..]);
    assert!(decoder.decode(&mut bytes).unwrap().is_some());
    assert!(!decoder.is_ended());
    decoder.end_of_input().unwrap();
    assert!(decoder.is_ended());
}

#[test]
fn the_end_of_chunks_is_known_with_the_last_bytes_if_it_came_with_them() {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let mut bytes = BytesMut::from(&b"3\r\nabc\r\n0\r\n\r\n"[..]);
    assert!(decoder.decode(&mut bytes).unwrap().is_some());
    assert!(decoder.is_ended() && bytes.is_empty());
}

#[test]
fn chunks_are_read_as_they_are_written_in_the_field() {
    for (input, data, trailer) in [
        ("0\r\n\r\n", "", None),
        ("3\r\nabc\r\n0\r\n\r\n", "abc", None),
        ("0003 \t\r\nabc\r\n00\r\n\r\n", "abc", None),
        (
            "a;x=\"1\";y\r\n0123456789\r\n0;z\r\n\r\n",
            "0123456789",
            None,
        ),
        (
            "B\r\n0123456789a\r\n0\r\nx-sum: 1\r\n\r\n",
            "0123456789a",
            Some("1"),
        ),
    ] {
        for size in 1..=input.len() {
            let (found, trailers, ended) =
                decode(Framing::Chunked, input.as_bytes(), size).unwrap();
            assert_eq!(
                (found, ended),
                (data.as_bytes().to_vec(), true),
                "{input:?}"
            );
            let found = trailers.map(|fields| fields["x-sum"].to_str().unwrap().to_owned());
            assert_eq!(found.as_deref(), trailer, "{input:?}");
        }
    }
}

#[test]
fn malformed_chunks_are_told_by_what_is_wrong_with_them() {
    let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(20_000));
    let fields = format!("0\r\n{}\r\n", "a: b\r\n".repeat(101));
    let trailer = format!("0\r\na: {}\r\n\r\n", "x".repeat(20_000));
    for (input, expected) in [
        ("\r\n", Malformed::Size),
        ("-1\r\n", Malformed::Size),
        ("+1\r\na\r\n", Malformed::Size),
        ("0x1\r\na\r\n", Malformed::Size),
        ("1 1\r\na\r\n", Malformed::Size),
        ("1\na\r\n", Malformed::Size),
        ("1\rXa\r\n", Malformed::Size),
        ("10000000000000000\r\n", Malformed::Size),
        ("000000000000000000000000000000000\r\n", Malformed::Size),
        (
            "1                                \r\na\r\n",
            Malformed::Size,
        ),
        ("1;a\nb\r\n", Malformed::Extension),
        (&long, Malformed::Extension),
        ("1\r\nab\r\n", Malformed::ChunkEnd),
        ("1\r\na\n", Malformed::ChunkEnd),
        ("0\r\n\rx", Malformed::Trailers),
        ("0\r\nnot a field\r\n\r\n", Malformed::Trailers),
        ("0\r\na: b\n\nGET / HTTP/1.1\r\n\r\n", Malformed::Trailers),
        (&fields, Malformed::Trailers),
        (&trailer, Malformed::Trailers),
    ] {
        for size in [1, 2, 7, input.len()] {
            let found = decode(Framing::Chunked, input.as_bytes(), size);
            assert_eq!(found.unwrap_err(), expected, "{input:.40?} by {size}");
        }
    }
}

proptest! {
    #[test]
    fn what_was_chunked_comes_out_whole(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
        size in 1usize..400,
    ) {
        let mut input = Vec::new();
        for chunk in &chunks {
            input.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            input.extend_from_slice(chunk);
            input.extend_from_slice(b"\r\n");
        }
        input.extend_from_slice(b"0\r\n\r\n");
        let (data, trailers, ended) = decode(Framing::Chunked, &input, size).unwrap();
        prop_assert!(ended && trailers.is_none());
        prop_assert_eq!(data, chunks.concat());
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same(
        input in proptest::collection::vec(
            prop_oneof![
                3 => Just(b'\r'), 3 => Just(b'\n'), 2 => Just(b'0'), 2 => Just(b'2'),
                1 => Just(b';'), 1 => Just(b':'), 1 => Just(b'a'), 1 => any::<u8>(),
            ],
            0..60,
        ),
        size in 1usize..20,
    ) {
        let whole = decode(Framing::Chunked, &input, input.len().max(1));
        let pieces = decode(Framing::Chunked, &input, size);
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(whole, pieces),
            (Err(whole), Err(pieces)) => prop_assert_eq!(whole, pieces),
            (whole, pieces) => prop_assert!(false, "{:?} {:?}", whole, pieces),
        }
    }
}
