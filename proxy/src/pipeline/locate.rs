//! Step 1: determines which model a request is for, and how it is handled.

use std::rc::Rc;

use http::{Method, header::ACCEPT_ENCODING};
use percent_encoding::percent_decode_str;

use super::{
    Pipeline,
    authorize::{AllowedModels, authenticate, authorize},
    fields::Fields,
    include_usage, model_cards,
    question::{Otherwise, allowed, question},
    read_model::BodyReader,
    rename::{Names, rename, set_path},
    stored_response::{self, StoredResponse, id_in_path},
    well_formed,
};
use crate::{
    api_keys::Caller,
    exchange::{
        StreamState,
        body::{BufferReservation, PeekableBody},
    },
    message::{HeaderMap, RequestParts},
    models::{Known, ModelRef, WorkerRoutes},
    net::HttpVersion,
    protocol::{
        api::{self, Handling, LocalRequest, Match, ModelIn, Normal, Route, Service},
        error::ProxyError,
        local_reply::LocalReply,
        model_name,
        peek::Fault,
    },
};

/// How a request is answered, and for which model.
pub(super) enum Located {
    /// Inference: it wakes the model, and counts as use.
    Model(ModelRef, Answering, Caller),
    /// A probe of the model, and how to answer it if no replica does.
    Probe(ModelRef, Otherwise),
    /// The proxy replies itself.
    Local(Box<LocalReply>),
    /// A gRPC service that the proxy implements. The model is the one that the metadata names.
    Service(Service, Option<Known>, Caller),
}

/// What the pipeline reads of the response, or replaces in it.
#[derive(Debug, Default)]
pub(super) struct Answering {
    /// The model's name to put into the response; `None`: the replica's is forwarded.
    pub asked: Option<Box<str>>,
    pub stored: StoredResponse,
    /// The request's row in the table of APIs, if it has one.
    pub route: Option<&'static Route>,
}

