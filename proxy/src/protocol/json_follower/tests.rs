use super::*;
use proptest::prelude::*;

const PATHS: &[(Path, ())] = &[
    (&["id"], ()),
    (&["response", "id"], ()),
    (&["response", "usage", "kind"], ()),
];

/// The strings at the paths, as written in the body.
fn found(form: Form, body: &[u8], cut: usize) -> Vec<String> {
    let mut follower = Follower::new(form, PATHS);
    let (mut all, mut text) = (Vec::new(), Vec::new());
    for piece in body.chunks(cut.max(1)) {
        let mut at = 0;
        loop {
            let (from, was_inside) = (at, follower.is_inside());
            let edge = follower.next(piece, &mut at);
            if was_inside {
                text.extend_from_slice(&piece[from..at - usize::from(edge.is_some())]);
            }
            match edge {
                Some(Edge::Closes(())) => {
                    let text = std::mem::take(&mut text);
                    all.push(String::from_utf8_lossy(&text).into_owned());
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    all
}

#[test]
fn strings_at_the_paths_are_found_however_the_body_is_cut() {
    for (form, body, expected) in [
        (
            Form::Object,
            r#"{"a":{"id":"no"},"id":"1","response":{"x":[{"id":"no"}],"usage":{"kind":"k","id":"no"},"id":"2"},"kind":"no"}"#,
            &["1", "k", "2"][..],
        ),
        (
            Form::Object,
            r#"{"response":{"id":7,"usage":null},"id":{"id":"no"}, "usage":{"kind":"no"}, "id" : "a\"b"}"#,
            &[r#"a\"b"#],
        ),
        (
            Form::Events,
            "data: {\"response\":{\"id\":\"1\"\ndata:{\"id\":\"2\"}\n: {\"id\":\"no\"}\n\ndata: [DONE]\n",
            &["1", "2"],
        ),
        (Form::Lines, "{\"id\":\"1\"}\n[{\"id\":\"no\"}]\n", &["1"]),
        (Form::Object, r#"{"response":{"usage":{"kind"#, &[]),
        (Form::Object, r#"{"i\u0064":"no","idd":"no","":"no"}"#, &[]),
    ] {
        for cut in 1..=body.len() {
            assert_eq!(found(form, body.as_bytes(), cut), expected, "{cut}: {body}");
        }
    }
}

#[test]
fn the_form_follows_from_the_header() {
    let form = |fields: &[(&'static str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().unwrap());
        }
        Form::of(&headers)
    };
    let json = ("content-type", "application/json; charset=utf-8");
    assert_eq!(form(&[json]), Some(Form::Object));
    assert_eq!(form(&[json, ("content-encoding", "gzip")]), None);
    assert_eq!(
        form(&[("content-type", "Text/Event-Stream")]),
        Some(Form::Events)
    );
    assert_eq!(form(&[("content-type", "audio/wav")]), None);
    assert_eq!(form(&[]), None);
}

proptest! {
    #[test]
    fn what_is_found_does_not_depend_on_cuts(
        body in r#"([{}\[\]":,\\ \n]|"id"|"response"|"usage"|"kind"|data:|x|1){0,60}"#,
        cut in 1_usize..20,
    ) {
        for form in [Form::Object, Form::Lines, Form::Events] {
            let whole = found(form, body.as_bytes(), 1000);
            prop_assert_eq!(found(form, body.as_bytes(), cut), whole);
        }
    }

    #[test]
    fn of_well_formed_json_exactly_the_paths_are_found(
        id in any::<String>(), inner in any::<String>(), kind in any::<String>(), other in any::<String>(),
    ) {
        let body = serde_json::json!({
            "z": [other.clone(), {"id": other.clone()}],
            "response": {"a": other, "id": inner, "usage": {"kind": kind}},
            "id": id,
        });
        let text = |value: &serde_json::Value| {
            let text = value.to_string();
            text[1..text.len() - 1].to_owned()
        };
        let mut expected = [&body["id"], &body["response"]["id"], &body["response"]["usage"]["kind"]].map(text);
        let mut found = found(Form::Object, body.to_string().as_bytes(), 7);
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }
}

const VALUES: &[(Path, char)] = &[
    (&["n"], 'n'),
    (&["list", EACH, "n"], 'l'),
    (&["list", EACH, "calls"], 'c'),
    (&["flat", EACH], 'f'),
    (&["deep", "deeper", "deepest", "n"], 'd'),
];

/// Everything that is found, except where strings open.
fn edges(form: Form, body: &[u8], cut: usize) -> Vec<Edge<char>> {
    let mut follower = Follower::new(form, VALUES);
    let mut all = Vec::new();
    for piece in body.chunks(cut.max(1)) {
        let mut at = 0;
        while let Some(edge) = follower.next(piece, &mut at) {
            all.push(edge);
        }
    }
    all
}

#[test]
fn numbers_brackets_and_what_is_in_arrays_are_found_however_the_body_is_cut() {
    use Edge::{Closes, End, Nested, Number, Opens};
    for (form, body, expected) in [
        (
            Form::Object,
            r#"{"n":12,"x":{"n":1},"list":[{"n":3},{"o":[{"n":1}],"n" : 4 ,"calls":[{"n":1}]},5,[{"n":1}]],"n":0}"#,
            &[
                Number('n', 12),
                Number('l', 3),
                Number('l', 4),
                Nested('c'),
                Number('n', 0),
                End,
            ][..],
        ),
        (
            Form::Object,
            r#"{"n":1.5,"n":-1,"n":1e3,"n":true,"n":null,"n":99999999999999999999}"#,
            &[Number('n', u64::MAX), End],
        ),
        (
            Form::Object,
            r#"{"flat":["a",1,{"b":2},[],null,"c"],"list":[],"list":{"[]":{"n":1}},"n":[1]}"#,
            &[
                Opens('f'),
                Closes('f'),
                Number('f', 1),
                Nested('f'),
                Nested('f'),
                Opens('f'),
                Closes('f'),
                Nested('n'),
                End,
            ],
        ),
        (
            Form::Events,
            "event: x\ndata: {\"n\":1}\n\ndata: {\"n\":2\ndata: {\"n\":3}\n\n: {\"n\":4}\ndata: [DONE]\n\n",
            &[Number('n', 1), End, Number('n', 2), Number('n', 3), End],
        ),
        (
            Form::Lines,
            "{\"deep\":{\"deeper\":{\"deepest\":{\"n\":7}}},\"n\":8}\n{\"n\":9}",
            &[Number('d', 7), Number('n', 8), End, Number('n', 9), End],
        ),
    ] {
        for cut in 1..=body.len() {
            assert_eq!(edges(form, body.as_bytes(), cut), expected, "{cut}: {body}");
        }
    }
}

proptest! {
    #[test]
    fn in_any_bytes_the_same_is_found_however_they_are_cut(
        body in r#"([{}\[\]":,\\ \n]|"n"|"list"|"flat"|"calls"|data:|[0-9.e-]){0,60}"#,
        cut in 1_usize..20,
    ) {
        for form in [Form::Object, Form::Lines, Form::Events] {
            prop_assert_eq!(edges(form, body.as_bytes(), cut), edges(form, body.as_bytes(), 1000));
        }
    }
}
