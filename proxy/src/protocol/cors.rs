//! CORS: which other origins' pages may send requests from a browser (Fetch standard, 3.2). The
//! proxy answers preflights for all replicas. Credentials that browsers add themselves, such as
//! cookies, are not allowed; `Authorization` is an ordinary header field here.

use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use crate::message::{HeaderMap, Response};

const ANY: HeaderValue = HeaderValue::from_static("*");
const VARIES: HeaderValue = HeaderValue::from_static("origin");
const PREFLIGHT_VARIES: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// The configured policy.
#[derive(Debug)]
pub struct Cors {
    origins: Option<Vec<String>>,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl Cors {
    /// The policy as configured.
    #[must_use]
    pub fn new(config: &tailback_config::Cors) -> Self {
        let listed = |all: Vec<&str>| HeaderValue::from_str(&all.join(", ")).unwrap_or(ANY);
        Self {
            origins: config.origins.clone(),
            methods: listed(config.methods.iter().map(Method::as_str).collect()),
            headers: (config.headers.as_ref())
                .map(|all| listed(all.iter().map(|name| name.as_str()).collect())),
            max_age: HeaderValue::from(config.max_age.as_secs()),
        }
    }

    /// The value of `Access-Control-Allow-Origin`: the request's origin, or `*`. `None` if the
    /// request has no origin, or one that is not allowed.
    #[must_use]
    pub fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(ORIGIN)?;
        match &self.origins {
            None => Some(ANY),
            Some(all) => all
                .iter()
                .any(|one| one.as_bytes() == origin.as_bytes())
                .then(|| origin.clone()),
        }
    }

    /// The answer to a preflight request; `None` if the request is not one.
    #[must_use]
    pub fn preflight(&self, method: &Method, request: &HeaderMap) -> Option<Response<Bytes>> {
        let asks = *method == Method::OPTIONS
            && request.contains_key(ORIGIN)
            && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let fields = response.headers_mut();
        fields.insert(VARY, PREFLIGHT_VARIES);
        if self.allowed(request).is_some() {
            fields.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            fields.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
            let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS);
            if let Some(headers) = self.headers.as_ref().or(asked) {
                fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
            }
        }
        Some(response)
    }
}

/// Adds the header fields that let the page of a request that was [`allowed`](Cors::allowed) read
/// the response.
pub fn allow(answer: &mut HeaderMap, origin: HeaderValue) {
    if origin != ANY {
        answer.append(VARY, VARIES);
    }
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANY);
}
