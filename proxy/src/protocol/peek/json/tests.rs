use super::*;
use proptest::prelude::*;

fn whole(text: &str) -> Progress {
    Json::default().feed(text.as_bytes())
}

fn name(progress: Progress) -> Option<String> {
    match progress {
        Progress::Found(found) => Some(found.name),
        _ => None,
    }
}

#[test]
fn finds_the_model_among_other_members() {
    for (text, expected) in [
        (r#"{"model":"m"}"#, Some("m")),
        (r#" { "a" : 1 , "model" : "gpt-4" , "b":2}"#, Some("gpt-4")),
        (
            r#"{"messages":[{"model":"no","x":"}]\"{"}],"model":"yes"}"#,
            Some("yes"),
        ),
        (r#"{"a":"\\","model":"m"}"#, Some("m")),
        (r#"{"a":"\"model\":\"no\"","model":"m"}"#, Some("m")),
        (
            r#"{"a":{"b":{"c":[[]]}},"d":null,"e":-1.5e3,"f":true ,"model":"m"}"#,
            Some("m"),
        ),
        (r#"{"mode\u006c":"\u006D\n"}"#, Some("m\n")),
        (r#"{"model":"a","model":"b"}"#, Some("a")),
        (r#"{"model":"é"}"#, Some("é")),
        (r#"{"models":"x","model":""}"#, Some("")),
    ] {
        assert_eq!(name(whole(text)).as_deref(), expected, "{text}");
    }
}

/// The result of scanning the text after the model.
fn after(text: &str) -> Progress {
    let mut scanner = Json::default();
    let Progress::Found(found) = scanner.feed(text.as_bytes()) else {
        panic!("no model in {text}")
    };
    // Byte by byte: the result must not depend on how the text is cut.
    let mut rest = text.as_bytes()[found.span.end..].chunks(1);
    rest.find_map(|byte| match scanner.feed(byte) {
        Progress::More => None,
        end => Some(end),
    })
    .unwrap_or(Progress::More)
}

#[test]
fn a_second_model_is_found_in_any_spelling() {
    for twice in [
        r#"{"model":"a","model":"a"}"#,
        r#"{"model":"a","b":[{"c":"}"}, 1],"model":1}"#,
        r#"{"model":"a", "\u006dodel" : "b"}"#,
        r#"{"model":"a","MODEL":"b"}"#,
    ] {
        assert_eq!(after(twice), Progress::Not(Fault::Twice), "{twice}");
    }
    for once in [
        r#"{"model":"a"}"#,
        r#"{"model":"a","b":{"model":"c"},"d":"model","e":NaN}"#,
        "{\"model\":\"a\",\"b\":-0.5e+7 , \"c\":-Infinity\r\n}\r\n \t",
    ] {
        assert_eq!(after(once), Progress::More, "{once}");
    }
    for text in [
        r#"{"Model":"b","model":"a"}"#,
        r#"{"MODE\u006c":1,"model":"a"}"#,
    ] {
        assert_eq!(whole(text), Progress::Not(Fault::Twice), "{text}");
    }
}

#[test]
fn what_is_no_json_around_the_model_is_refused() {
    for rest in [
        ",'model':\"b\"}",
        ",}",
        ",\"b\":1,}",
        ",,\"b\":1}",
        ",model:\"b\"}",
        ",/*\"*/\"b\":1}",
        ",\"b\":01}",
        ",\"b\":1.}",
        ",\"b\":.5}",
        ",\"b\":+1}",
        ",\"b\":0x1}",
        ",\"b\":1e}",
        ",\"b\":1/*,\"model\":\"n\"*/}",
        ",\"b\":True}",
        ",\"b\":-null}",
        ",\"b\":undefined}",
        "} x",
        "}{\"model\":\"b\"}",
        "}}",
        "}\0",
    ] {
        let text = format!("{{\"model\":\"a\"{rest}");
        assert_eq!(after(&text), Progress::Not(Fault::NotJson), "{text}");
    }
}

#[test]
fn other_encodings_than_utf8_are_named() {
    let text = r#"{"model":"m"}"#;
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let little: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big: Vec<u8> = utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect();
    let four: Vec<u8> = text
        .chars()
        .flat_map(|c| u32::from(c).to_le_bytes())
        .collect();
    for bytes in [
        &[b"\xef\xbb\xbf", text.as_bytes()].concat(),
        &[b"\xff\xfe", &little[..]].concat(),
        &[b"\xfe\xff", &big[..]].concat(),
        &little,
        &big,
        &four,
    ] {
        let read = Json::default().feed(bytes);
        assert_eq!(read, Progress::Not(Fault::NotUtf8), "{bytes:?}");
    }
}

#[test]
fn a_missing_model_is_reported_with_its_reason() {
    for (text, fault) in [
        ("[]", Fault::NotJson),
        ("hello", Fault::NotJson),
        (r#"{"a" 1}"#, Fault::NotJson),
        (r#"{a:1}"#, Fault::NotJson),
        (r#"{"a":}"#, Fault::NotJson),
        (r#"{"model":"\x"}"#, Fault::NotJson),
        ("{}", Fault::Absent),
        (r#"{"a":1}"#, Fault::Absent),
        (r#"{"a":{"model":"m"}}"#, Fault::Absent),
        (r#"{"model":1}"#, Fault::NotText),
        (r#"{"model":null}"#, Fault::NotText),
    ] {
        assert_eq!(whole(text), Progress::Not(fault), "{text}");
    }
    let long = format!(r#"{{"model":"{}"}}"#, "x".repeat(LONGEST_NAME + 1));
    assert_eq!(whole(&long), Progress::Not(Fault::TooLong));
    let key = format!(r#"{{"{}":1,"model":"m"}}"#, "x".repeat(100_000));
    assert_eq!(name(whole(&key)).as_deref(), Some("m"));
    assert_eq!(whole(r#"{"a":"#), Progress::More);
    assert_eq!(whole(""), Progress::More);
}

proptest! {
    /// The same name is found at the same place, however the body is cut.
    #[test]
    fn the_result_does_not_depend_on_cuts(
        members in proptest::collection::btree_map("[a-z\"\\\\é]{0,8}", ".{0,12}", 0..6),
        model in ".{0,12}",
        cuts in proptest::collection::vec(0usize..200, 0..8),
    ) {
        let mut object: serde_json::Map<String, serde_json::Value> =
            members.into_iter().map(|(k, v)| (k, serde_json::json!([v, {"model": "no"}]))).collect();
        object.insert("model".into(), model.clone().into());
        let text = serde_json::to_string(&object).unwrap();
        let bytes = text.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut scanner = Json::default();
        let mut end = Progress::More;
        for pair in cuts.windows(2) {
            if end == Progress::More {
                end = scanner.feed(&bytes[pair[0]..pair[1]]);
            }
        }
        let Progress::Found(found) = end else { panic!("{text}: {end:?}") };
        prop_assert_eq!(&found.name, &model);
        let again: String = serde_json::from_slice(&bytes[found.span]).unwrap();
        prop_assert_eq!(again, model);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = Json::default().feed(&bytes);
    }
}
