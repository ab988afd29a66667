//! `tailback serve`: configuration, scaler, data plane and admin put together,
//! from start to drained end.

mod announce;
mod cluster;
mod limits;
mod listen;
mod reload;
mod signal;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use metrics_exporter_prometheus::PrometheusHandle;
use pingora::{
    listeners::{L4BufferSettings, ListenerConfig},
    server::{RunArgs, Server, configuration::ServerConf},
    services::listening::Service,
};
use tailback_config::{Config, Env, Store};
use tailback_scaler::{
    ledger::Wake,
    peers::publisher::CountsPublisher,
    run::{Options, Scaler},
    status::StatusStore,
};
use tokio::sync::watch;

use self::{reload::Reloader, signal::Event};
use crate::{
    admin::{self, Admin},
    downstream::{Downstream, Lifecycle, Settings},
    exchange::body::BufferBudget,
    log,
    models::SharedRoutes,
    net::tls,
    pipeline::Pipeline,
    protocol::cors::Cors,
    telemetry::{
        access_log, build_info,
        metrics::{self, DownstreamMetrics, UpstreamMetrics},
    },
    upstream::ConnectOptions,
};

/// Recorded histograms are moved into their buckets at least this often.
const UPKEEP: Duration = Duration::from_secs(5);

/// For answers to what was held, or cut, at the end of a shutdown.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves the manifests at `paths`, by the settings of `env`, until SIGTERM or SIGINT, and drains.
///
/// # Errors
/// What kept it from starting.
pub fn serve(paths: &[PathBuf], env: Env) -> Result<()> {
    let store = Store::open(paths, env).map_err(|errors| anyhow!("{errors}"))?;
    let config = store.current();
    let process = &config.process;
    log::start(&process.log, process.log_format).map_err(anyhow::Error::msg)?;
    let max_connections = limits::connections(&process.limits)?;
    // Closed again at once: the server opens it with its own options.
    let listen = listen::bind(process.listen, "--listen or TAILBACK_LISTEN")?.local_addr()?;
    let admin_listener = listen::bind(process.admin, "--admin or TAILBACK_ADMIN")?;
    let admin_address = admin_listener.local_addr()?;
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

    let access_log = match &process.access_log {
        Some(target) => Some(access_log::Running::start(target).with_context(|| {
            format!("environment TAILBACK_ACCESS_LOG: cannot write to {target}")
        })?),
        None => None,
    };

    let status_store = StatusStore::default();
    let wake = Wake::default();
    let publisher = CountsPublisher::default();
    let scaler = Scaler::start(Options {
        period: process.scaling_period,
        wake: wake.clone(),
        status: status_store.clone(),
        supervisor: own_program()?,
        publisher: publisher.clone(),
        peers: process.peers.clone(),
    })
    .context("cannot start the scaler")?;
    let routes = Arc::new(SharedRoutes::default());
    let cors = process.cors.as_ref().map(Cors::new).map(Arc::new);
    let lifecycle = Arc::new(Lifecycle::default());
    let downstream = Downstream {
        handler: Pipeline {
            routes: routes.clone(),
            buffer_budget: BufferBudget::new(process.limits.held_bytes),
            connect: ConnectOptions {
                limits: process.limits.clone(),
                metrics: UpstreamMetrics::default(),
            },
            access_log: access_log.as_ref().map(access_log::Running::log),
            unrouted: metrics::unrouted(),
            status: status_store.clone(),
            cors: cors.clone(),
            lifecycle: lifecycle.clone(),
        },
        settings: Settings {
            timeouts: process.timeouts.clone(),
            limits: process.limits.clone(),
            max_connections,
            cors,
            tls: tls.clone(),
        },
        metrics: DownstreamMetrics::default(),
        lifecycle: lifecycle.clone(),
    };
    let (tell, mut events) = {
        let _inside = runtime.enter();
        signal::events(paths)?
    };
    let store = Arc::new(store);
    let reloader = Reloader::new(store.clone(), routes.clone(), scaler, wake);
    reloader.apply(&config);
    runtime.block_on(async {
        cluster::follow(&store, tell).await;
        if config.process.cluster_models.is_some() {
            reloader.reload("the cluster was heard").await;
        }
    });
    let config = store.current();

    let (stop_accepting, stopped) = watch::channel(false);
    let admin = Admin {
        routes: routes.clone(),
        lifecycle: lifecycle.clone(),
        status_store,
        publisher,
        pause: reloader.pause_handle(),
        token: process.admin_token.clone(),
        recorder: recorder.clone(),
    };
    start_server(&config, downstream, listen, stopped)?;
    announce::announce(&config, listen, admin_address);

    runtime.block_on(async {
        admin_listener.set_nonblocking(true)?;
        tokio::spawn(admin::serve(
            admin,
            tokio::net::TcpListener::from_std(admin_listener)?,
        ));
        upkeep(recorder);
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.watch());
        }
        loop {
            match events.recv().await {
                Some(Event::Reload(cause)) => {
                    reloader.reload(cause).await;
                    if let Some(tls) = &tls {
                        tls.reload();
                    }
                    if let Some(log) = &access_log {
                        log.reopen();
                    }
                }
                Some(Event::Stop(signal)) => {
                    tracing::info!("{signal}: draining");
                    break;
                }
                None => break,
            }
        }
        lifecycle.drain();
        // Requests inside may take long: replicas are asked for by another proxy
        // meanwhile, if there is one.
        reloader.hand_over();
        stop_accepting.send_replace(true);
        let drained = until_drained(&routes, &lifecycle, config.process.timeouts.drain);
        tokio::select! {
            all = drained => if !all {
                let (in_flight, connections) = inside(&routes, &lifecycle);
                tracing::warn!(in_flight, connections, "TAILBACK_DRAIN_SECONDS have passed: stopping regardless");
            },
            () = async {
                while !matches!(events.recv().await, Some(Event::Stop(_)) | None) {}
            } => {
                let (in_flight, connections) = inside(&routes, &lifecycle);
                tracing::warn!(in_flight, connections, "second signal received: stopping without waiting for these requests");
            }
        }
        lifecycle.stop();
        routes.current().close_pools();
        reloader.stop().await;
        // Held requests have been answered, and others cut: callers are told so.
        until_drained(&routes, &lifecycle, LAST_WORDS).await;
        if let Some(log) = access_log {
            log.close();
        }
        tracing::info!("stopped");
        Ok(())
    })
}