/// Finds the model, and replaces its name in the request by the one that its replicas know.
pub(super) async fn locate(
    pipeline: &Pipeline,
    table: &WorkerRoutes,
    state: &Rc<StreamState>,
    (head, fields): (&mut RequestParts, Fields),
    body: &mut PeekableBody,
    reservation: &mut BufferReservation<'_>,
) -> Result<Located, ProxyError> {
    let normal = normalise(head);
    let mut found = api::find(&head.headers, &head.method, head.uri.path());
    state.api.set(found.api);
    if head.method == Method::CONNECT {
        return Err(ProxyError::Connect);
    }
    if found.api.is_grpc() && state.connection().version == HttpVersion::Http1 {
        return Err(ProxyError::GrpcNeedsHttp2);
    }
    well_formed::check(head, fields)?;
    normal?;
    if let Some(cors) = &pipeline.cors
        && let Some(answer) = cors.preflight(&head.method, &head.headers)
    {
        return Ok(Located::Local(Box::new(answer.into())));
    }
    let caller = authenticate(table, state.connection(), head, &found)?;
    let mut named = None;
    if matches!(found.handling(), Some(Handling::Passthrough)) {
        named = Some(pass_through(table, head, &mut found)?);
        state.api.set(found.api);
    }
    if fields.has(Fields::MODEL)
        && let Some(name) = model_name::in_header(&head.headers)?
    {
        let by_header = table.known(name)?;
        if let Some(before) = &named {
            agree(before, &by_header)?;
        }
        named = Some(by_header);
    }
    if let Some(named) = &named {
        authorize(&caller, named)?;
    }
    if let Some(why) = refusal(&found, head, named.as_ref()) {
        return Err(ProxyError::Refused(why));
    }
    let path = head.uri.path();
    let mut names = Names::default();
    let mut reader = BodyReader {
        body,
        reservation,
        state,
    };
    let known = match named {
        // Not forwarded, because a health watch would occupy a replica's slot for as long as it
        // lasts.
        Some(named) if matches!(found.handling(), Some(Handling::Service(Service::Health))) => {
            return Ok(Located::Service(Service::Health, Some(named), caller));
        }
        Some(named) => {
            if !found.name.is_empty()
                && let Ok((other, length)) = table.model_in_path(&path[found.name.clone()])
            {
                agree(&named, &other)?;
                names.path = Some(found.name.start..found.name.start + length);
            }
            named
        }
        None => {
            let Some(handling) = found.handling() else {
                return Err(unrouted(&found, path));
            };
            let asks = head.method == Method::OPTIONS;
            match handling {
                Handling::Local(local) | Handling::Models(local) if !asks => {
                    if matches!(handling, Handling::Models(_)) {
                        // Boxed, because it is rare.
                        Box::pin(model_cards::refresh(
                            pipeline,
                            table,
                            &caller,
                            head,
                            &path[found.name.clone()],
                        ))
                        .await;
                    }
                    let request = LocalRequest {
                        name: &path[found.name.clone()],
                        models: &AllowedModels {
                            table: &table.table,
                            caller: &caller,
                        },
                    };
                    return (local.answer)(&request).map(|reply| Located::Local(Box::new(reply)));
                }
                Handling::Service(service) if !asks => {
                    return Ok(Located::Service(*service, None, caller));
                }
                Handling::Inference(model_in) | Handling::Probe(_, model_in) => {
                    match search(pipeline, table, head, &found, *model_in, &mut names)? {
                        Some(known) => known,
                        None if asks => return Ok(Located::Local(allowed(path))),
                        None => {
                            in_body(table, &head.headers, *model_in, &mut reader, &mut names)
                                .await?
                        }
                    }
                }
                _ => return Ok(Located::Local(allowed(path))),
            }
        }
    };
    authorize(&caller, &known)?;
    let otherwise = question(pipeline, &found, head, &names);
    let model = known.model.clone();
    let asked = names.asked(&model.model.config);
    let stored = match found.route {
        _ if otherwise.is_some() => StoredResponse::None,
        Some(route) if route.makes_responses => {
            // Boxed, because it is rare, and its state would enlarge every request's future.
            let followed = stored_response::followed(pipeline, &model, &head.headers, &mut reader);
            StoredResponse::Made(Box::pin(followed).await?)
        }
        Some(route) if matches!(route.model_in(), Some(ModelIn::Response(_))) => {
            let location = id_in_path(head.uri.path()).and_then(|id| pipeline.stored.find(&id));
            StoredResponse::Kept(location.map(|location| location.replica))
        }
        _ => StoredResponse::None,
    };
    if asked.is_some() || matches!(stored, StoredResponse::Made(_)) {
        // A compressed response could not be read or changed.
        head.headers.remove(ACCEPT_ENCODING);
    }
    let generates = found.route.and_then(|route| route.generates);
    let asks_for_usage = include_usage::applies(&model.model.config, generates, &head.headers);
    rename(table, head, &found, &mut reader, known, names).await?;
    if asks_for_usage {
        // Boxed, because it is rare, and its state would enlarge every request's future.
        Box::pin(include_usage::ask(head, &mut reader)).await?;
    }
    Ok(match otherwise {
        Some(otherwise) => Located::Probe(model, otherwise),
        None => {
            let route = found.route;
            let answering = Answering {
                asked,
                stored,
                route,
            };
            Located::Model(model, answering, caller)
        }
    })
}

/// Normalises the path before it is looked up and forwarded.
fn normalise(head: &mut RequestParts) -> Result<(), ProxyError> {
    match api::normal(head.uri.path()) {
        Normal::Already => {}
        Normal::Changed(path) => set_path(head, &path, head.uri.query().map(str::to_owned)),
        Normal::Dots => return Err(ProxyError::BadPath),
    }
    Ok(())
}

/// Removes the model's name from the beginning of a path, and looks up the rest.
fn pass_through(
    table: &WorkerRoutes,
    head: &mut RequestParts,
    found: &mut Match,
) -> Result<Known, ProxyError> {
    let path = head.uri.path();
    let (known, length) = table
        .model_in_path(&path[found.name.clone()])
        .map_err(ProxyError::UnknownModel)?;
    let rest = match &path[found.name.start + length..] {
        "" => "/".to_owned(),
        rest => rest.to_owned(),
    };
    set_path(head, &rest, head.uri.query().map(str::to_owned));
    *found = api::find(&head.headers, &head.method, head.uri.path());
    match found.handling() {
        Some(Handling::Passthrough) => Err(ProxyError::NoModel),
        _ => Ok(known),
    }
}

/// Checks that two places of a request name the same model. Otherwise a replica might follow one of
/// them, and the accounting the other.
fn agree(first: &Known, second: &Known) -> Result<(), ProxyError> {
    let name = |known: &Known| known.model.model.name().to_owned();
    match first.model.model.name() == second.model.model.name() {
        true => Ok(()),
        false => Err(ProxyError::TwoModels {
            first: name(first),
            second: name(second),
        }),
    }
}

