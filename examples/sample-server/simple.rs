//! The model: two INT32 tensors of shape 1×16 in, their sum and their difference out.
//!
//! Pure: checks and arithmetic. The names and shapes are those of the `simple` model in Triton's
//! examples, so that clients written for it work here too.

use serde_json::Value;

/// The version this server has, and the only one.
pub const VERSION: &str = "1";
pub const DATATYPE: &str = "INT32";
pub const SHAPE: [usize; 2] = [1, ELEMENTS];
pub const INPUTS: [&str; 2] = ["INPUT0", "INPUT1"];
/// The sum, then the difference: the order of what [`run`] returns.
pub const OUTPUTS: [&str; 2] = ["OUTPUT0", "OUTPUT1"];

pub const ELEMENTS: usize = 16;
/// Bytes of a tensor in the binary extension: little-endian, row by row.
pub const BYTES: usize = ELEMENTS * size_of::<i32>();

/// The values of one tensor.
pub type Tensor = [i32; ELEMENTS];

/// Sum and difference. Both wrap around, as they do in the original.
pub fn run([a, b]: &[Tensor; 2]) -> [Tensor; 2] {
    [
        std::array::from_fn(|i| a[i].wrapping_add(b[i])),
        std::array::from_fn(|i| a[i].wrapping_sub(b[i])),
    ]
}

/// Checks what a request says of an input. The error reads on from the input's name.
pub fn check(datatype: &str, shape: &[i64]) -> Result<(), String> {
    if datatype != DATATYPE {
        return Err(format!(
            "has datatype {}, expected {DATATYPE}",
            shorten(datatype)
        ));
    }
    if shape != SHAPE.map(|size| size as i64) {
        return Err(format!(
            "has shape {}, expected {SHAPE:?}",
            shorten(&format!("{shape:?}"))
        ));
    }
    Ok(())
}

/// Reads values given as JSON, flat or as one row of a nested array.
pub fn from_json(data: &Value) -> Result<Tensor, String> {
    let Value::Array(rows) = data else {
        return Err(format!(
            "has data {}, expected an array",
            shorten(&data.to_string())
        ));
    };
    let values = match rows.as_slice() {
        [Value::Array(row)] => row,
        _ => rows,
    };
    let mut tensor = [0; ELEMENTS];
    for (index, value) in values.iter().enumerate() {
        let int32 = value.as_i64().and_then(|wide| i32::try_from(wide).ok());
        let Some(int32) = int32 else {
            let found = shorten(&value.to_string());
            return Err(format!("has {found} as value {index}, expected an int32"));
        };
        // What is too much is counted below.
        if let Some(place) = tensor.get_mut(index) {
            *place = int32;
        }
    }
    match values.len() {
        ELEMENTS => Ok(tensor),
        found => Err(format!("has {found} values, expected {ELEMENTS}")),
    }
}

/// Reads values given in binary.
pub fn from_bytes(bytes: &[u8]) -> Result<Tensor, String> {
    if bytes.len() != BYTES {
        return Err(format!(
            "has {} bytes of binary data, expected {BYTES}",
            bytes.len()
        ));
    }
    let mut tensor = [0; ELEMENTS];
    let (values, _) = bytes.as_chunks();
    for (place, value) in tensor.iter_mut().zip(values) {
        *place = i32::from_le_bytes(*value);
    }
    Ok(tensor)
}

/// Writes values in binary.
pub fn to_bytes(tensor: &Tensor) -> impl Iterator<Item = u8> {
    tensor.iter().flat_map(|value| value.to_le_bytes())
}

/// Keeps what a client sent from swelling an error message.
pub fn shorten(found: &str) -> String {
    const LONGEST: usize = 40;
    match found.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &found[..end]),
        None => found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sixteen(first: impl Into<Value>) -> Vec<Value> {
        let mut values = vec![json!(1); ELEMENTS];
        values[0] = first.into();
        values
    }

    #[test]
    fn outputs_are_sum_and_difference() {
        let counting: Tensor = std::array::from_fn(|i| i as i32);
        let [sum, difference] = run(&[counting, [1; ELEMENTS]]);
        assert_eq!(sum, std::array::from_fn(|i| i as i32 + 1));
        assert_eq!(difference, std::array::from_fn(|i| i as i32 - 1));
    }

    #[test]
    fn arithmetic_wraps_around() {
        let [sum, _] = run(&[[i32::MAX; ELEMENTS], [1; ELEMENTS]]);
        assert_eq!(sum, [i32::MIN; ELEMENTS]);
        let [_, difference] = run(&[[i32::MIN; ELEMENTS], [1; ELEMENTS]]);
        assert_eq!(difference, [i32::MAX; ELEMENTS]);
    }

    #[test]
    fn flat_and_nested_data_are_the_same() {
        let flat = from_json(&json!(sixteen(i32::MIN)));
        assert_eq!(flat, from_json(&json!([sixteen(i32::MIN)])));
        assert_eq!(
            flat.map(|tensor| tensor[..2].to_vec()),
            Ok(vec![i32::MIN, 1])
        );
    }

    #[test]
    fn json_that_is_no_tensor_is_refused_with_what_was_found() {
        let int32 = |found: &str| format!("has {found} as value 0, expected an int32");
        let cases = [
            (json!(sixteen(1.5)), int32("1.5")),
            (json!(sixteen("7")), int32("\"7\"")),
            (json!(sixteen(2_147_483_648_i64)), int32("2147483648")),
            (json!(sixteen(Value::Null)), int32("null")),
            (json!([[1, 2], [3, 4]]), int32("[1,2]")),
            (json!([1, 2, 3]), "has 3 values, expected 16".to_owned()),
            (json!([]), "has 0 values, expected 16".to_owned()),
            (json!(vec![1; 17]), "has 17 values, expected 16".to_owned()),
            (json!("x"), "has data \"x\", expected an array".to_owned()),
        ];
        for (data, expected) in cases {
            assert_eq!(from_json(&data), Err(expected), "{data}");
        }
    }

    #[test]
    fn binary_data_goes_there_and_back() {
        let tensor: Tensor = std::array::from_fn(|i| (i as i32 - 8) * 100_000_007);
        let bytes: Vec<u8> = to_bytes(&tensor).collect();
        assert_eq!(from_bytes(&bytes), Ok(tensor));
        let short = "has 63 bytes of binary data, expected 64".to_owned();
        assert_eq!(from_bytes(&bytes[1..]), Err(short));
    }

    #[test]
    fn datatype_and_shape_must_be_the_models() {
        assert_eq!(check("INT32", &[1, 16]), Ok(()));
        let datatype = "has datatype FP32, expected INT32".to_owned();
        assert_eq!(check("FP32", &[1, 16]), Err(datatype));
        for shape in [&[16][..], &[16, 1], &[1, 8], &[-1, 16], &[]] {
            let expected = format!("has shape {shape:?}, expected [1, 16]");
            assert_eq!(check("INT32", shape), Err(expected));
        }
    }

    #[test]
    fn long_findings_are_cut_between_characters() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"é".repeat(100)), "é".repeat(40) + "…");
    }
}
