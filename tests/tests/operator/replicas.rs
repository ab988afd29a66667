//! Replicas that are restarted and drained.

use super::*;

#[test]
fn a_busy_replica_is_restarted_once_another_one_is_ready_and_no_request_is_cut() {
    let model = unique();
    let proxy = Tailback::start(&processes(&model, 1500, "replicas: 1"), &[WITH_TOKEN]);
    eventually("the first", || proxy.ready(&model) == 1);
    let before = servers_of(&model);
    let mut caller = ask(&proxy, &model);
    let replicas = || proxy.model(&model)["replicas"].clone();
    eventually("its request", || replicas()["ready"][0]["inFlight"] == 1);
    let name = replicas()["ready"][0]["name"].as_str().unwrap().to_owned();
    let path = format!("/models/{model}/replicas/{name}/restart");
    let answer = body_of(&order(&proxy, "POST", &path, ""));
    assert_eq!(
        answer,
        json!({ "model": model, "replica": name, "order": "restart" })
    );
    // A request that finds no replica is held: none may be.
    let callers = AtomicU32::new(4);
    let load = under_load(proxy.address, &model, BODY, &callers, || {
        eventually("another one in its place", || {
            let ready = replicas()["ready"].clone();
            ready.as_array().unwrap().len() == 1 && ready[0]["name"] != *name
        });
    });
    assert_eq!(load.failed, 0);
    assert_eq!(caller.receive().unwrap().status, 200);
    eventually("the end of the old one", || {
        let now = servers_of(&model);
        let ended = now.len() == before.len() && now != before;
        ended && replicas()["leaving"] == json!([])
    });
    let log = proxy.log();
    assert!(!log.contains("replica failed"), "{log}");
    refused(&order(&proxy, "POST", &path, ""), 404, "has no replica");
    let drain = path.replace(&name, replicas()["ready"][0]["name"].as_str().unwrap());
    let drain = drain.replace("/restart", "/drain");
    refused(
        &order(&proxy, "POST", &drain, ""),
        409,
        "scale the model to fewer",
    );
}

#[test]
fn where_there_is_no_room_for_two_the_restarted_replica_goes_first() {
    let model = unique();
    let manifests =
        processes(&model, 20, "replicas: 1").replace("maxReplicas: 3", "maxReplicas: 1");
    let proxy = Tailback::start(&manifests, &[WITH_TOKEN]);
    eventually("the first", || proxy.ready(&model) == 1);
    let before = servers_of(&model);
    let path = format!("/models/{model}/replicas/{model}-0/restart");
    body_of(&order(&proxy, "POST", &path, ""));
    let callers = AtomicU32::new(4);
    let load = under_load(proxy.address, &model, BODY, &callers, || {
        eventually("another one in its place", || {
            let now = servers_of(&model);
            now.len() == before.len() && now != before && proxy.ready(&model) == 1
        });
    });
    assert_eq!(load.failed, 0, "they are held meanwhile");
}

#[test]
fn a_restart_that_is_under_way_goes_on_after_an_upgrade() {
    let model = unique();
    let manifests =
        processes(&model, 5000, "replicas: 1").replace("maxReplicas: 3", "maxReplicas: 1");
    let mut proxy = Tailback::start(&manifests, &[WITH_TOKEN]);
    eventually("the first", || proxy.ready(&model) == 1);
    let before = servers_of(&model);
    let mut caller = ask(&proxy, &model);
    eventually("its request", || {
        proxy.model(&model)["replicas"]["ready"][0]["inFlight"] == 1
    });
    let path = format!("/models/{model}/replicas/{model}-0/restart");
    body_of(&order(&proxy, "POST", &path, ""));
    eventually("that it drains", || proxy.ready(&model) == 0);
    proxy.upgrade().unwrap();
    assert_eq!(caller.receive().unwrap().status, 200);
    eventually("another one in its place", || {
        let now = servers_of(&model);
        now.len() == before.len() && now != before && proxy.ready(&model) == 1
    });
    let replicas = proxy.model(&model)["replicas"].clone();
    assert_eq!(replicas["ready"][0]["name"], format!("{model}-1"));
}

#[test]
fn a_drained_endpoint_gets_no_request_until_it_is_resumed_whatever_happens() {
    let (a, b) = (Upstream::start(), Upstream::start());
    let manifest = a.manifest(&["m"]);
    let both = format!("[\"http://{}\", \"http://{}\"]", a.address, b.address);
    let manifest = manifest.replace(&format!("[\"http://{}\"]", a.address), &both);
    let mut proxy = Tailback::start(&manifest, &[WITH_TOKEN]);
    let path = |word| format!("/models/m/replicas/{}/{word}", b.address);
    let by_server = order(&proxy, "POST", "/models/m/replicas/upstream/drain", "");
    assert_ne!(by_server.status, 200, "both have that name");
    body_of(&order(&proxy, "POST", &path("drain"), ""));
    eventually("it to be out", || proxy.ready("m") == 1);
    let is_out = |proxy: &Tailback| {
        let replicas = proxy.model("m")["replicas"].clone();
        assert_eq!(replicas["leaving"][0]["endpoint"], b.address.to_string());
        let warning = replicas["warning"].to_string();
        assert!(warning.contains("drained by an operator"), "{warning}");
        let served = || {
            replicas["ready"][0]["requests"]
                .as_u64()
                .unwrap_or_default()
        };
        let before = served();
        for _ in 0..20 {
            assert_eq!(
                call(proxy.address, "POST", "/v2/models/m/infer", BODY)
                    .unwrap()
                    .status,
                200
            );
        }
        let after = proxy.model("m")["replicas"]["ready"][0]["requests"].as_u64();
        assert_eq!(after, Some(before + 20), "all at the other one");
    };
    is_out(&proxy);
    proxy.upgrade().unwrap();
    eventually("that the new process knows of it", || proxy.ready("m") == 1);
    is_out(&proxy);
    body_of(&order(&proxy, "POST", &path("resume"), ""));
    eventually("both", || proxy.ready("m") == 2);
    let served = || {
        let ready = proxy.model("m")["replicas"]["ready"].clone();
        let ready = ready.as_array().cloned().unwrap_or_default();
        let of_b = ready
            .iter()
            .find(|own| own["endpoint"] == b.address.to_string());
        of_b.and_then(|own| own["requests"].as_u64())
    };
    eventually("requests there again", || {
        let answer = call(proxy.address, "POST", "/v2/models/m/infer", BODY);
        answer.is_ok_and(|answer| answer.status == 200) && served() > Some(0)
    });
}

#[test]
fn the_pod_of_a_replica_that_is_restarted_is_deleted_and_replaced() {
    let cluster = Cluster::start(1, "20");
    let proxy = cluster.serve_with(&workload("minReplicas: 1"), &[WITH_TOKEN]);
    eventually("the pod", || proxy.ready("m") == 1);
    let name = proxy.model("m")["replicas"]["ready"][0]["name"].clone();
    let path = format!("/models/m/replicas/{}/restart", name.as_str().unwrap());
    cluster.double.faults().forbid("delete", "pods");
    let answer = order(&proxy, "POST", &path, "");
    refused(
        &answer,
        409,
        "resources: [\\\"pods\\\"], verbs: [\\\"delete\\\"]",
    );
    cluster.double.faults().clear();
    body_of(&order(&proxy, "POST", &path, ""));
    eventually("another one", || {
        let ready = proxy.model("m")["replicas"]["ready"].clone();
        ready.as_array().is_some_and(|all| all.len() == 1) && ready[0]["name"] != name
    });
}
