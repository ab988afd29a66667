//! Reads paths.

/// The meaning of a path. Model and version are as the client wrote them.
#[derive(Debug, PartialEq)]
pub enum Route<'a> {
    Live,
    Ready,
    Server,
    /// The list of models that are loaded.
    Index,
    Load(&'a str),
    Unload(&'a str),
    Model(&'a str, Option<&'a str>, OfModel),
}

/// The part of a model that a path is about.
#[derive(Debug, PartialEq)]
pub enum OfModel {
    Metadata,
    Ready,
    Infer,
}

impl<'a> Route<'a> {
    /// Reads a path; `None`: there is no such path.
    pub fn of(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix("/v2")?.split('/').collect();
        let (name, version, what) = match parts.as_slice() {
            [""] => return Some(Route::Server),
            ["", "health", "live"] => return Some(Route::Live),
            ["", "health", "ready"] => return Some(Route::Ready),
            ["", "repository", "index"] => return Some(Route::Index),
            ["", "repository", "models", name, "load"] => return Some(Route::Load(name)),
            ["", "repository", "models", name, "unload"] => return Some(Route::Unload(name)),
            ["", "models", name, "versions", version, what @ ..] => (name, Some(*version), what),
            ["", "models", name, what @ ..] => (name, None, what),
            _ => return None,
        };
        match what {
            [] => Some(Route::Model(name, version, OfModel::Metadata)),
            ["ready"] => Some(Route::Model(name, version, OfModel::Ready)),
            ["infer"] => Some(Route::Model(name, version, OfModel::Infer)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_the_protocol_says() {
        use OfModel::{Infer, Metadata, Ready};
        let model = |version, what| Some(Route::Model("m", version, what));
        let cases = [
            ("/v2", Some(Route::Server)),
            ("/v2/health/live", Some(Route::Live)),
            ("/v2/health/ready", Some(Route::Ready)),
            ("/v2/repository/index", Some(Route::Index)),
            ("/v2/repository/models/m/load", Some(Route::Load("m"))),
            ("/v2/repository/models/m/unload", Some(Route::Unload("m"))),
            ("/v2/models/m", model(None, Metadata)),
            ("/v2/models/m/ready", model(None, Ready)),
            ("/v2/models/m/infer", model(None, Infer)),
            ("/v2/models/m/versions/1", model(Some("1"), Metadata)),
            ("/v2/models/m/versions/1/ready", model(Some("1"), Ready)),
            ("/v2/models/m/versions/1/infer", model(Some("1"), Infer)),
        ];
        for (path, route) in cases {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn other_paths_lead_nowhere() {
        let paths = [
            "/",
            "/v1",
            "/v2/",
            "/v2x",
            "/v2/health",
            "/v2/models",
            "/v2/models/m/",
        ];
        for path in paths
            .into_iter()
            .chain(["/v2/models/m/versions", "/v2/models/m/infer/x"])
        {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}
