//! Static endpoints by name that are looked up again and again. The names are in a hosts file of the
//! proxy's own, which needs a mount namespace.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use tailback_tests::{
    eventually,
    http::{Client, request},
    process::Tailback,
    upstream::Upstream,
};

const FIRST: &str = "127.0.0.2";
const SECOND: &str = "127.0.0.3";

/// Two servers on one port of two addresses.
fn pair() -> (Upstream, Upstream, u16) {
    let first = Upstream::at(SocketAddr::new(FIRST.parse().unwrap(), 0));
    let port = first.address.port();
    let second = Upstream::at(SocketAddr::new(SECOND.parse().unwrap(), port));
    (first, second, port)
}

/// Replaces the addresses of the name, in place: the file is mounted.
fn set(hosts: &Path, addresses: &[&str]) {
    let mut lines = String::from("127.0.0.1 localhost\n");
    for address in addresses {
        lines += &format!("{address} models.test\n");
    }
    fs::write(hosts, lines).unwrap();
}

fn endpoints(proxy: &Tailback) -> Vec<String> {
    let model = proxy.model("m");
    let ready = model["replicas"]["ready"].as_array().unwrap().clone();
    let mut all: Vec<_> = ready
        .iter()
        .map(|replica| replica["endpoint"].as_str().unwrap().to_owned())
        .collect();
    all.sort();
    all
}

#[test]
fn each_address_of_a_name_is_a_replica_and_one_that_goes_finishes_what_it_has() {
    let probe = Command::new("unshare").args(["-m", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped: a hosts file of the proxy's own needs a mount namespace, which only root may make"
        );
        return;
    }
    let (first, second, port) = pair();
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    set(&hosts, &[FIRST]);
    let api = "apiVersion: tailback.dev/v1alpha1";
    let manifests = format!(
        "{api}\nkind: Server\nmetadata: {{ name: up }}\n\
         spec: {{ hostHeader: upstream, static: {{ endpoints: [\"http://models.test:{port}\"], \
         resolveSeconds: 0.2 }} }}\n---\n\
         {api}\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: up }}\n"
    );
    // Names that are not there are not looked for elsewhere.
    let files = folder.path().join("nsswitch.conf");
    fs::write(&files, "hosts: files\n").unwrap();
    let mount = format!(
        "mount --bind {} /etc/hosts && {{ [ ! -e /etc/nsswitch.conf ] || mount --bind {} /etc/nsswitch.conf; }} && exec \"$@\"",
        hosts.display(),
        files.display()
    );
    let proxy = Tailback::start_under(&["unshare", "-m", "sh", "-c", &mount, "sh"], &manifests);
    let one = format!("{FIRST}:{port}");
    let other = format!("{SECOND}:{port}");
    eventually("the first address", || endpoints(&proxy) == [&*one]);
    let mut client = Client::connect(proxy.address).unwrap();
    let call = |client: &mut Client, path: &str| {
        let path = format!("/v2/models/m/{path}");
        client.call("POST", &path, &[], b"x").unwrap().status
    };
    assert_eq!(call(&mut client, "ok"), 200);
    // It is reached by its address, and told its name.
    let host = format!("host: models.test:{port}\r\n");
    assert!(first.heads()[0].contains(&host), "{:?}", first.heads());

    set(&hosts, &[FIRST, SECOND]);
    eventually("both addresses", || endpoints(&proxy) == [&*one, &*other]);
    eventually("the second one to be asked", || {
        assert_eq!(call(&mut client, "ok"), 200);
        !second.heads().is_empty()
    });

    // Ten that take a second each are on their way, to both.
    let slow: Vec<_> = (0..10)
        .map(|_| {
            let mut slow = Client::connect(proxy.address).unwrap();
            let late = request("POST", "/v2/models/m/late", &[], b"x");
            slow.send(late).unwrap();
            slow
        })
        .collect();
    let late = |upstream: &Upstream| {
        let heads = upstream.heads();
        heads.iter().filter(|head| head.contains("/late")).count()
    };
    eventually("all to be asked", || late(&first) + late(&second) == 10);
    assert!(late(&first) > 0, "none went to the one that will go");
    set(&hosts, &[SECOND]);
    eventually("the second address alone", || {
        endpoints(&proxy) == [&*other]
    });
    let before = first.heads().len();
    for _ in 0..20 {
        assert_eq!(call(&mut client, "ok"), 200);
    }
    assert_eq!(
        first.heads().len(),
        before,
        "the one that has gone gets no more"
    );
    for mut slow in slow {
        assert_eq!(slow.receive().unwrap().status, 200, "none is cut off");
    }

    // A name that is not there any more keeps its last address, and says so.
    set(&hosts, &[]);
    eventually("a warning", || {
        proxy.log().contains("models.test cannot be looked up")
    });
    assert!(proxy.failure("m").contains("models.test"));
    assert_eq!(call(&mut client, "ok"), 200);
}
