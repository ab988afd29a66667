//! Beside loona-hpack.
//!
//! It differs on purpose: it accepts size updates behind a field and any number of them, refuses one at
//! the end of a block, and takes at most four bytes behind the prefix of an integer, where RFC 7541 sets no
//! limit.

use loona_hpack::decoder::{DecoderError, IntegerDecodingError};
use proptest::prelude::*;

use super::{super::huffman::tests::encode as huffman, *};
use crate::http2::hpack::integer;

fn other_decoder() -> loona_hpack::Decoder<'static> {
    let mut decoder = loona_hpack::Decoder::new();
    decoder.set_max_allowed_table_size(4096);
    decoder
}

/// Whether HTTP/2 and our types allow a field.
fn is_allowed((name, value): &Pair) -> bool {
    match name.as_slice() {
        b":authority" | b":path" | b":scheme" | b":protocol" => true,
        b":method" => Method::from_bytes(value).is_ok(),
        b":status" => StatusCode::from_bytes(value).is_ok(),
        _ => HeaderName::from_lowercase(name).is_ok() && HeaderValue::from_bytes(value).is_ok(),
    }
}

/// A step of a connection.
#[derive(Clone, Debug)]
enum Step {
    Block(Vec<Field>),
    TableSize(u32),
}

fn any_field() -> impl Strategy<Value = Field> {
    let texts = prop_oneof![
        4 => prop::sample::select(vec!["", "a", "bc", "trailers", "gzip, deflate"]).prop_map(str::to_owned),
        2 => "[ -~]{0,60}",
        1 => "[ -~]{100,2000}",
    ];
    let names = prop::sample::select(vec![
        "te",
        "content-type",
        "accept-encoding",
        "date",
        "traceparent",
        "cookie",
        "x-1",
        "x-2",
        "x-much-longer-name-1",
        "x-much-longer-name-2",
    ]);
    let regular = (names, texts.clone(), prop::bool::weighted(0.1)).prop_map(
        |(name, value, is_sensitive)| {
            let mut value = HeaderValue::try_from(value).unwrap();
            value.set_sensitive(is_sensitive);
            Field::Regular(HeaderName::from_static(name), value)
        },
    );
    let methods = prop::sample::select(vec![Method::GET, Method::POST, Method::OPTIONS]);
    let statuses = prop::sample::select(vec![200, 204, 206, 304, 400, 404, 500, 429, 503]);
    prop_oneof![
        8 => regular,
        1 => texts.clone().prop_map(|text| Field::Authority(text.into())),
        1 => texts.clone().prop_map(|text| Field::Path(text.into())),
        1 => any::<bool>().prop_map(|https| Field::Scheme(if https { "https" } else { "http" }.into())),
        1 => methods.prop_map(Field::Method),
        1 => statuses.prop_map(|status| Field::Status(StatusCode::from_u16(status).unwrap())),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let sizes = prop_oneof![Just(0), 0..300u32, Just(4096), any::<u32>()];
    prop_oneof![
        4 => prop::collection::vec(any_field(), 1..20).prop_map(Step::Block),
        1 => sizes.prop_map(Step::TableSize),
    ]
}

/// The parts of a block, right or wrong.
#[derive(Clone, Debug)]
enum Fragment {
    Indexed(usize),
    /// The representation, the index of the name, the name where that is 0, the value, and which of
    /// the two has a Huffman code.
    Literal(u8, usize, Vec<u8>, Vec<u8>, (bool, bool)),
    Update(usize),
    Bytes(Vec<u8>),
}

fn any_part() -> impl Strategy<Value = Fragment> {
    let index = prop_oneof![60 => 1..62usize, 6 => 62..65usize, 1 => 0..300usize];
    let name = prop_oneof![
        4 => prop::sample::select(vec!["te", ":path", ":status", ":protocol", ":x", "Te", "", "a b"])
            .prop_map(|name| name.as_bytes().to_vec()),
        2 => "[a-z]{1,90}".prop_map(String::into_bytes),
        1 => any::<Vec<u8>>(),
    ];
    let value = prop_oneof![
        4 => "[ -~]{0,40}".prop_map(String::into_bytes),
        1 => any::<Vec<u8>>(),
        1 => prop::collection::vec(any::<u8>(), 1000..5000),
    ];
    let literal = (
        prop::sample::select(vec![0x40u8, 0, 0x10]),
        prop_oneof![Just(0), index.clone()],
    );
    prop_oneof![
        40 => index.prop_map(Fragment::Indexed),
        60 => (literal, name, value, any::<(bool, bool)>()).prop_map(
            |((kind, index), name, value, coded)| Fragment::Literal(kind, index, name, value, coded)
        ),
        1 => (0..4100usize).prop_map(Fragment::Update),
        1 => prop::collection::vec(any::<u8>(), 1..4).prop_map(Fragment::Bytes),
    ]
}

impl Fragment {
    fn write(&self, out: &mut Vec<u8>) {
        let string = |text: &[u8], is_coded: bool, out: &mut Vec<u8>| {
            let coded = is_coded.then(|| huffman(text));
            let text = coded.as_deref().unwrap_or(text);
            integer::write(text.len(), 0x7f, u8::from(is_coded) << 7, out);
            out.extend_from_slice(text);
        };
        match self {
            Self::Indexed(index) => integer::write(*index, 0x7f, 0x80, out),
            Self::Update(size) => integer::write(*size, 0x1f, 0x20, out),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Literal(kind, index, name, value, coded) => {
                integer::write(*index, if *kind == 0x40 { 0x3f } else { 0x0f }, *kind, out);
                if *index == 0 {
                    string(name, coded.0, out);
                }
                string(value, coded.1, out);
            }
        }
    }
}

/// Whether a block whose form is right has more than two size updates at its beginning, or one behind
/// a field.
fn has_misplaced_update(block: &[u8]) -> bool {
    let (mut input, mut updates, mut fields) = (block, 0, 0);
    while let Some((&first, rest)) = input.split_first() {
        input = rest;
        if first & 0xe0 == 0x20 {
            integer::read(first, 0x1f, &mut input).unwrap();
            updates += 1;
            if fields > 0 || updates > 2 {
                return true;
            }
            continue;
        }
        fields += 1;
        let mask = [0x0f, 0x3f, 0x7f][(first >> 6).min(2) as usize];
        let index = integer::read(first, mask, &mut input).unwrap();
        let strings = if first & 0x80 != 0 {
            0
        } else {
            1 + usize::from(index == 0)
        };
        for _ in 0..strings {
            let first = input[0];
            input = &input[1..];
            let length = integer::read(first, 0x7f, &mut input).unwrap();
            input = &input[length..];
        }
    }
    false
}

proptest! {
    #[test]
    fn what_we_encode_is_decoded_by_both(steps in prop::collection::vec(any_step(), 1..12)) {
        let (mut encoder, mut decoder, mut other) =
            (HeaderEncoder::new(), HeaderDecoder::new(), other_decoder());
        for step in steps {
            let fields = match step {
                Step::Block(fields) => fields,
                Step::TableSize(bytes) => {
                    encoder.set_table_size(bytes);
                    continue;
                }
            };
            let block = block(&mut encoder, &fields);
            let (decoded, read) = decode(&mut decoder, &block).unwrap();
            prop_assert_eq!(&decoded, &fields);
            let pairs: Vec<Pair> = fields.iter().map(as_pair).collect();
            let whole = DecodedBlock { size: size(&pairs), ..DecodedBlock::default() };
            prop_assert_eq!(read, whole);
            prop_assert_eq!(other.decode(&block).unwrap(), pairs);
            for (field, sent) in decoded.iter().zip(&fields) {
                if let (Field::Regular(name, value), Field::Regular(_, sent)) = (field, sent) {
                    let is_secret = sent.is_sensitive() || name == http::header::COOKIE;
                    prop_assert_eq!(value.is_sensitive(), is_secret);
                }
            }
        }
    }

    #[test]
    fn what_others_encode_is_decoded(
        blocks in prop::collection::vec(prop::collection::vec(any_field(), 1..12), 1..8),
    ) {
        let (mut encoder, mut decoder) = (loona_hpack::Encoder::new(), HeaderDecoder::new());
        for fields in blocks {
            let pairs: Vec<Pair> = fields.iter().map(as_pair).collect();
            let pairs = pairs.iter().map(|(name, value)| (&name[..], &value[..]));
            let block = encoder.encode(pairs);
            prop_assert_eq!(decode(&mut decoder, &block).unwrap().0, fields);
        }
    }

    #[test]
    fn whatever_comes_is_read_as_by_others(
        blocks in prop::collection::vec(prop::collection::vec(any_part(), 0..12), 1..8),
        mutations in prop::collection::vec((any::<u16>(), any::<u8>()), 0..3),
        mutated in 0..8usize,
        cut in prop::option::weighted(0.2, 0..100usize),
    ) {
        let (mut decoder, mut other) = (HeaderDecoder::new(), other_decoder());
        for (nth, parts) in blocks.iter().enumerate() {
            let mut block = Vec::new();
            parts.iter().for_each(|part| part.write(&mut block));
            if nth == mutated {
                for (at, byte) in &mutations {
                    let length = block.len().max(1);
                    if let Some(to) = block.get_mut(usize::from(*at) % length) {
                        *to ^= byte;
                    }
                }
                block.truncate(cut.unwrap_or(usize::MAX));
            }
            match (decode(&mut decoder, &block), other.decode(&block)) {
                (Ok((fields, read)), Ok(expected)) => {
                    prop_assert_eq!(read.size, size(&expected));
                    prop_assert_eq!(read.is_malformed, !expected.iter().all(is_allowed));
                    let expected: Vec<Pair> = expected.into_iter().filter(is_allowed).collect();
                    prop_assert_eq!(fields.iter().map(as_pair).collect::<Vec<_>>(), expected);
                    continue;
                }
                (Err(CompressionError), Err(_)) => {}
                (Err(CompressionError), Ok(_)) => prop_assert!(has_misplaced_update(&block)),
                (Ok(_), Err(error)) => prop_assert!(matches!(
                    error,
                    DecoderError::SizeUpdateAtEnd
                        | DecoderError::IntegerDecodingError(IntegerDecodingError::TooManyOctets)
                )),
            }
            break;
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(blocks: Vec<Vec<u8>>, most in 0..300usize) {
        let mut decoder = HeaderDecoder::new();
        for block in blocks {
            let mut given = 0;
            let read = decoder.decode(&block, most, |field| given += field.size());
            prop_assert!(given <= most);
            if read.is_err() {
                break;
            }
        }
    }
}
