//! Nothing that a replica started outlives it, its supervisors or the proxy, whichever
//! ends first and however: children in sessions of their own, daemonised twice, deaf to
//! SIGTERM. With a control group for each replica, and without.

use std::{fs, os::unix::fs::MetadataExt, process::Command, thread, time::Duration};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::{Pid, Uid, getpgid},
};
use tailback_tests::{
    eventually,
    process::{Tailback, processes_with, unique},
};

/// What each replica leaves running: see [`manifests`].
const CHILDREN: usize = 4;

/// A model whose replicas are sample servers that left children behind, each named by the
/// model: in a session of its own, and deaf to SIGTERM; daemonised twice, with its shell's
/// hands off; with an empty environment; and an idle one in the same group.
fn manifests(model: &str, more: &str) -> String {
    let script = r#"
      setsid sh -c 'trap "" TERM HUP; while :; do sleep 0.2; done' "$0" &
      (setsid sh -c '(sh -c "trap : HUP; while :; do sleep 0.2; done" "$0" &) &' "$0" &)
      (env -i PATH="$PATH" setsid sh -c 'while :; do sleep 0.2; done' "$0" &)
      sh -c 'while :; do sleep 0.2; done' "$0" &
      exec sample-server --port "$1" --model "$0""#;
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: server }}
spec:
  process:
    command:
    - sh
    - -c
    - |{script}
    - '{{model}}'
    - '{{port}}'
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {model} }}
spec:
  server: server
  {more}
"
    )
}

/// With a group for each replica where there can be one here; else, and in any case once
/// more, where none is to be seen.
fn both(test: impl Fn(&dyn Fn(&str) -> Tailback)) {
    test(&|manifests| Tailback::start(manifests, &[]));
    if Uid::effective().is_root() {
        test(&|manifests| {
            let hide =
                "awk '/ - cgroup2 /{print $5}' /proc/self/mountinfo | xargs umount -l; exec \"$@\"";
            let proxy =
                Tailback::start_under(&["unshare", "-m", "sh", "-c", hide, "sh"], manifests);
            eventually("it to know of no groups", || {
                proxy.log().contains("no cgroup v2 is writable here")
            });
            proxy
        });
    }
}

/// A process of a proxy's tree.
#[derive(Debug, Clone)]
struct Process {
    pid: Pid,
    parent: Pid,
    name: String,
    line: String,
}

/// All that run below `pid`.
fn tree(pid: Pid) -> Vec<Process> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let (Ok(stat), Ok(line)) = (read("stat"), read("cmdline")) else {
            continue;
        };
        let (before, after) = stat.rsplit_once(") ").unwrap();
        let parent = after.split(' ').nth(1).unwrap().parse().unwrap();
        all.push(Process {
            pid: Pid::from_raw(pid),
            parent: Pid::from_raw(parent),
            name: before.split_once('(').unwrap().1.to_owned(),
            line,
        });
    }
    let mut below = vec![pid];
    let mut found = Vec::new();
    while let Some(parent) = below.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            below.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// The outer and the inner supervisor of the one replica of `proxy`.
fn supervisors(proxy: &Tailback) -> [Pid; 2] {
    let tree = tree(proxy.pid());
    let mut found = tree
        .iter()
        .filter(|process| process.line.contains("__supervise"));
    let (outer, inner) = (found.next().unwrap(), found.next().unwrap());
    assert_eq!((outer.parent, inner.parent), (proxy.pid(), outer.pid));
    assert!(found.next().is_none());
    [outer.pid, inner.pid]
}

/// How many processes of `model` there are, the supervisors aside.
fn running(model: &str) -> usize {
    let supervisors = processes_with("__supervise");
    let of_model = processes_with(model).into_iter();
    of_model.filter(|pid| !supervisors.contains(pid)).count()
}

fn ready(proxy: &Tailback, model: &str) {
    eventually("the replica with all its children", || {
        proxy.ready(model) == 1 && running(model) == 1 + CHILDREN
    });
}

