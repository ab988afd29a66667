//! Reads the field `static` of a server: fixed addresses, and how they are reached.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::manifest::fields::Value;
use crate::{Endpoint, ObjectLocation, StaticSpec, UpstreamTls, endpoint};

/// Largest file with certificates, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// Reads the addresses; errors are noted.
pub(super) fn read(value: &Value<'_>, place: &ObjectLocation) -> Option<StaticSpec> {
    let fields = value.fields()?;
    let list = fields.required(
        "endpoints",
        "a list of addresses such as http://127.0.0.1:8080",
    );
    let tls_value = fields.get("tls");
    let tls = match &tls_value {
        Some(value) => read_tls(value, place),
        None => Some(UpstreamTls::default()),
    };
    // A wrong value is noted, and the rest checked all the same.
    let resolve = fields.get("resolveSeconds");
    let resolve = resolve.and_then(|value| value.seconds_above_zero());
    fields.finish();
    let endpoints = read_endpoints(&list?)?;
    let secure = endpoints.first().is_some_and(|first| first.secure);
    if let (Some(value), false) = (&tls_value, secure || endpoints.is_empty()) {
        value.rule("the endpoints are http; expected https endpoints, or no tls");
    }
    Some(StaticSpec {
        endpoints,
        tls: tls.filter(|_| secure),
        resolve,
    })
}

/// Reads a list of addresses, all of one scheme and no two equal. Empty only after an error.
pub(super) fn read_endpoints(list: &Value<'_>) -> Option<Vec<Endpoint>> {
    let items = list.items()?;
    if items.is_empty() {
        list.rule(
            "found an empty list, expected at least one address such as http://127.0.0.1:8080",
        );
    }
    let mut seen = HashSet::new();
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(items.len());
    for item in &items {
        let Some(endpoint) = read_endpoint(item) else {
            continue;
        };
        if !seen.insert(endpoint.authority.clone()) {
            item.wrong("an address that is not in the list already");
        } else if endpoints
            .first()
            .is_some_and(|first| first.secure != endpoint.secure)
        {
            item.rule("http and https are mixed; expected all endpoints of a server to be either");
        } else {
            endpoints.push(endpoint);
        }
    }
    Some(endpoints)
}

/// Reads an address, or a map with the addresses `http` and `grpc`.
fn read_endpoint(value: &Value<'_>) -> Option<Endpoint> {
    if !value.is_map() {
        return read_address(value);
    }
    let fields = value.fields()?;
    let http = fields.required("http", endpoint::EXPECTED);
    let grpc = fields.required("grpc", endpoint::EXPECTED);
    fields.finish();
    let mut endpoint = read_address(&http?)?;
    let value = grpc?;
    let grpc = read_address(&value)?;
    if grpc.secure != endpoint.secure {
        value.rule("http and https are mixed; expected all endpoints of a server to be either");
        return None;
    }
    endpoint.grpc = Some(Box::new(grpc));
    Some(endpoint)
}

fn read_address(value: &Value<'_>) -> Option<Endpoint> {
    let text = value.text()?;
    let endpoint = Endpoint::parse(&text);
    match endpoint {
        // A password in the address must not get into a log, so the address is not shown.
        None if text.contains('@') => value.rule(&format!(
            "found a user in the address, expected {}",
            endpoint::EXPECTED
        )),
        None => value.wrong(endpoint::EXPECTED),
        Some(_) => {}
    }
    endpoint
}

pub(super) fn read_tls(value: &Value<'_>, place: &ObjectLocation) -> Option<UpstreamTls> {
    let fields = value.fields()?;
    let ca = fields
        .get("ca")
        .map_or(Some(Vec::new()), |value| read_ca(&value, place));
    let server_name = match fields.get("serverName") {
        Some(value) => Some(read_name(&value)?),
        None => None,
    };
    fields.finish();
    Some(UpstreamTls {
        ca: ca?,
        server_name,
    })
}

/// Reads a host name.
fn read_name(value: &Value<'_>) -> Option<String> {
    let name = value.text()?;
    if Endpoint::parse(&format!("https://{name}")).is_some_and(|found| found.host == name) {
        return Some(name);
    }
    value.wrong("a host name such as models.example.org");
    None
}

/// Reads certificates from a PEM file, relative to the manifest.
fn read_ca(value: &Value<'_>, place: &ObjectLocation) -> Option<Vec<Vec<u8>>> {
    let text = value.text()?;
    let folder = place.file.parent().map(PathBuf::from).unwrap_or_default();
    let path = folder.join(&text);
    let certificates = match read_certificates(&path) {
        Ok(certificates) => certificates,
        Err(why) => {
            value.rule(&format!("{} cannot be read: {why}", path.display()));
            return None;
        }
    };
    if certificates.is_empty() {
        value.rule(&format!(
            "{} has no certificate in it, expected PEM",
            path.display()
        ));
        return None;
    }
    Some(certificates)
}

fn read_certificates(path: &PathBuf) -> Result<Vec<Vec<u8>>, String> {
    let size = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if size > LARGEST {
        return Err(format!("it has {size} bytes, expected at most {LARGEST}"));
    }
    let text = fs::read(path).map_err(|e| e.to_string())?;
    CertificateDer::pem_slice_iter(&text)
        .map(|found| found.map(|der| der.to_vec()).map_err(|e| e.to_string()))
        .collect()
}
