//! Reads what makes a server host many models: `multiModel`, and the bounds of its replica count.

use crate::manifest::fields::{Fields, Value};
use crate::{
    Kind, ModelRepository, MultiModelSpec, ObjectLocation, Origin, RepositoryApi, ServerReplicas,
    Setting,
};

/// Reads `multiModel`, `minReplicas` and `replicas` of a server of this `kind`; errors are noted.
/// `max` is the server's `maxReplicas`.
pub(super) fn read(
    spec: &Fields<'_>,
    place: &ObjectLocation,
    kind: &Kind,
    max: Option<u32>,
) -> Option<MultiModelSpec> {
    let min = spec.get("minReplicas");
    let initial = spec.get("replicas");
    let Some(value) = spec.get("multiModel") else {
        for own in min.iter().chain(&initial) {
            own.rule(
                "a server has a count of its own only with multiModel, where models share its replicas; set it on \
                 the server's models",
            );
        }
        return None;
    };
    let map = read_map(&value, place, kind)?;
    if let Some(why) = unfit(kind) {
        value.rule(&why);
    }
    let count = |value: Option<Value<'_>>| Some(u32::from(value?.count_from_one()?));
    let replicas = ServerReplicas::of(kind, count(min), max, count(initial));
    let replicas = replicas.unwrap_or_else(|why| {
        spec.rule(&why);
        ServerReplicas::ONE
    });
    Some(MultiModelSpec { replicas, ..map })
}

/// Reads `multiModel` of a `ServerConfig` of this `kind`, where it may be absent; errors are
/// noted.
pub(super) fn read_config(
    spec: &Fields<'_>,
    place: &ObjectLocation,
    kind: &Kind,
) -> Option<MultiModelSpec> {
    let value = spec.get("multiModel");
    if let Some(why) = unfit(kind) {
        spec.rule(&why);
    }
    match value {
        Some(value) => read_map(&value, place, kind),
        None => Some(MultiModelSpec {
            overcommit: None,
            replicas: ServerReplicas::ONE,
            repository_api: RepositoryApi::default(),
            repository: None,
        }),
    }
}

/// Reads the map `multiModel`. The replica counts are beside it, not in it.
fn read_map(value: &Value<'_>, place: &ObjectLocation, kind: &Kind) -> Option<MultiModelSpec> {
    let fields = value.fields()?;
    let overcommit = fields.get("overcommitPercentage").and_then(|value| {
        let percent = value.number(
            "a whole number of percent, from 0 to 1000000",
            |percent: &u32| *percent <= 1_000_000,
        )?;
        let place = ObjectLocation {
            line: value.line(),
            ..place.clone()
        };
        Some(Setting::new(percent, Origin::Server(place)))
    });
    let repository_api = fields.word(
        "repositoryApi",
        &[("rest", RepositoryApi::Rest), ("grpc", RepositoryApi::Grpc)],
    );
    let repository = fields
        .get("repository")
        .and_then(|value| read_repository(&value, kind));
    fields.finish();
    Some(MultiModelSpec {
        overcommit,
        replicas: ServerReplicas::ONE,
        repository_api: repository_api.unwrap_or_default(),
        repository,
    })
}

/// Reads `multiModel.repository`: a folder, or a map with one and `cacheSize`.
fn read_repository(value: &Value<'_>, kind: &Kind) -> Option<ModelRepository> {
    let Kind::Process(process) = kind else {
        value.rule(
            "Tailback can put files only where its own processes find them; remove repository, and give the server \
             its models in its own way",
        );
        return None;
    };
    let (path, cache) = if value.is_map() {
        let fields = value.fields()?;
        let path = fields.required("path", "a folder");
        let path = path.and_then(|value| value.text());
        let cache = match fields.get("cacheSize") {
            Some(value) => value.bytes(),
            None => Some(0),
        };
        fields.finish();
        (path?, cache?)
    } else {
        (value.text()?, 0)
    };
    if path.is_empty() {
        value.wrong("a folder");
        return None;
    }
    Some(ModelRepository {
        path: process.directory.join(path),
        cache,
    })
}

/// Why a server of this kind cannot host many models, if it cannot.
fn unfit(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Process(process) => {
            let words = process.command.iter().chain(process.env.values());
            let one_model = ["{model}", "{storageUri}"];
            let found = one_model
                .into_iter()
                .find(|name| words.clone().any(|word| word.contains(name)))?;
            Some(format!(
                "its command has {found}, which stands for one model, and its replicas host many; remove {found}, \
                 or multiModel"
            ))
        }
        Kind::Kubernetes(spec) if spec.is_per_model() => Some(
            "the workload's name has {model}, so that each model has a workload of its own; give the workload one \
             name, or remove multiModel"
                .into(),
        ),
        Kind::Kubernetes(spec) if spec.service().is_none() => Some(
            "models are loaded into each pod by itself, and endpoints are addresses in front of all pods; set \
             kubernetes.service instead of kubernetes.endpoints"
                .into(),
        ),
        Kind::Webhook(_) | Kind::Seldon(_) => Some(format!(
            "models are loaded into each replica by itself, and a {kind} server shows none; expected a process, \
             static or kubernetes server"
        )),
        Kind::Static(_) | Kind::Kubernetes(_) => kind.tls().map(|_| {
            "models are loaded by HTTP in clear text, and its replicas are reached by TLS; remove tls, or multiModel"
                .into()
        }),
    }
}
