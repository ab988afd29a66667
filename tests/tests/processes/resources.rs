//! What replicas use of the host.

use std::{fs, path::Path};

use tailback_tests::{
    eventually,
    process::{Tailback, servers_of, unique},
};

use super::{manifests, sample};

#[test]
fn what_a_replica_uses_is_shown_as_long_as_it_is_there() {
    let model = unique();
    let process = format!("{}\nstopSeconds: 1", sample(0));
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    eventually("the replica", || proxy.ready(&model) == 1);
    let of = |name: &str, replica: u32| {
        format!("{name}{{model=\"{model}\",replica=\"{model}-{replica}\"}}")
    };
    let memory = |replica| of("tailback_replica_memory_bytes", replica);
    let has = |series: &str| {
        let metrics = proxy.metrics();
        metrics.lines().any(|line| line.starts_with(series))
    };
    eventually("the first reading", || has(&memory(0)));
    // The sample server is a program of some megabytes.
    let bytes = proxy.metric(&memory(0));
    assert!((1e5..1e9).contains(&bytes), "{bytes}");
    assert_eq!(proxy.metric(&of("tailback_replica_processes", 0)), 1.0);
    assert!(has(&of("tailback_replica_cpu_seconds_total", 0)));
    let shown = proxy.model(&model)["replicas"]["ready"][0].clone();
    assert_eq!(shown["processes"], 1);
    assert!(shown["memoryBytes"].as_f64() > Some(1e5) && shown["cpuSeconds"].is_number());

    for pid in servers_of(&model) {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    eventually("the next replica's", || has(&memory(1)));
    assert!(!has(&memory(0)), "a series goes with its replica");
}

#[test]
fn a_replica_that_is_long_in_starting_is_listed_with_what_it_uses() {
    let model = unique();
    let process = format!("{}\nready: /not-yet\nstopSeconds: 1", sample(0));
    let mut proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    let coming = |proxy: &Tailback| proxy.model(&model)["replicas"]["coming"].clone();
    eventually("the first reading", || {
        coming(&proxy)[0]["memoryBytes"].is_number()
    });
    let listed = coming(&proxy);
    assert_eq!(listed[0]["name"], format!("{model}-0"));
    assert_eq!(
        (&listed[0]["inFlight"], &listed[0]["processes"]),
        (&0.into(), &1.into())
    );
    let seconds = listed[0]["seconds"].as_f64().unwrap();
    let series =
        format!("tailback_replica_memory_bytes{{model=\"{model}\",replica=\"{model}-0\"}}");
    assert!(proxy.metric(&series) > 1e5);
    // Its age goes on through an upgrade.
    proxy.upgrade().unwrap();
    eventually("the replica in the next process", || {
        coming(&proxy)[0]["seconds"].as_f64() > Some(seconds)
    });
    assert_eq!(coming(&proxy)[0]["name"], format!("{model}-0"));
}

#[test]
fn memory_is_limited_or_the_failure_says_why_it_cannot_be() {
    let model = unique();
    let process = format!("{}\nlimits: {{ memory: 512Mi }}", sample(0));
    let proxy = Tailback::start(&manifests(&model, &process, ""), &[]);
    let failure = || proxy.failure(&model);
    eventually("the replica, or why there is none", || {
        proxy.ready(&model) == 1 || failure().contains("cannot set limits.memory: ")
    });
    if proxy.ready(&model) == 0 {
        assert!(failure().contains("remove"), "what to do: {}", failure());
        assert!(servers_of(&model).is_empty());
        return;
    }
    let pid = servers_of(&model)[0];
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let file = Path::new("/sys/fs/cgroup")
        .join(group.unwrap())
        .join("memory.max");
    assert_eq!(fs::read_to_string(file).unwrap().trim(), "536870912");
}
