//! An inference, from the bytes of the request to the bytes of the response.
//!
//! JSON alone, or JSON followed by tensors in binary (the protocol's binary tensor data
//! extension, which Triton's own client uses unless told otherwise). Pure: the server only waits
//! in between.

use crate::protocol::{
    InferRequest, InferResponse, InputTensor, JSON_LENGTH_HEADER, OutputTensor, Parameters,
    RequestedOutput, Values,
};
use crate::simple::{self, Tensor, shorten};

/// A request that has passed every check.
#[derive(Debug)]
pub struct Inference {
    id: Option<String>,
    inputs: [Tensor; 2],
    outputs: Vec<Wanted>,
}

/// A requested output: which of the model's two, and in which form.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    index: usize,
    encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Encoding {
    Json,
    Binary,
}

/// A response body.
#[derive(Debug)]
pub struct Answer {
    pub body: Vec<u8>,
    /// How much of the body is JSON, if tensors in binary follow it.
    pub json_length: Option<usize>,
}

impl Inference {
    /// Reads a request body; `json_length` is the header of the binary extension, if it was sent.
    pub fn read(body: &[u8], json_length: Option<&[u8]>) -> Result<Self, String> {
        let (json, binary) = match json_length {
            Some(length) => split(body, length)?,
            None => (body, None),
        };
        let request: InferRequest = serde_json::from_slice(json).map_err(|error| {
            let what = if error.is_data() {
                "an inference request"
            } else {
                "JSON"
            };
            format!("the body is not {what}: {error}")
        })?;
        Ok(Inference {
            inputs: inputs(&request.inputs, binary)?,
            outputs: outputs(&request.outputs, &request.parameters)?,
            id: request.id,
        })
    }

    /// Computes the outputs and writes the response.
    pub fn answer(&self, model: &str) -> serde_json::Result<Answer> {
        let results = simple::run(&self.inputs);
        let outputs = self.outputs.iter().map(|wanted| OutputTensor {
            name: simple::OUTPUTS[wanted.index],
            datatype: simple::DATATYPE,
            shape: simple::SHAPE,
            values: match wanted.encoding {
                Encoding::Json => Values::Data(&results[wanted.index]),
                Encoding::Binary => Values::Parameters {
                    binary_data_size: simple::BYTES,
                },
            },
        });
        let mut body = serde_json::to_vec(&InferResponse {
            model_name: model,
            model_version: simple::VERSION,
            id: self.id.as_deref(),
            outputs: outputs.collect(),
        })?;
        let length = body.len();
        for wanted in self
            .outputs
            .iter()
            .filter(|wanted| wanted.encoding == Encoding::Binary)
        {
            body.extend(simple::to_bytes(&results[wanted.index]));
        }
        let json_length = (body.len() > length).then_some(length);
        Ok(Answer { body, json_length })
    }
}

/// The JSON and the binary part of a body.
fn split<'a>(body: &'a [u8], length: &[u8]) -> Result<(&'a [u8], Option<&'a [u8]>), String> {
    let length = String::from_utf8_lossy(length);
    let parts = length
        .parse()
        .ok()
        .and_then(|length: usize| body.split_at_checked(length));
    match parts {
        Some((json, binary)) => Ok((json, Some(binary))),
        None => Err(format!(
            "header {JSON_LENGTH_HEADER} is {}, expected the bytes of JSON in a body of {}",
            shorten(&length),
            body.len(),
        )),
    }
}

/// Both inputs in the model's order. The binary part must be used up: a rest means that client
/// and server disagree on where the tensors lie.
fn inputs(given: &[InputTensor], mut binary: Option<&[u8]>) -> Result<[Tensor; 2], String> {
    let mut tensors = [None; 2];
    for input in given {
        let name = shorten(&input.name);
        let index = simple::INPUTS
            .iter()
            .position(|known| *known == input.name)
            .ok_or_else(|| {
                format!(
                    "unknown input {name}, expected {}",
                    simple::INPUTS.join(" or ")
                )
            })?;
        let tensor = tensor(input, &mut binary).map_err(|error| format!("input {name} {error}"))?;
        if tensors[index].replace(tensor).is_some() {
            return Err(format!("input {name} is given twice, expected once"));
        }
    }
    match (tensors, binary) {
        (_, Some(rest)) if !rest.is_empty() => Err(format!(
            "{} bytes of binary data follow those of the inputs",
            rest.len()
        )),
        ([Some(first), Some(second)], _) => Ok([first, second]),
        ([first, _], _) => {
            let missing = simple::INPUTS[usize::from(first.is_some())];
            Err(format!(
                "input {missing} is missing, expected {}",
                simple::INPUTS.join(" and ")
            ))
        }
    }
}

/// One input, taking its share from the front of the binary part.
fn tensor(input: &InputTensor, binary: &mut Option<&[u8]>) -> Result<Tensor, String> {
    simple::check(&input.datatype, &input.shape)?;
    supported(&input.parameters)?;
    match (&input.data, input.parameters.binary_data_size) {
        (Some(data), None) => simple::from_json(data),
        (Some(_), Some(_)) => Err("has both data and binary_data_size, expected one".to_owned()),
        (None, None) => Err("has no data, expected data or binary_data_size".to_owned()),
        (None, Some(size)) => {
            let all = binary.ok_or_else(|| {
                format!("has binary_data_size, expected header {JSON_LENGTH_HEADER} with it")
            })?;
            let (own, rest) = all.split_at_checked(size).ok_or_else(|| {
                format!(
                    "has binary_data_size {size}, but {} bytes are left",
                    all.len()
                )
            })?;
            *binary = Some(rest);
            simple::from_bytes(own)
        }
    }
}

/// The requested outputs. An output's own parameters win over the request's.
fn outputs(asked: &[RequestedOutput], request: &Parameters) -> Result<Vec<Wanted>, String> {
    let encoding = |own: Option<bool>| match own.or(request.binary_data_output) {
        Some(true) => Encoding::Binary,
        Some(false) | None => Encoding::Json,
    };
    if asked.is_empty() {
        let wanted = |index| Wanted {
            index,
            encoding: encoding(None),
        };
        return Ok((0..simple::OUTPUTS.len()).map(wanted).collect());
    }
    let mut wanted: Vec<Wanted> = Vec::with_capacity(simple::OUTPUTS.len());
    for output in asked {
        let name = shorten(&output.name);
        let index = simple::OUTPUTS
            .iter()
            .position(|known| *known == output.name)
            .ok_or_else(|| {
                format!(
                    "unknown output {name}, expected {}",
                    simple::OUTPUTS.join(" or ")
                )
            })?;
        supported(&output.parameters).map_err(|error| format!("output {name} {error}"))?;
        if wanted.iter().any(|earlier| earlier.index == index) {
            return Err(format!("output {name} is asked for twice, expected once"));
        }
        wanted.push(Wanted {
            index,
            encoding: encoding(output.parameters.binary_data),
        });
    }
    Ok(wanted)
}

/// Refuses extensions that change what a request means: an answer without them would be wrong.
fn supported(parameters: &Parameters) -> Result<(), String> {
    if parameters.classification.is_some() {
        Err("asks for classification, which is not supported".to_owned())
    } else if parameters.shared_memory_region.is_some() {
        Err("is in shared memory, which is not supported".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[path = "infer_tests.rs"]
mod tests;
