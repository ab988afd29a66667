//! Any answer of a replica, in any pieces, is read without a panic: the same id is found in it, and
//! what goes on to the caller is the same. If serde_json finds an object with a text `id`, so does
//! the reader.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tailback::protocol::{answer_model::AnswerModel, json_follower::Form, response_id::ResponseId};
use tailback_fuzz::cut;

fn read(form: Form, pieces: &[&[u8]]) -> (Option<String>, Vec<u8>) {
    let mut id = ResponseId::in_answer(form);
    let mut model = AnswerModel::new(form, "m");
    let (mut found, mut out) = (None, Vec::new());
    for piece in pieces {
        if let Some(id) = id.feed(piece) {
            assert_eq!(found.replace(id), None, "found twice");
        }
        out.extend_from_slice(&model.feed(Bytes::copy_from_slice(piece)));
    }
    (found, out)
}

fuzz_target!(|input: (u8, u16, &[u8])| {
    let (form, at, bytes) = input;
    let form = [Form::Object, Form::Lines, Form::Events][usize::from(form) % 3];
    let [a, b] = cut(bytes, at);
    let (found, out) = read(form, &[bytes]);
    assert_eq!(
        (&found, &out),
        (&read(form, &[a, b]).0, &read(form, &[a, b]).1)
    );
    let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    if form != Form::Object || bytes.len() > 1024 {
        return;
    }
    // The key may be written with escapes, which servers do not do, or be there twice.
    let plain =
        bytes.windows(4).filter(|at| at == b"\"id\"").count() == 1 && !bytes.contains(&b'\\');
    if let (true, Some(Value::String(id))) = (plain, object.get("id"))
        && (1..=256).contains(&id.len())
    {
        assert_eq!(found.as_ref(), Some(id));
    }
    let changed: Value = serde_json::from_slice(&out).expect("it is still JSON");
    if let (true, Some(Value::String(_))) = (plain, object.get("model")) {
        let times = bytes.windows(7).filter(|at| at == b"\"model\"").count();
        assert!(times > 1 || changed["model"] == "m");
    }
});
