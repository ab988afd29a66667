//! Requests in, responses or refusals out: what `infer.rs` makes of bodies.

use serde_json::{Value, json};

use super::*;

/// A good request, and what it is answered with.
fn request() -> Value {
    let input = |name: &str, value: i32| json!({"name": name, "datatype": "INT32", "shape": [1, 16], "data": vec![value; 16]});
    json!({"id": "42", "inputs": [input("INPUT1", 3), input("INPUT0", 10)]})
}

/// Header value and body of a request whose inputs are in binary, 64 bytes each.
fn binary_request(change: impl FnOnce(&mut Value)) -> (String, Vec<u8>) {
    let mut request = request();
    for input in request["inputs"].as_array_mut().into_iter().flatten() {
        input["parameters"] = json!({"binary_data_size": 64});
        input.as_object_mut().map(|input| input.remove("data"));
    }
    change(&mut request);
    let mut body = request.to_string().into_bytes();
    let length = body.len().to_string();
    body.extend(simple::to_bytes(&[3; 16]).chain(simple::to_bytes(&[10; 16])));
    (length, body)
}

fn answer(body: &[u8], json_length: Option<&str>) -> Result<(Value, Vec<u8>), String> {
    let answer = Inference::read(body, json_length.map(str::as_bytes))?
        .answer("tfsimple")
        .map_err(|error| error.to_string())?;
    let (json, binary) = answer
        .body
        .split_at(answer.json_length.unwrap_or(answer.body.len()));
    let json = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    Ok((json, binary.to_vec()))
}

fn refusal(request: &Value) -> String {
    answer(request.to_string().as_bytes(), None)
        .err()
        .unwrap_or_default()
}

#[test]
fn inputs_come_in_any_order_and_the_id_goes_back() {
    let output = |name: &str, value: i32| json!({"name": name, "datatype": "INT32", "shape": [1, 16], "data": vec![value; 16]});
    let expected = json!({
        "model_name": "tfsimple", "model_version": "1", "id": "42",
        "outputs": [output("OUTPUT0", 13), output("OUTPUT1", 7)],
    });
    let answered = answer(request().to_string().as_bytes(), None);
    assert_eq!(answered, Ok((expected, vec![])));
}

