use std::path::Path;

use tailback_config::{Env, load_text};

use super::*;
use crate::clock::Nanos;

const SECOND: Duration = Duration::from_secs(1);

/// Models a, b and c of 10 GiB, which take turns on a device with this memory.
fn setup(memory: &str, load: Duration) -> FleetSetup {
    let api = "apiVersion: tailback.dev/v1alpha1";
    let mut text = format!(
        "{{ {api}, kind: Host, metadata: {{ name: h }}, spec: {{ devices: [{{ name: '0', memory: {memory} }}] }} }}\n---\n\
         {{ {api}, kind: Server, metadata: {{ name: s }}, spec: {{ concurrency: 4, process: {{ command: [x, '{{port}}'] }} }} }}\n"
    );
    for name in ["a", "b", "c"] {
        text += &format!(
            "---\n{{ {api}, kind: Model, metadata: {{ name: {name} }}, spec: {{ server: s, memory: 10Gi, minReplicas: 0, \
             maxReplicas: 1, hold: {{ seconds: 120 }} }} }}\n"
        );
    }
    let config = load_text(Path::new("a.yaml"), &text, &Env::default());
    FleetSetup::of(&config.unwrap_or_else(|errors| panic!("{errors}")), |_| {
        load
    })
}

/// A request to each model every two seconds for ten minutes. Each takes one second.
fn requests(models: usize) -> Vec<FleetRequest> {
    let one = |index: u64| FleetRequest {
        at: Nanos::from_duration(Duration::from_millis(index * 2000 / models as u64)),
        service: SECOND,
        model: index as usize % models,
    };
    (0..300 * models as u64).map(one).collect()
}

#[test]
fn where_there_is_room_for_all_each_model_is_loaded_once_and_nobody_waits_then() {
    let (setup, requests) = (setup("30Gi", 5 * SECOND), requests(3));
    let result = simulate(&requests, &setup, Placer::Placement);
    let loads: Vec<_> = result.models.iter().map(|model| model.loads).collect();
    assert_eq!((loads, result.evictions), (vec![1, 1, 1], 0));
    assert_eq!(result.waits.len(), requests.len());
    assert!(wait_quantile(&result.waits, 1.0) <= 5.1);
    assert_eq!(wait_quantile(&result.waits, 0.9), 0.0);
}

#[test]
fn models_that_take_turns_are_all_answered_and_loaded_far_less_often_than_by_lru() {
    let (setup, requests) = (setup("12Gi", 5 * SECOND), requests(2));
    let result = simulate(&requests, &setup, Placer::Placement);
    assert_eq!(answered(&result.waits), 1.0);
    assert_eq!(
        result,
        simulate(&requests, &setup, Placer::Placement),
        "it is deterministic"
    );
    // A load and a residency take 15 s: `placement/turns.rs` has the bound.
    let most = result.end.as_secs_f64() / 20.0 + 2.0;
    assert!(
        f64::from(result.loads()) <= most,
        "{} loads",
        result.loads()
    );
    let lru = simulate(&requests, &setup, Placer::Lru);
    assert!(
        lru.loads() > 2 * result.loads(),
        "{} and {} loads",
        lru.loads(),
        result.loads()
    );
    let alone = simulate(&requests, &setup, Placer::RoomForAll);
    assert_eq!(alone.evictions, 0);
    assert!(wait_quantile(&alone.waits, 0.99) < wait_quantile(&result.waits, 0.99));
}

#[test]
fn a_model_that_fits_nowhere_is_not_answered_and_the_simulation_ends() {
    let (setup, requests) = (setup("12Gi", 5 * SECOND), requests(2));
    let mut larger = setup.clone();
    larger.models[1].need.memory = 13 << 30;
    for placer in [Placer::Placement, Placer::Lru] {
        let result = simulate(&requests, &larger, placer);
        assert_eq!(answered(&result.models[0].waits), 1.0, "{placer}");
        assert_eq!(answered(&result.models[1].waits), 0.0, "{placer}");
        assert_eq!(result.waits.len(), requests.len());
    }
}

#[test]
fn a_model_that_takes_several_devices_has_all_of_them_or_none() {
    let mut setup = setup("12Gi", SECOND);
    let mut second = setup.pools[0].bins[0].clone();
    second.name = "1".into();
    setup.pools[0].bins.push(second);
    setup.models[0].need.bins = 2;
    for placer in Placer::ALL {
        let result = simulate(&requests(3), &setup, placer);
        assert_eq!(answered(&result.models[0].waits), 1.0, "{placer}");
        assert!(
            result.models.iter().all(|model| model.loads > 0),
            "{placer}"
        );
    }
}

/// Models a and b in one replica of a server with this concurrency for both together.
fn hosted(concurrency: u32) -> FleetSetup {
    let api = "apiVersion: tailback.dev/v1alpha1";
    let mut text = format!(
        "{{ {api}, kind: Server, metadata: {{ name: s }}, spec: {{ memory: 24Gi, concurrency: {concurrency}, replicas: 1, \
         multiModel: {{}}, process: {{ command: [x, '{{port}}'] }} }} }}\n"
    );
    for name in ["a", "b"] {
        text += &format!(
            "---\n{{ {api}, kind: Model, metadata: {{ name: {name} }}, spec: {{ server: s, memory: 10Gi }} }}\n"
        );
    }
    let config = load_text(Path::new("a.yaml"), &text, &Env::default());
    FleetSetup::of(&config.unwrap_or_else(|errors| panic!("{errors}")), |_| {
        SECOND
    })
}

#[test]
fn a_servers_concurrency_is_that_of_all_its_models_together_and_they_get_slots_in_turn() {
    // All requests come at once, those for model a first, and each takes a second.
    let one = |index: usize| FleetRequest {
        at: Nanos(0),
        service: SECOND,
        model: index / 10,
    };
    let requests: Vec<_> = (0..20).map(one).collect();
    let longest = |concurrency| {
        let result = simulate(&requests, &hosted(concurrency), Placer::Placement);
        assert_eq!(answered(&result.waits), 1.0);
        let of = |model: usize| wait_quantile(&result.models[model].waits, 1.0).round();
        (of(0), of(1))
    };
    assert_eq!(longest(20), (1.0, 1.0), "the load alone");
    assert_eq!(longest(2), (9.0, 10.0), "ten rounds of two, in turn");
}

#[test]
fn stays_say_where_models_were_and_slices_how_many_requests_were_held() {
    let (mut setup, requests) = (setup("12Gi", 5 * SECOND), requests(2));
    setup.timeline = Some(SECOND);
    let result = simulate(&requests, &setup, Placer::Placement);
    assert_eq!(result.stays.len(), result.loads() as usize);
    for pair in result.stays.windows(2) {
        assert!(
            pair[0].until <= pair[1].from,
            "there is room for one: {pair:?}"
        );
    }
    for stay in &result.stays {
        assert!(stay.from < stay.ready && stay.ready <= stay.until);
        assert_eq!((stay.pool, &stay.bins[..]), (0, &[0][..]));
    }
    let most = |model: usize| {
        let held = &result.models[model].held;
        assert_eq!(held.len() as f64, result.end.as_secs_f64().ceil());
        held.iter().map(|slice| slice.most).max()
    };
    assert!(most(0) > Some(1) && most(1) > Some(1));
    assert_eq!(most(2), Some(0));
}
