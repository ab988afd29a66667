//! Load balancing: which replicas get the requests.

use tailback_tests::{
    eventually,
    http::{Client, hang},
    process::Tailback,
    upstream::Upstream,
};

/// Three replicas of the model `m`, and a proxy before them.
fn three(strategy: &str) -> ([Upstream; 3], Tailback) {
    let replicas = [(); 3].map(|()| Upstream::start());
    let endpoints: Vec<_> = replicas
        .iter()
        .map(|replica| format!("\"http://{}\"", replica.address))
        .collect();
    let first = format!("\"http://{}\"", replicas[0].address);
    let manifest = replicas[0]
        .manifest(&["m"])
        .replace(
            "spec: { static",
            &format!("spec: {{ {strategy}concurrency: 8, static"),
        )
        .replace(&first, &endpoints.join(", "));
    let proxy = Tailback::start(&manifest, &[("TAILBACK_WORKERS", "1")]);
    // What comes before they are ready is held, and then goes to the least busy one.
    eventually("the replicas", || {
        proxy.model("m")["replicas"]["readyCount"] == 3
    });
    (replicas, proxy)
}

/// How many requests of this path's end each replica got.
fn spread(replicas: &[Upstream; 3], path: &str) -> [usize; 3] {
    replicas.each_ref().map(|replica| {
        let heads = replica.heads();
        let of = |head: &&String| head.split(' ').nth(1).is_some_and(|p| p.ends_with(path));
        heads.iter().filter(of).count()
    })
}

fn call(client: &mut Client, times: usize) {
    for _ in 0..times {
        let answer = client.call("POST", "/v2/models/m/ok", &[], b"x").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn round_robin_gives_each_replica_the_same_number_of_requests() {
    let (replicas, proxy) = three("loadBalancing: roundRobin, ");
    let mut client = Client::connect(proxy.address).unwrap();
    call(&mut client, 30);
    assert_eq!(spread(&replicas, "/ok"), [10; 3]);
}

#[test]
fn least_request_finds_the_one_idle_replica_of_all_every_time() {
    let (replicas, proxy) = three("loadBalancing: leastRequest, ");
    let _busy = [hang(proxy.address), hang(proxy.address)];
    eventually("two to be busy", || {
        spread(&replicas, "/hang").iter().sum::<usize>() == 2
    });
    let hanging = spread(&replicas, "/hang");
    assert!(hanging.iter().all(|&times| times <= 1), "{hanging:?}");
    let mut client = Client::connect(proxy.address).unwrap();
    call(&mut client, 40);
    let expected = hanging.map(|times| if times == 0 { 40 } else { 0 });
    assert_eq!(spread(&replicas, "/ok"), expected);
}

#[test]
fn power_of_two_uses_all_replicas_and_a_change_of_the_strategy_takes_effect() {
    let (replicas, proxy) = three("");
    let mut client = Client::connect(proxy.address).unwrap();
    call(&mut client, 60);
    let spread_so_far = spread(&replicas, "/ok");
    assert!(spread_so_far.iter().all(|&n| n > 0), "{spread_so_far:?}");
    let endpoints = replicas
        .each_ref()
        .map(|replica| format!("\"http://{}\"", replica.address));
    let manifest = replicas[0].manifest(&["m"]).replace(
        "spec: { static",
        "spec: { loadBalancing: roundRobin, static",
    );
    proxy.rewrite(&manifest.replace(&endpoints[0], &endpoints.join(", ")));
    eventually("the reload", || {
        proxy.metric("tailback_config_reloads_total{outcome=\"reloaded\"}") >= 1.0
    });
    let before = spread(&replicas, "/ok");
    call(&mut client, 30);
    let after = spread(&replicas, "/ok");
    let more: Vec<_> = before.iter().zip(after).map(|(b, a)| a - b).collect();
    assert_eq!(more, [10; 3]);
}