fn nothing_left(model: &str) {
    eventually("the end of all of the replica's processes", || {
        processes_with(model).is_empty()
    });
}

#[test]
fn children_of_a_replica_go_when_it_is_stopped_or_crashes() {
    both(|start| {
        let model = unique();
        let proxy = start(&manifests(&model, "replicas: 1"));
        for _ in 0..3 {
            ready(&proxy, &model);
            let servers = processes_with(&format!("--model\0{model}"));
            kill(Pid::from_raw(servers[0]), Signal::SIGKILL).unwrap();
            eventually("its end to be seen", || {
                proxy.log().contains("ended by signal 9")
            });
            eventually("another one alone", || {
                let now = processes_with(&format!("--model\0{model}"));
                now.len() == 1 && now[0] != servers[0] && running(&model) == 1 + CHILDREN
            });
        }
        ready(&proxy, &model);
        proxy.rewrite(&manifests(&model, "replicas: 0"));
        nothing_left(&model);
    });
}

#[test]
fn nothing_is_left_of_a_replica_whoever_is_killed() {
    type Victims = fn(&Tailback) -> Vec<Pid>;
    let cases: [(&str, Victims); 6] = [
        ("the proxy", |proxy| vec![proxy.pid()]),
        ("the outer supervisor", |proxy| vec![supervisors(proxy)[0]]),
        ("the inner supervisor", |proxy| vec![supervisors(proxy)[1]]),
        ("both supervisors", |proxy| supervisors(proxy).to_vec()),
        ("the proxy and the outer supervisor", |proxy| {
            vec![proxy.pid(), supervisors(proxy)[0]]
        }),
        ("the proxy and the inner supervisor", |proxy| {
            vec![proxy.pid(), supervisors(proxy)[1]]
        }),
    ];
    both(|start| {
        for (who, victims) in &cases {
            let model = unique();
            let mut proxy = start(&manifests(&model, "replicas: 1"));
            ready(&proxy, &model);
            let before: Vec<_> = tree(proxy.pid()).iter().map(|p| p.pid).collect();
            let victims = victims(&proxy);
            for victim in &victims {
                kill(*victim, Signal::SIGKILL).unwrap();
            }
            println!("killed {who}");
            if victims.contains(&proxy.pid()) {
                proxy.wait();
                nothing_left(&model);
            } else {
                eventually("the old ones' end, and a new replica", || {
                    let now: Vec<_> = tree(proxy.pid()).iter().map(|p| p.pid).collect();
                    !before.iter().any(|pid| now.contains(pid))
                        && running(&model) == 1 + CHILDREN
                        && proxy.ready(&model) == 1
                });
                proxy.signal(Signal::SIGKILL);
                nothing_left(&model);
            }
        }
    });
}

#[test]
fn nothing_is_left_when_all_that_is_named_tailback_is_killed() {
    both(|start| {
        for by_line in [false, true] {
            let model = unique();
            let mut proxy = start(&manifests(&model, "replicas: 1"));
            ready(&proxy, &model);
            let named = |process: &Process| match by_line {
                // pkill -f tailback
                true => process.line.contains("tailback"),
                // pkill tailback, killall tailback
                false => process.name.contains("tailback"),
            };
            let victims: Vec<_> = tree(proxy.pid()).into_iter().filter(named).collect();
            kill(proxy.pid(), Signal::SIGKILL).unwrap();
            for victim in &victims {
                let _ = kill(victim.pid, Signal::SIGKILL);
            }
            proxy.wait();
            nothing_left(&model);
        }
    });
}

#[test]
fn nothing_is_left_when_the_proxys_group_is_killed() {
    both(|start| {
        let model = unique();
        let wrapped = manifests(&model, "replicas: 1");
        let mut proxy = start(&wrapped);
        ready(&proxy, &model);
        let group = getpgid(Some(proxy.pid())).unwrap();
        if group == getpgid(None).unwrap() {
            // Ours too: what it has of the proxy's.
            for process in tree(proxy.pid()) {
                if getpgid(Some(process.pid)) == Ok(group) {
                    kill(process.pid, Signal::SIGKILL).unwrap();
                }
            }
            kill(proxy.pid(), Signal::SIGKILL).unwrap();
        } else {
            killpg(group, Signal::SIGKILL).unwrap();
        }
        proxy.wait();
        nothing_left(&model);
    });
}

