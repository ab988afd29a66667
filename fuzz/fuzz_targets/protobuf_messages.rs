//! Messages of gRPC as clients write them: the last text of the field is what is found, as protobuf has it
//! (`proto3`, "last one wins"), or the message is refused.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tailback::protocol::peek::{Message, Progress};
use tailback_fuzz::scan;

#[derive(Arbitrary, Debug)]
enum Field {
    Text { number: u8, text: String },
    Bytes { number: u8, bytes: Vec<u8> },
    Number { number: u8, value: u64 },
    Fixed32 { number: u8 },
    Fixed64 { number: u8 },
    Raw(Vec<u8>),
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn tag(number: u8, kind: u64, out: &mut Vec<u8>) {
    varint((u64::from(number % 8) + 1) << 3 | kind, out);
}

fuzz_target!(|input: (u16, u8, i8, Vec<Field>)| {
    let (at, wanted, off, fields) = input;
    let wanted = wanted % 8;
    let mut message = Vec::new();
    for field in &fields {
        match field {
            Field::Text { number, text } => {
                tag(*number, 2, &mut message);
                varint(text.len() as u64, &mut message);
                message.extend_from_slice(text.as_bytes());
            }
            Field::Bytes { number, bytes } => {
                tag(*number, 2, &mut message);
                varint(bytes.len() as u64, &mut message);
                message.extend_from_slice(bytes);
            }
            Field::Number { number, value } => {
                tag(*number, 0, &mut message);
                varint(*value, &mut message);
            }
            Field::Fixed32 { number } => {
                tag(*number, 5, &mut message);
                message.extend_from_slice(&[1; 4]);
            }
            Field::Fixed64 { number } => {
                tag(*number, 1, &mut message);
                message.extend_from_slice(&[1; 8]);
            }
            Field::Raw(bytes) => message.extend_from_slice(bytes),
        }
    }
    // As long as it says, as a rule.
    let length = (message.len() as u32).saturating_add_signed(i32::from(off) / 100);
    let mut framed = vec![0];
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(&message);
    let field = u32::from(wanted) + 1;
    let whole = scan(|| Message::new(field), Message::feed, &framed, at);
    if let Progress::Found(found) = whole {
        let is_it = |one: &Field| match one {
            Field::Text { number, text } => number % 8 == wanted && *text == *found.name,
            Field::Bytes { number, bytes } => {
                number % 8 == wanted && **bytes == *found.name.as_bytes()
            }
            Field::Raw(_) => true,
            _ => false,
        };
        assert!(fields.iter().any(is_it), "{fields:?} {found:?}");
        assert!(framed[found.span].ends_with(found.name.as_bytes()));
    }
});
