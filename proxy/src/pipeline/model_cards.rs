//! Asks replicas for their models' metadata, before a request for the list of models is answered.

use std::{future::poll_fn, pin::Pin, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use http::{
    HeaderValue, Method,
    header::{AUTHORIZATION, HOST},
};
use http_body::Body;
use percent_encoding::percent_decode_str;
use tailback_scaler::clock::Nanos;
use tokio::time::timeout;

use super::{Pipeline, upstream_request::host};
use crate::{
    admission::balance::Affinity,
    api_keys::Caller,
    exchange::{RequestBody, body::Received},
    http1::client::RequestHead,
    message::{HeaderMap, RequestParts},
    models::{ModelRef, WorkerRoutes},
    protocol::model_card::ModelCard,
    status::MethodType,
    upstream::{Choice, Permit, PooledConnection, Wanted, connect},
};

/// How long the list may wait for replicas.
const LIMIT: Duration = Duration::from_secs(1);
/// Most models that are asked for one list.
const MODELS: usize = 64;
/// Most bytes of an answer.
const LARGEST: usize = 256 * 1024;

/// Asks one replica of each model for the model's card, if a replica has room and none was asked
/// recently. This is neither held nor counted, and wakes no model. Only a request that names a
/// model (`name`) has its caller's credentials passed on, from `head`, and only to that model. If
/// there are API keys, none are passed on, and models that `caller` may not use are not asked.
pub(super) async fn refresh(
    pipeline: &Pipeline,
    table: &WorkerRoutes,
    caller: &Caller,
    head: &RequestParts,
    name: &str,
) {
    let now = Nanos::now();
    let ask = |model, credentials| ask(pipeline, model, head, credentials, now);
    let has_room = |model: &ModelRef| {
        caller.may_use(model.model.name())
            && !model.pool.shared().has_waiters()
            && !model.pool.replicas().is_empty()
    };
    let mut asking = FuturesUnordered::new();
    if name.is_empty() {
        let due = |model: &&ModelRef| has_room(model) && model.model.card.is_due(now);
        let due = table.models().filter(due).take(MODELS);
        asking.extend(due.map(|model| ask(model, None)));
    } else if let Some(model) = table.model(&percent_decode_str(name).decode_utf8_lossy())
        && has_room(model)
        && (model.model.card.is_due(now) || model.model.card.get() == ModelCard::default())
    {
        asking.push(ask(model, head.headers.get(AUTHORIZATION)));
    }
    let _ = timeout(LIMIT, async { while asking.next().await.is_some() {} }).await;
}

async fn ask(
    pipeline: &Pipeline,
    model: &ModelRef,
    head: &RequestParts,
    credentials: Option<&HeaderValue>,
    now: Nanos,
) {
    let mut headers = HeaderMap::new();
    let credentials = model.upstream_key.as_ref().or(credentials);
    for (name, value) in [(AUTHORIZATION, credentials), (HOST, head.headers.get(HOST))] {
        if let Some(value) = value {
            headers.insert(name, value.clone());
        }
    }
    let Some(answer) = models_of(pipeline, model, headers, now).await else {
        return;
    };
    let config = &model.model.config;
    let upstream_name = config.upstream_name.as_deref().unwrap_or_default();
    if let Some(card) = ModelCard::of(&answer, &[upstream_name, &*config.name]) {
        model.model.card.set(card);
    }
}

/// A replica's answer to `GET /v1/models`.
async fn models_of(
    pipeline: &Pipeline,
    model: &ModelRef,
    headers: HeaderMap,
    now: Nanos,
) -> Option<Vec<u8>> {
    let replicas = model.pool.replicas();
    let taken = model.balancer.take(&replicas, Affinity::None, now)?;
    let permit = Permit::taken(model.pool.clone(), replicas[taken.position].clone());
    let connector = &model.model.connector;
    let wanted = Wanted {
        method: MethodType::Rest,
        upgrade: false,
        choice: Choice::Any,
        timeout: LIMIT,
    };
    let connecting = connect(connector, &pipeline.connect, &permit, wanted);
    let mut upstream = connecting.await.ok()?;
    let scheme = connector.scheme();
    let policy = &model.model.config.server.host_header;
    let head = RequestHead {
        method: &Method::GET,
        target: "/v1/models",
        headers: &headers,
        added: &[],
        host: host(&headers, policy, permit.authority(MethodType::Rest)),
        upgrade: None,
    };
    let sending = upstream.send(head, &scheme, RequestBody::Whole(None));
    let response = sending.await.ok()?;
    let is_success = response.status().is_success();
    let mut pooled = PooledConnection::new(permit, upstream);
    let answer = read(response.into_body(), &mut pooled).await?;
    pooled.give_back();
    is_success.then_some(answer)
}

/// The whole body, if it is small.
async fn read(mut body: Received, pooled: &mut PooledConnection) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let frame = poll_fn(|cx| {
            let polled = Pin::new(&mut body).poll_frame(cx);
            if polled.is_ready() {
                return polled;
            }
            pooled.drive(cx);
            Pin::new(&mut body).poll_frame(cx)
        });
        match frame.await {
            None => return Some(whole),
            Some(Err(_)) => return None,
            Some(Ok(frame)) => {
                whole.extend_from_slice(frame.data_ref()?);
                if whole.len() > LARGEST {
                    return None;
                }
            }
        }
    }
}
