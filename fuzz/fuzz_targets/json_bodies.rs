//! JSON as bodies have it, in any form: where serde_json finds one model in it, the scanner finds the same.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tailback::protocol::peek::{Json, Progress};
use tailback_fuzz::scan;

#[derive(Arbitrary, Debug)]
enum Value {
    Null,
    Number(i32),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(Key, Value)>),
    Known(u8),
}

#[derive(Arbitrary, Debug)]
enum Key {
    Model,
    Escaped,
    Other(String),
}

const ODD: [&str; 12] = [
    "01",
    "1e999",
    "-",
    "tru",
    "'x'",
    "NaN",
    "\"\\ud800\"",
    "\"\\x\"",
    "/* */ 1",
    "\"\u{1}\"",
    ",",
    "{\"model\"",
];

fn write(value: &Value, depth: usize, space: &str, out: &mut String) {
    match value {
        _ if depth > 40 => out.push('1'),
        Value::Null => out.push_str("null"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::Text(text) => out.push_str(&serde_json::to_string(text).unwrap()),
        Value::Known(number) => out.push_str(ODD[usize::from(*number) % ODD.len()]),
        Value::List(all) => {
            out.push('[');
            for (i, one) in all.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { space });
                write(one, depth + 1, space, out);
            }
            out.push(']');
        }
        Value::Object(all) => {
            out.push('{');
            for (i, (key, value)) in all.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { space });
                match key {
                    Key::Model => out.push_str("\"model\""),
                    Key::Escaped => out.push_str("\"mod\\u0065l\""),
                    Key::Other(text) => out.push_str(&serde_json::to_string(text).unwrap()),
                }
                out.push_str(space);
                out.push(':');
                write(value, depth + 1, space, out);
            }
            out.push('}');
        }
    }
}

fuzz_target!(|input: (u16, u8, Vec<(Key, Value)>)| {
    let (at, space, members) = input;
    let space = ["", " ", "\n\t"][usize::from(space) % 3];
    let mut text = String::new();
    write(&Value::Object(members), 0, space, &mut text);
    let whole = scan(Json::default, Json::feed, text.as_bytes(), at);
    if let (Progress::Found(found), Ok(serde_json::Value::Object(read))) =
        (&whole, serde_json::from_str(&text))
    {
        // serde_json keeps the last of several, and the scanner refuses them or keeps the first.
        let times = text.matches("model\"").count() + text.matches("mod\\u0065l\"").count();
        if times == 1 {
            assert_eq!(read["model"], *found.name, "{text}");
        }
    }
});