#[test]
fn what_outlived_the_proxy_and_both_supervisors_is_ended_by_the_next_proxy() {
    both(|start| {
        let (model, next) = (unique(), unique());
        let mut proxy = start(&manifests(&model, "replicas: 1"));
        ready(&proxy, &model);
        let victims = [&[proxy.pid()], &supervisors(&proxy)[..]].concat();
        for victim in &victims {
            kill(*victim, Signal::SIGSTOP).unwrap();
        }
        for victim in &victims {
            kill(*victim, Signal::SIGKILL).unwrap();
        }
        proxy.wait();
        // The command itself is killed by the kernel.
        eventually("the end of the command", || running(&model) <= CHILDREN);
        let cleared = processes_with(&model);
        let second = start(&manifests(&next, "replicas: 1"));
        ready(&second, &next);
        eventually("the end of what could be found", || {
            // Without a group, a process that emptied its environment has no mark.
            processes_with(&model).len() <= 1
        });
        let left = processes_with(&model);
        let in_group = second
            .log()
            .contains("a control group (cgroup v2) of its own");
        assert!(!in_group || left.is_empty(), "{left:?} of {cleared:?}");
        for pid in left {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let text = String::from_utf8_lossy(&environment).into_owned();
            assert!(!text.contains("_TAILBACK"), "{text}");
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    });
}

#[test]
fn groups_go_with_their_replicas() {
    let model = unique();
    let mut proxy = Tailback::start(&manifests(&model, "replicas: 1"), &[]);
    ready(&proxy, &model);
    let groups = || {
        let found = Command::new("find")
            .args(["/sys/fs/cgroup", "-name"])
            .arg(format!("tailback-replica-*.{}.*", proxy.pid()))
            .output()
            .unwrap();
        String::from_utf8_lossy(&found.stdout).lines().count()
    };
    let in_groups = proxy
        .log()
        .contains("a control group (cgroup v2) of its own");
    assert_eq!(groups(), usize::from(in_groups), "one for the replica");
    proxy.signal(Signal::SIGTERM);
    eventually("its group's end", || groups() == 0);
    proxy.wait();
    nothing_left(&model);
}

#[test]
fn as_the_first_process_of_a_container_it_leaves_no_zombies() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: only root can make a pid namespace here");
        return;
    }
    let model = unique();
    let proxy = Tailback::start_under(
        &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"],
        &manifests(&model, "replicas: 1"),
    );
    ready(&proxy, &model);
    let first = tree(proxy.pid())[0].pid;
    let namespace = |pid: Pid| fs::metadata(format!("/proc/{pid}/ns/pid")).map(|ns| ns.ino());
    // As `kubectl exec` does: its orphans become the first process's children.
    let entered = Command::new("nsenter")
        .args(["--target", &first.to_string(), "--pid", "--mount"])
        .args(["sh", "-c", "(sleep 0.3 &) ; exit 0"])
        .status()
        .unwrap();
    assert!(entered.success());
    let servers = processes_with(&format!("--model\0{model}"));
    kill(Pid::from_raw(servers[0]), Signal::SIGKILL).unwrap();
    eventually("another replica", || {
        let now = processes_with(&format!("--model\0{model}"));
        now.len() == 1 && now != servers
    });
    thread::sleep(Duration::from_millis(500));
    eventually("no zombie in its namespace", || {
        let zombie = |process: &Process| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid));
            stat.is_ok_and(|stat| stat.contains(") Z "))
        };
        !tree(first).iter().any(zombie)
    });
    assert!(namespace(first).unwrap() != namespace(Pid::this()).unwrap());
    drop(proxy);
    nothing_left(&model);
}