/// Why the request is refused; `None`: it is not, or the model that it names allows it. The decoded
/// path is checked, too: servers decode paths before they use them, and some treat gRPC like any other
/// HTTP request.
fn refusal(found: &Match, head: &RequestParts, named: Option<&Known>) -> Option<&'static str> {
    let path = head.uri.path();
    let allows = |path: &str| {
        let mut allowed = named
            .into_iter()
            .flat_map(|known| &known.model.model.config.allow);
        allowed.any(|above| api::is_at_or_below(path, above))
    };
    if let Some(Handling::Refused(why)) = found.handling() {
        return (!allows(path)).then_some(why);
    }
    let is_read_otherwise = found.api.is_grpc() || path.contains('%');
    if !path.ends_with('/') && (named.is_none() || !is_read_otherwise) {
        return None;
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let decoded = match api::normal(&decoded) {
        Normal::Changed(path) => path.into(),
        Normal::Already | Normal::Dots => decoded,
    };
    // Some servers ignore a slash at the end.
    let decoded = decoded.trim_end_matches('/');
    api::refusal(&head.method, decoded).filter(|_| !allows(decoded))
}

/// The error for a request that matches no row of the table.
fn unrouted(found: &Match, path: &str) -> ProxyError {
    if found.api.is_grpc() {
        return ProxyError::NoMethod;
    }
    match api::allowed_methods(path) {
        allowed if allowed.is_empty() => ProxyError::NoModel,
        allowed => ProxyError::WrongMethod { allowed },
    }
}

/// The model, if it can be determined without the body.
fn search(
    pipeline: &Pipeline,
    table: &WorkerRoutes,
    head: &RequestParts,
    found: &Match,
    model_in: ModelIn,
    names: &mut Names,
) -> Result<Option<Known>, ProxyError> {
    let path = head.uri.path();
    match model_in {
        ModelIn::Path => {
            let start = found.name.start;
            let (known, length) = table
                .model_in_path(&path[found.name.clone()])
                .map_err(ProxyError::UnknownModel)?;
            names.path = Some(start..start + length);
            Ok(Some(known))
        }
        ModelIn::Query => match model_name::in_query(head.uri.query().unwrap_or_default())? {
            Some((at, name)) => {
                names.query = Some(at);
                table.known(&name).map(Some)
            }
            None => match table.default_model() {
                Some(model) => Ok(Some(Known::by_own_name(model))),
                None => Err(ProxyError::BadModelQuery),
            },
        },
        ModelIn::Response(_)
            if let Some(model) = id_in_path(path)
                .and_then(|id| pipeline.stored.find(&id))
                .and_then(|location| table.model(&location.model)) =>
        {
            Ok(Some(Known::by_own_name(model)))
        }
        ModelIn::Nowhere(why) | ModelIn::Response(why) => {
            let model = table.default_model().or_else(|| table.only_model());
            let is_probe = matches!(found.handling(), Some(Handling::Probe(..)));
            model
                // Only one of several replicas would have the object that is asked for.
                .filter(|model| is_probe || model.model.has_one_replica())
                .map(|model| Some(Known::by_own_name(model)))
                .ok_or(ProxyError::NotRouted(why))
        }
        ModelIn::Body | ModelIn::Message(_) if head.method == Method::OPTIONS => {
            Ok(table.default_model().map(Known::by_own_name))
        }
        ModelIn::Body | ModelIn::Message(_) => Ok(None),
    }
}

/// The model that the body names, or else the default model.
async fn in_body(
    table: &WorkerRoutes,
    headers: &HeaderMap,
    model_in: ModelIn,
    reader: &mut BodyReader<'_, '_>,
    names: &mut Names,
) -> Result<Known, ProxyError> {
    let scanner = model_name::in_body(model_in, headers).map_err(ProxyError::Unnamed)?;
    let scanner = scanner.ok_or(ProxyError::NoModel)?;
    let format = scanner.format();
    names.body_read = true;
    match reader.read(scanner).await {
        Ok(read) => {
            let known = table.known(&read.name)?;
            names.body = Some((format, read));
            Ok(known)
        }
        Err(ProxyError::Unnamed(fault @ (Fault::Absent | Fault::AbsentInMessage))) => table
            .default_model()
            .map(Known::by_own_name)
            .ok_or(ProxyError::Unnamed(fault)),
        Err(error) => Err(error),
    }
}
