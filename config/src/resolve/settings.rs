//! Resolves the settings of a model, each from its strongest origin.

use crate::environment::ModelDefaults;
use crate::{FairBy, Hold, Origin, Overrides, RequestTimeouts, Retry, Scaling, Server, Setting};

/// The resolved settings of a model.
pub(super) struct Settings {
    pub hold: Hold,
    pub timeouts: RequestTimeouts,
    pub include_usage: Setting<bool>,
    pub retry: Setting<Option<Retry>>,
    pub scaling: Scaling,
}

/// Resolves the settings: those in `model`, else those of `server`, else `rest`.
pub(super) fn of(model: Overrides, server: &Server, rest: &ModelDefaults) -> Settings {
    let of_server = &server.overrides;
    let no = Setting::new(false, Origin::Default);
    let no_limit = Setting::new(None, Origin::Default);
    let deadline = hold_deadline(server, &rest.deadline);
    let hold = Hold {
        queue: pick(model.queue, &of_server.queue, &rest.queue),
        deadline: pick(model.deadline, &of_server.deadline, &deadline),
        classes: pick(
            model.classes,
            &of_server.classes,
            &Setting::new(None, Origin::Default),
        ),
        fair_by: pick(
            model.fair_by,
            &of_server.fair_by,
            &Setting::new(FairBy::None, Origin::Default),
        ),
    };
    let (ours, theirs, others) = (model.timeouts, &of_server.timeouts, &rest.timeouts);
    let timeouts = RequestTimeouts {
        connect: pick(ours.connect, &theirs.connect, &others.connect),
        response_header: pick(
            ours.response_header,
            &theirs.response_header,
            &others.response_header,
        ),
        first_byte: pick(ours.first_byte, &theirs.first_byte, &others.first_byte),
        stream_idle: pick(ours.stream_idle, &theirs.stream_idle, &others.stream_idle),
        total: pick(ours.total, &theirs.total, &others.total),
    };
    let include_usage = pick(model.include_usage, &of_server.include_usage, &no);
    let retry = pick(
        model.retry,
        &of_server.retry,
        &Setting::new(None, Origin::Default),
    );
    let scaling = Scaling {
        policy: pick(model.policy, &of_server.policy, &rest.policy),
        lag_threshold: pick(
            model.lag_threshold,
            &of_server.lag_threshold,
            &rest.lag_threshold,
        ),
        inactive: pick(model.inactive, &of_server.inactive, &rest.inactive),
        stability: pick(model.stability, &of_server.stability, &rest.stability),
        target_wait: pick(model.target_wait, &of_server.target_wait, &rest.target_wait),
        up_limit: pick(model.up_limit, &of_server.up_limit, &no_limit),
        down_limit: pick(model.down_limit, &of_server.down_limit, &no_limit),
        dry_run: pick(model.dry_run, &of_server.dry_run, &no),
        pin: pick(model.pin, &of_server.pin, &no),
    };
    Settings {
        hold,
        timeouts,
        include_usage,
        retry,
        scaling,
    }
}

fn pick<T: Clone>(
    model: Option<Setting<T>>,
    server: &Option<Setting<T>>,
    rest: &Setting<T>,
) -> Setting<T> {
    model
        .or_else(|| server.clone())
        .unwrap_or_else(|| rest.clone())
}

/// How long a request is held if neither model nor server sets it: at least as long as a replica
/// may take to start.
fn hold_deadline(
    server: &Server,
    rest: &Setting<std::time::Duration>,
) -> Setting<std::time::Duration> {
    let start = server.process().map(|process| &process.start);
    match start.filter(|start| rest.origin == Origin::Default && start.value > rest.value) {
        Some(start) => start.clone(),
        None => rest.clone(),
    }
}
