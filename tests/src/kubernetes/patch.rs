//! Patches: the four content types, and what each makes of an object.

use serde_json::Value;

use super::{
    failure::Failure,
    managed::{self, Contested, Writer},
};

/// A patch as it came.
#[derive(Clone, Debug)]
pub enum Patch {
    /// RFC 7386, and strategic merge taken as such: right where it changes no
    /// list, since only lists have strategies.
    Merge(Value),
    /// RFC 6902.
    Json(json_patch::Patch),
    /// Server-side apply. The real server takes YAML; this one its JSON subset,
    /// which is what clients send.
    Apply(Value, Contested),
}

impl Patch {
    /// By the content type; `force` as in the query.
    ///
    /// # Errors
    /// 400 if the body is not what the type says, 415 for another type.
    pub fn parse(content_type: &str, body: &[u8], force: &str) -> Result<Self, Failure> {
        let media = content_type.split(';').next().unwrap_or_default().trim();
        let unreadable = |error: serde_json::Error| {
            Failure::bad_request(format!("error decoding patch: {error}"))
        };
        let object = || serde_json::from_slice(body).map_err(unreadable);
        match media {
            "application/merge-patch+json" | "application/strategic-merge-patch+json" => {
                Ok(Self::Merge(object()?))
            }
            "application/json-patch+json" => Ok(Self::Json(
                serde_json::from_slice(body).map_err(unreadable)?,
            )),
            "application/apply-patch+yaml" => {
                let contested = match force {
                    "true" | "1" => Contested::Take,
                    _ => Contested::Conflict,
                };
                Ok(Self::Apply(object()?, contested))
            }
            _ => Err(Failure::unsupported_media_type(media)),
        }
    }

    /// What it makes of `current`.
    ///
    /// # Errors
    /// 422 if an operation of a JSON patch fails, 409 if an apply conflicts.
    pub fn apply(&self, current: &Value, writer: &Writer) -> Result<Value, Failure> {
        let mut object = current.clone();
        match self {
            Self::Merge(patch) => json_patch::merge(&mut object, patch),
            Self::Json(patch) => json_patch::patch(&mut object, patch).map_err(|_| Failure {
                code: 422,
                reason: "Invalid",
                ..Failure::bad_request(
                    "the server rejected our request due to an error in our request",
                )
            })?,
            Self::Apply(applied, contested) => {
                object = managed::apply(current, applied, writer, *contested)?;
            }
        }
        Ok(object)
    }
}
