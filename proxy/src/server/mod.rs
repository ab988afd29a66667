//! `tailback serve`: puts configuration, scaler, data plane and admin endpoints together, and runs
//! them from start to the end of draining.

mod announce;
mod api_keys;
mod cluster;
mod limits;
mod listen;
mod reload;
mod running;
mod service_manager;
mod signal;
mod upgrade;

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use metrics_exporter_prometheus::PrometheusHandle;
use tailback_config::{Env, Store};
use tailback_scaler::{
    ledger::Wake,
    peers::publisher::CountsPublisher,
    replica_logs::ReplicaLogs,
    run::{Scaler, ScalerOptions},
    server_status::ServerStatusStore,
    status::StatusStore,
};
use tokio::sync::watch;

use self::{
    api_keys::ApiKeysReloader,
    listen::Listeners,
    reload::Reloader,
    running::Running,
    signal::Event,
    upgrade::{Predecessor, Program},
};
use crate::{
    admin::{self, Admin, ReloadHandle, ServerInfo},
    downstream::{Downstream, DownstreamSettings, Lifecycle},
    exchange::{LiveRequests, body::BufferBudget},
    log,
    models::SharedRoutes,
    net::tls,
    overload::Overload,
    pipeline::Pipeline,
    protocol::cors::Cors,
    telemetry::{
        Exporters, build_info,
        metrics::{self, DownstreamMetrics, UpstreamMetrics},
    },
    upstream::ConnectOptions,
};

/// How often the recorder moves recorded histogram samples into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves the manifests at `paths` with the settings of `env`, until SIGTERM or SIGINT, then
/// drains.
///
/// # Errors
/// Why it could not start.
pub fn serve(paths: &[PathBuf], env: Env) -> Result<()> {
    let mut predecessor = Predecessor::find()?;
    let served = start_and_run(paths, env, &mut predecessor);
    if let (Err(error), Some(predecessor)) = (&served, &mut predecessor) {
        predecessor.failed(error);
    }
    served
}

