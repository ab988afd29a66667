//! Error responses of the API server: `Status` objects with the reasons, messages and details of
//! the real server (apimachinery, `pkg/api/errors/errors.go`).

use serde_json::{Value, json};

use super::resource::Resource;

/// An error response.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason.
    pub reason: &'static str,
    /// The message for people.
    pub message: String,
    /// `details` of the Status.
    pub details: Value,
    /// Seconds for the `Retry-After` header.
    pub retry_after: Option<u32>,
    /// The form of the body.
    pub form: Form,
}

/// The form of an error's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A `Status` object in JSON.
    Status,
    /// Only the message, as text, like the parts of the real server in front of its API
    /// machinery.
    Text,
}

impl Failure {
    fn new(code: u16, reason: &'static str, message: String, details: Value) -> Self {
        Self {
            code,
            reason,
            message,
            details,
            retry_after: None,
            form: Form::Status,
        }
    }

    fn of(resource: &Resource, name: &str) -> Value {
        json!({ "name": name, "group": resource.group, "kind": resource.plural })
    }

    /// 400 with this message.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into(), Value::Null)
    }

    /// 401: no such token.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".into(), Value::Null)
    }

    /// 403, with `why` from the authoriser.
    #[must_use]
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} \"{name}\" is forbidden: {why}")
        };
        Self::new(403, "Forbidden", message, Self::of(resource, name))
    }

    /// 404: no such object.
    #[must_use]
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{resource} \"{name}\" not found");
        Self::new(404, "NotFound", message, Self::of(resource, name))
    }

    /// 404: no such path. The real server's last handler says so in plain text.
    #[must_use]
    pub fn no_such_path() -> Self {
        Self {
            form: Form::Text,
            ..Self::new(404, "NotFound", "404 page not found\n".into(), Value::Null)
        }
    }

    /// 405.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message.into(), json!({}))
    }

    /// 409: written on top of a version that is not the newest.
    #[must_use]
    pub fn conflict(resource: &Resource, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {resource} \"{name}\": the object has been modified; \
             please apply your changes to the latest version and try again"
        );
        Self::new(409, "Conflict", message, Self::of(resource, name))
    }

    /// 409: a precondition of a delete does not hold.
    #[must_use]
    pub fn precondition(
        resource: &Resource,
        name: &str,
        what: &str,
        want: &str,
        have: &str,
    ) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {resource} \"{name}\": Precondition failed: {what} in \
             precondition: {want}, {what} in object meta: {have}"
        );
        Self::new(409, "Conflict", message, Self::of(resource, name))
    }

    /// 409: other managers own fields that an apply would change.
    #[must_use]
    pub fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({
                    "reason": "FieldManagerConflict",
                    "message": format!("conflict with {manager}"),
                    "field": field,
                })
            })
            .collect();
        let list: Vec<String> = conflicts
            .iter()
            .map(|(manager, field)| format!("conflict with {manager}: {field}"))
            .collect();
        let plural = if conflicts.len() == 1 { "" } else { "s" };
        let message = format!(
            "Apply failed with {} conflict{plural}: {}",
            conflicts.len(),
            list.join("\n")
        );
        Self::new(409, "Conflict", message, json!({ "causes": causes }))
    }

    /// 409: there is one of this name.
    #[must_use]
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{resource} \"{name}\" already exists");
        Self::new(409, "AlreadyExists", message, Self::of(resource, name))
    }

    /// 410: what was asked for has been compacted away.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into(), Value::Null)
    }

    /// 415.
    #[must_use]
    pub fn unsupported_media_type(found: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, \
             application/strategic-merge-patch+json, application/apply-patch+yaml; got {found}"
        );
        Self::new(415, "UnsupportedMediaType", message, json!({}))
    }

    /// 422: `field` has a value it cannot have.
    #[must_use]
    pub fn invalid(group: &str, kind: &str, name: &str, field: &str, why: &str) -> Self {
        let subject = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let details = json!({
            "name": name,
            "group": group,
            "kind": kind,
            "causes": [{ "reason": "FieldValueInvalid", "message": why, "field": field }],
        });
        let message = format!("{subject} \"{name}\" is invalid: {field}: {why}");
        Self::new(422, "Invalid", message, details)
    }

    /// 429, as priority and fairness answers it: text, with `Retry-After`
    /// (apiserver, `pkg/server/filters/maxinflight.go`).
    #[must_use]
    pub fn too_many_requests(retry_after: u32) -> Self {
        let message = "Too many requests, please try again later.\n";
        Self {
            form: Form::Text,
            ..Self::new(429, "TooManyRequests", message.into(), Value::Null)
        }
        .retry_after(retry_after)
    }

    /// 500.
    #[must_use]
    pub fn internal(message: &str) -> Self {
        let details = json!({ "causes": [{ "message": message }] });
        let message = format!("Internal error occurred: {message}");
        Self::new(500, "InternalError", message, details)
    }

    /// 503.
    #[must_use]
    pub fn unavailable() -> Self {
        let message = "the server is currently unable to handle the request";
        Self::new(503, "ServiceUnavailable", message.into(), Value::Null)
    }

    /// 504: a list at a version that the server has not reached.
    #[must_use]
    pub fn version_too_large(asked: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let details = json!({
            "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
            "retryAfterSeconds": 1,
        });
        Self::new(504, "Timeout", message, details).retry_after(1)
    }

    /// The same, with a `Retry-After` header of so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The `Status` object.
    #[must_use]
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message.trim_end(),
            "reason": self.reason,
            "code": self.code,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
