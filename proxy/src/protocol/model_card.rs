//! What a replica reports about a model in its `/v1/models`. The proxy passes it on in its own.

use serde::Deserialize;

/// What OpenAI's clients may want to know about a model, as far as a replica reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelCard {
    /// The owner: with vLLM, `vllm`.
    pub owned_by: Option<String>,
    /// The longest context, in tokens: vLLM's and SGLang's extension.
    pub max_model_len: Option<u64>,
}

/// The longest accepted `owned_by`, in bytes.
const LONGEST: usize = 256;

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    id: String,
    owned_by: Option<String>,
    max_model_len: Option<u64>,
}

impl ModelCard {
    /// The card in a replica's answer to `GET /v1/models`: from the entry with one of these
    /// `names`, or from the only entry; `None` if there is none.
    #[must_use]
    pub fn of(answer: &[u8], names: &[&str]) -> Option<Self> {
        let List { mut data } = serde_json::from_slice(answer).ok()?;
        let named = data.iter().position(|entry| names.contains(&&*entry.id));
        let at = named.or((data.len() == 1).then_some(0))?;
        let entry = data.swap_remove(at);
        Some(Self {
            owned_by: entry.owned_by.filter(|owner| owner.len() <= LONGEST),
            max_model_len: entry.max_model_len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(owned_by: &str, max_model_len: impl Into<Option<u64>>) -> Option<ModelCard> {
        Some(ModelCard {
            owned_by: Some(owned_by.into()),
            max_model_len: max_model_len.into(),
        })
    }

    #[test]
    fn the_entry_of_the_model_counts_or_the_only_one() {
        let vllm = br#"{"object":"list","data":[
            {"id":"base","object":"model","created":1,"owned_by":"vllm","root":"/x","max_model_len":4096},
            {"id":"lora","object":"model","created":1,"owned_by":"me","parent":"base","max_model_len":null}]}"#;
        assert_eq!(ModelCard::of(vllm, &["m", "base"]), card("vllm", 4096));
        assert_eq!(ModelCard::of(vllm, &["lora"]), card("me", None));
        assert_eq!(ModelCard::of(vllm, &["other"]), None);
        let one = br#"{"data":[{"id":"/models/x.gguf","owned_by":"llamacpp","meta":{}}]}"#;
        assert_eq!(ModelCard::of(one, &["m"]), card("llamacpp", None));
    }

    #[test]
    fn what_is_no_list_has_no_card() {
        let long = format!(r#"{{"data":[{{"owned_by":"{}"}}]}}"#, "x".repeat(300));
        assert_eq!(
            ModelCard::of(long.as_bytes(), &["m"]),
            Some(ModelCard::default())
        );
        for answer in [
            "",
            "hello",
            "[]",
            r#"{"data":[]}"#,
            r#"{"data":{}}"#,
            r#"{"data":[{"id":"m","max_model_len":-1}]}"#,
            r#"{"data":[{"id":"m","owned_by":7}]}"#,
        ] {
            assert_eq!(ModelCard::of(answer.as_bytes(), &["m"]), None, "{answer}");
        }
    }
}