/// Starts, and runs until drained. While `predecessor` is set, the caller must report an error to
/// it.
fn start_and_run(paths: &[PathBuf], env: Env, predecessor: &mut Option<Predecessor>) -> Result<()> {
    let program = Program::this()?;
    let store = Store::open(paths, env).map_err(|errors| anyhow!("{errors}"))?;
    let config = store.current();
    let process = &config.process;
    log::start(&process.log, process.log_format).map_err(anyhow::Error::msg)?;
    let max_connections = limits::connections(&process.limits)?;
    let passed_on = predecessor.as_mut().and_then(Predecessor::listeners);
    let listeners = match passed_on {
        Some(listeners) => listeners,
        None => match service_manager::sockets()? {
            Some(listeners) => listeners,
            None => Listeners::open(process)?,
        },
    };
    let tls = match &process.tls {
        Some(spec) => Some(Arc::new(tls::Listener::open(spec)?)),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(cluster::check(&config))?;
    let recorder = metrics::install().context("metrics")?;
    build_info::record();

    let status_store = StatusStore::default();
    let exporters = Exporters::start(process, &status_store)?;

    let server_status = ServerStatusStore::default();
    let logs = ReplicaLogs::default();
    let wake = Wake::default();
    let publisher = CountsPublisher::default();
    let scaler = Scaler::start(ScalerOptions {
        period: process.scaling_period,
        wake: wake.clone(),
        status: status_store.clone(),
        logs: logs.clone(),
        servers: server_status.clone(),
        placement: process.placement.clone(),
        supervisor: own_program()?,
        publisher: publisher.clone(),
        peers: process.peers.clone(),
    })
    .context("cannot start the scaler")?;
    let routes = Arc::new(SharedRoutes::default());
    let live = Arc::<LiveRequests>::default();
    let cors = process.cors.as_ref().map(Cors::new).map(Arc::new);
    let lifecycle = Arc::new(Lifecycle::default());
    let (overload, held_bytes) = limits::memory(&process.limits)?;
    overload.share_with(predecessor.as_ref().map(Predecessor::pid));
    let memory = overload.clone();
    let downstream = Downstream {
        handler: Pipeline {
            routes: routes.clone(),
            stored: Arc::default(),
            live: live.clone(),
            buffer_budget: BufferBudget::new(held_bytes, overload.clone()),
            overload: overload.clone(),
            connect: ConnectOptions {
                limits: process.limits.clone(),
                metrics: UpstreamMetrics::default(),
            },
            access_log: exporters.access_log(),
            tracer: exporters.tracer(),
            probes_wake: process.routing.probes_wake,
            unrouted: metrics::unrouted(),
            status: status_store.clone(),
            cors: cors.clone(),
            lifecycle: lifecycle.clone(),
        },
        settings: DownstreamSettings {
            timeouts: Arc::new(process.timeouts.clone()),
            limits: process.limits.clone(),
            max_connections,
            unread_bytes: BufferBudget::of_surplus(held_bytes / 2, overload.clone()),
            overload,
            workers: process.workers.get(),
            half_close: process.half_close,
            cors,
            tls: tls.clone(),
        },
        metrics: DownstreamMetrics::default(),
        lifecycle: lifecycle.clone(),
    };
    let (tell, events) = {
        let _inside = runtime.enter();
        signal::events(paths)?
    };
    // Before any model is served, so that no request is let in without a key.
    let api_keys = match process.api_keys.clone() {
        Some(path) => Some(ApiKeysReloader::start(path, routes.clone(), tell.clone())?),
        None => None,
    };
    let store = Arc::new(store);
    let reloader = Reloader::new(store.clone(), routes.clone(), scaler, wake);
    let orders = tell.clone();
    let reload = ReloadHandle::new(move |answer| {
        // If nobody receives it, the caller of the order learns that the process is ending.
        let _ = orders.send(Event::Order(answer));
    });
    runtime.block_on(cluster::follow(&store, tell));
    if let Some(predecessor) = predecessor {
        let (inherited, parcels) = predecessor.ready()?;
        runtime
            .block_on(reloader.scaler().inherit(inherited, parcels))
            .context("cannot take the replicas over")?;
    }
    reloader.apply(&config);
    let info = Arc::new(ServerInfo::default());
    if config.process.cluster_models.is_some() {
        info.reload_ended(&runtime.block_on(reloader.reload("the cluster's models have arrived")));
    }
    let config = store.current();

    let (stop_accepting, stopped) = watch::channel(false);
    let admin = Admin {
        routes: routes.clone(),
        lifecycle: lifecycle.clone(),
        status_store,
        servers: server_status,
        publisher,
        live,
        logs,
        control: reloader.control_handle(),
        reload,
        token: process.admin_token.clone(),
        recorder: recorder.clone(),
        info: info.clone(),
        memory_limit: process.limits.memory.limit().map(|limit| limit.bytes),
    };
    let workers = process.workers.get();
    listen::accept(&listeners.requests, downstream, workers, stopped)?;
    let (admin_listener, admin_stop) = (listeners.admin.try_clone()?, watch::Sender::new(false));
    admin_listener.set_nonblocking(true)?;
    let admin_stopped = admin_stop.subscribe();

    runtime.block_on(async {
        let admin_listener = tokio::net::TcpListener::from_std(admin_listener)?;
        tokio::spawn(admin::serve(admin, admin_listener, admin_stopped));
        upkeep(recorder);
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.watch());
        }
        announce::announce(
            &config,
            listeners.requests.local_addr()?,
            listeners.admin.local_addr()?,
        );
        let predecessor = match predecessor.take() {
            // This also notifies the service manager.
            Some(predecessor) => {
                let ended = predecessor.took(reloader.scaler())?;
                tokio::spawn(alone_again(memory.clone(), ended.clone()));
                Some(ended)
            }
            None => {
                service_manager::ready();
                None
            }
        };
        let running = Running {
            config,
            program,
            stop_accepting,
            admin_stop,
            routes,
            lifecycle,
            reloader,
            api_keys,
            tls,
            exporters,
            info,
            overload: memory,
            predecessor,
        };
        running.run(events, listeners).await;
        Ok(())
    })
}

/// Stops sharing the memory limit once the predecessor has ended.
async fn alone_again(overload: Arc<Overload>, mut ended: watch::Receiver<bool>) {
    // An error means that the sender is gone, and so the predecessor.
    let _ = ended.wait_for(|&ended| ended).await;
    overload.share_with(None);
}

fn upkeep(recorder: PrometheusHandle) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            recorder.run_upkeep();
        }
    });
}

/// The path of this executable. On Linux it stays valid after the file was replaced by another
/// version.
fn own_program() -> Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() {
        return Ok(link);
    }
    std::env::current_exe().context("cannot find the tailback program itself")
}