/// Runs pingora's server on a thread of its own. It ends with the process: when
/// everything has drained is for [`serve`] to know.
fn start_server(
    config: &Config,
    downstream: Downstream<Pipeline>,
    listen: SocketAddr,
    stopped: watch::Receiver<bool>,
) -> Result<()> {
    // No grace period of pingora's own: it would sleep for all of it.
    const FOREVER: u64 = u32::MAX as u64;
    let conf = ServerConf {
        threads: config.process.workers.get(),
        work_stealing: false,
        grace_period_seconds: Some(FOREVER),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut data = Service::new("worker".into(), downstream);
    // hyper has buffers of its own.
    data.add_listener(
        ListenerConfig::tcp(listen.to_string()).l4_buffer(L4BufferSettings::unbuffered()),
    );
    server.add_service(data);
    thread::Builder::new()
        .name("server".into())
        .spawn(move || {
            server.run(RunArgs {
                shutdown_signal: Box::new(signal::Forwarded(stopped)),
            });
        })?;
    listen::wait_until_open(listen)
}

/// Waits until no request is in flight and callers have had their last answer, for at most
/// `limit`. Whether that is so.
async fn until_drained(routes: &SharedRoutes, lifecycle: &Lifecycle, limit: Duration) -> bool {
    let start = Instant::now();
    while inside(routes, lifecycle) != (0, 0) {
        if start.elapsed() >= limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

/// How many requests and connections there are.
fn inside(routes: &SharedRoutes, lifecycle: &Lifecycle) -> (u64, usize) {
    let table = routes.current();
    let models = table.models.values().chain(table.draining());
    let in_flight = models.map(|m| m.ledger.in_flight()).sum();
    (in_flight, lifecycle.connections())
}

fn upkeep(recorder: PrometheusHandle) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            recorder.run_upkeep();
        }
    });
}

/// This very program, to run it again: on Linux also after the file was replaced by
/// another version.
fn own_program() -> Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() {
        return Ok(link);
    }
    std::env::current_exe().context("cannot find the tailback program itself")
}