#[test]
fn outputs_are_those_asked_for_in_that_order() {
    let names = |asked: Value| {
        let mut request = request();
        request["outputs"] = asked;
        let (json, _) = answer(request.to_string().as_bytes(), None).unwrap_or_default();
        let outputs = json["outputs"].as_array().cloned().unwrap_or_default();
        outputs
            .iter()
            .map(|output| output["name"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(json!([])), ["OUTPUT0", "OUTPUT1"]);
    assert_eq!(names(json!([{"name": "OUTPUT1"}])), ["OUTPUT1"]);
    assert_eq!(
        names(json!([{"name": "OUTPUT1"}, {"name": "OUTPUT0"}])),
        ["OUTPUT1", "OUTPUT0"]
    );
}

#[test]
fn binary_in_gives_json_out_unless_asked_for() {
    let (length, body) = binary_request(|_| {});
    let (json, binary) = answer(&body, Some(&length)).unwrap_or_default();
    assert_eq!(json["outputs"][1]["data"], json!(vec![7; 16]));
    assert!(binary.is_empty());
}

#[test]
fn an_outputs_own_encoding_goes_before_the_requests() {
    let (length, body) = binary_request(|request| {
        request["parameters"] = json!({"binary_data_output": true});
        request["outputs"] = json!([
            {"name": "OUTPUT1"},
            {"name": "OUTPUT0", "parameters": {"binary_data": false}},
        ]);
    });
    let (json, binary) = answer(&body, Some(&length)).unwrap_or_default();
    assert_eq!(
        json["outputs"][0]["parameters"],
        json!({"binary_data_size": 64})
    );
    assert_eq!(json["outputs"][0].get("data"), None);
    assert_eq!(json["outputs"][1]["data"], json!(vec![13; 16]));
    assert_eq!(binary, simple::to_bytes(&[7; 16]).collect::<Vec<u8>>());
}

#[test]
fn refusals_say_what_was_found_and_what_was_expected() {
    let cases: [(&str, Value, &str); 10] = [
        (
            "/inputs/0/name",
            json!("X"),
            "unknown input X, expected INPUT0 or INPUT1",
        ),
        (
            "/inputs/0/name",
            json!("INPUT0"),
            "input INPUT0 is given twice, expected once",
        ),
        (
            "/inputs/0/datatype",
            json!("FP32"),
            "input INPUT1 has datatype FP32, expected INT32",
        ),
        (
            "/inputs/1/shape",
            json!([16]),
            "input INPUT0 has shape [16], expected [1, 16]",
        ),
        (
            "/inputs/1/data",
            json!([1]),
            "input INPUT0 has 1 values, expected 16",
        ),
        (
            "/inputs/1/data/3",
            json!(0.5),
            "input INPUT0 has 0.5 as value 3, expected an int32",
        ),
        (
            "/inputs/0/data",
            json!(null),
            "input INPUT1 has no data, expected data or binary_data_size",
        ),
        (
            "/inputs",
            json!([request()["inputs"][0]]),
            "input INPUT0 is missing, expected INPUT0 and INPUT1",
        ),
        (
            "/inputs",
            json!([]),
            "input INPUT0 is missing, expected INPUT0 and INPUT1",
        ),
        (
            "/id",
            json!(7),
            "the body is not an inference request: invalid type: integer `7`, expected a string",
        ),
    ];
    for (field, value, expected) in cases {
        let mut request = request();
        if let Some(place) = request.pointer_mut(field) {
            *place = value;
        }
        let found = refusal(&request);
        assert!(found.starts_with(expected), "{field}: {found}");
    }
}

#[test]
fn outputs_that_cannot_be_answered_are_refused() {
    let cases = [
        (
            json!([{"name": "Y"}]),
            "unknown output Y, expected OUTPUT0 or OUTPUT1",
        ),
        (
            json!([{"name": "OUTPUT0"}, {"name": "OUTPUT0"}]),
            "output OUTPUT0 is asked for twice, expected once",
        ),
        (
            json!([{"name": "OUTPUT0", "parameters": {"classification": 1}}]),
            "output OUTPUT0 asks for classification, which is not supported",
        ),
        (
            json!([{"name": "OUTPUT0", "parameters": {"shared_memory_region": "r"}}]),
            "output OUTPUT0 is in shared memory, which is not supported",
        ),
    ];
    for (asked, expected) in cases {
        let mut request = request();
        request["outputs"] = asked;
        assert_eq!(refusal(&request), expected);
    }
}

#[test]
fn what_is_not_json_is_refused_with_the_place() {
    let refused = |body: &[u8]| answer(body, None).err();
    let empty = "the body is not JSON: EOF while parsing a value at line 1 column 0";
    assert_eq!(refused(b"").as_deref(), Some(empty));
    let text = "the body is not JSON: expected value at line 1 column 1";
    assert_eq!(refused(b"hello").as_deref(), Some(text));
}

#[test]
fn binary_parts_that_do_not_fit_are_refused() {
    let (length, body) = binary_request(|_| {});
    let header = "header inference-header-content-length is";
    for wrong in ["x", "-1", "999999"] {
        let refused = answer(&body, Some(wrong)).err().unwrap_or_default();
        assert!(
            refused.starts_with(&format!("{header} {wrong}, expected")),
            "{refused}"
        );
    }
    let json = &body[..body.len() - 128];
    let no_header = "input INPUT1 has binary_data_size, \
                     expected header inference-header-content-length with it";
    assert_eq!(answer(json, None).err().as_deref(), Some(no_header));
    let short = "input INPUT0 has binary_data_size 64, but 63 bytes are left";
    let found = answer(&body[..body.len() - 1], Some(&length)).err();
    assert_eq!(found.as_deref(), Some(short));
    let long = [&body[..], &[0]].concat();
    let rest = "1 bytes of binary data follow those of the inputs";
    assert_eq!(answer(&long, Some(&length)).err().as_deref(), Some(rest));
    let (length, body) = binary_request(|request| {
        request["inputs"][0]["parameters"]["binary_data_size"] = json!(60);
    });
    let sized = "input INPUT1 has 60 bytes of binary data, expected 64";
    assert_eq!(answer(&body, Some(&length)).err().as_deref(), Some(sized));
}
