//! Checks `storageUri`s, and the folders that their files are put into.

use std::collections::BTreeMap;
use std::path::Path;

use super::rule;
use crate::manifest::Draft;
use crate::{Error, FieldLocation, Server};

/// Schemes of the URIs from which Tailback fetches models' files.
const SCHEMES: &[&str] = &[
    "file", "http", "https", "s3", "gs", "az", "azure", "abfs", "abfss",
];

/// Checks that no two servers share a folder for model files: each would remove the files that
/// only the other needs.
pub(super) fn check_apart<'a>(servers: impl Iterator<Item = &'a Server>, errors: &mut Vec<Error>) {
    let mut folders = BTreeMap::<&Path, &str>::new();
    for server in servers {
        let shared = server.multi_model.as_ref();
        let Some(repository) = shared.and_then(|own| own.repository.as_ref()) else {
            continue;
        };
        if let Some(other) = folders.insert(&repository.path, &server.name) {
            let place = &server.place;
            let spot = FieldLocation {
                file: place.file.clone(),
                document: place.document,
                object: format!("Server {}", place.name),
                line: place.line,
                field: "spec.multiModel.repository".into(),
            };
            errors.push(rule(
                &spot,
                format!(
                    "server {other} has the same folder {}, and each of the two would remove what the other needs; \
                     give each a folder of its own",
                    repository.path.display()
                ),
            ));
        }
    }
}

/// Checks that the model has a `storageUri` if its server's command needs one, and that Tailback
/// can fetch it where Tailback has to.
pub(super) fn check(draft: &Draft, server: &Server, errors: &mut Vec<Error>) {
    let shared = server.multi_model.as_ref();
    if let (Some(uri), Some(_)) = (
        &draft.storage_uri,
        shared.and_then(|own| own.repository.as_ref()),
    ) {
        check_fetch(draft, uri, errors);
    }
    let Some(process) = server.process() else {
        return;
    };
    let wanted = process
        .command
        .iter()
        .chain(process.env.values())
        .any(|word| word.contains("{storageUri}"));
    if wanted && draft.storage_uri.is_none() {
        let mut spot = draft.spot.clone();
        spot.field.push_str(".storageUri");
        errors.push(Error::Value {
            spot: Box::new(spot),
            found: "nothing".into(),
            expected: format!(
                "a URI, as the command of server {} has {{storageUri}} in it",
                server.name
            ),
        });
    }
}

/// Checks that files can be fetched from `uri`, into a folder with the model's name.
fn check_fetch(draft: &Draft, uri: &str, errors: &mut Vec<Error>) {
    let field = |name: &str| {
        let mut spot = draft.spot.clone();
        spot.field.push_str(name);
        Box::new(spot)
    };
    let scheme = uri.split_once("://").map(|(scheme, _)| scheme);
    if !uri.starts_with('/') && scheme.is_none_or(|scheme| !SCHEMES.contains(&scheme)) {
        errors.push(Error::Value {
            spot: field(".storageUri"),
            found: format!("{uri:?}"),
            expected: format!(
                "an absolute path, or a URI with one of the schemes {}",
                SCHEMES.join(", ")
            ),
        });
    }
    let name = draft.upstream_name.as_ref().unwrap_or(&draft.place.name);
    if !is_folder_name(name) {
        errors.push(rule(
            &draft.spot,
            format!(
                "its files are put into a folder that is named as it is at its server, {name:?}, and no folder can \
                 have that name; set upstreamName to one without / that does not begin with a dot"
            ),
        ));
    }
}

fn is_folder_name(name: &str) -> bool {
    !name.starts_with('.') && !name.contains('/') && name.len() <= 200
}
