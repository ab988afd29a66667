//! TLS: to callers and to replicas, with certificates made here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tailback_tests::{
    collector::{Collector, Protocol},
    eventually,
    http::call,
    process::Tailback,
    python::{Running, run, script},
    upstream::Upstream,
};
use tempfile::TempDir;

/// A certificate authority and what it has signed, as files.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }

    /// Makes `{name}.pem` and `{name}.key`, for `localhost`.
    fn sign(&self, name: &str, serial: &str) {
        let (key, request, pem) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.pem"),
        );
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        fs::write(
            self.path("extensions"),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
        )
        .unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-days",
            "2",
            "-set_serial",
            serial,
            "-extfile",
            "extensions",
            "-out",
            &pem,
        ]);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

fn serving(upstream: &Upstream, authority: &Authority, more: &[(&str, &str)]) -> Tailback {
    let (cert, key) = (authority.text("server.pem"), authority.text("server.key"));
    let mut variables = vec![("TAILBACK_TLS_CERT", &*cert), ("TAILBACK_TLS_KEY", &*key)];
    variables.extend(more);
    Tailback::start(&upstream.manifest(&["m"]), &variables)
}

fn check(proxy: &Tailback, authority: &Authority, what: &str) {
    let (address, folder) = (
        proxy.address.to_string(),
        authority.0.path().to_str().unwrap(),
    );
    run(script("tls_client.py", &[&address, folder, what]));
}

#[test]
fn callers_are_served_by_tls_in_either_version_of_http() {
    let (upstream, authority) = (Upstream::start(), Authority::new());
    authority.sign("server", "1");
    let proxy = serving(&upstream, &authority, &[]);
    check(&proxy, &authority, "http1");
    check(&proxy, &authority, "h2");
    check(&proxy, &authority, "tls1.2");
    check(&proxy, &authority, "clear");
    let head = upstream.heads()[0].to_lowercase();
    assert!(head.contains("x-forwarded-proto: https\r\n"), "{head}");
    eventually("the end of all", || proxy.model("m")["inFlight"] == 0);

    let only = [("TAILBACK_TLS_MIN_VERSION", "1.3")];
    let proxy = serving(&upstream, &authority, &only);
    check(&proxy, &authority, "http1");
    check(&proxy, &authority, "no-tls1.2");
}

#[test]
fn certificate_is_replaced_without_a_restart_unless_it_is_wrong() {
    let (upstream, authority) = (Upstream::start(), Authority::new());
    authority.sign("server", "1");
    let proxy = serving(&upstream, &authority, &[]);
    check(&proxy, &authority, "serial=1");
    fs::write(authority.path("server.pem"), "nonsense").unwrap();
    eventually("the complaint", || proxy.log().contains("stay in use"));
    check(&proxy, &authority, "serial=1");
    authority.sign("server", "2");
    eventually("the new one", || {
        proxy.log().contains("certificate reloaded")
    });
    check(&proxy, &authority, "serial=2");
}

#[test]
fn callers_without_a_certificate_are_refused_where_one_is_asked_for() {
    let (upstream, authority) = (Upstream::start(), Authority::new());
    authority.sign("server", "1");
    authority.sign("client", "2");
    let ca = authority.text("ca.pem");
    let proxy = serving(&upstream, &authority, &[("TAILBACK_TLS_CLIENT_CA", &ca)]);
    check(&proxy, &authority, "client-certificate");
    check(&proxy, &authority, "no-client-certificate");
    eventually("the end of all", || proxy.model("m")["inFlight"] == 0);
    assert_eq!(proxy.model("m")["arrived"], 1);
}

#[test]
fn a_callers_certificate_stands_for_an_api_key() {
    let (upstream, authority) = (Upstream::start(), Authority::new());
    authority.sign("server", "1");
    authority.sign("client", "2");
    let output = Command::new("openssl")
        .args([
            "x509",
            "-noout",
            "-fingerprint",
            "-sha256",
            "-in",
            "client.pem",
        ])
        .current_dir(authority.0.path())
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let fingerprint = output.trim().split_once('=').unwrap().1;
    let keys = |fingerprint: &str| {
        let text = format!(
            "apiVersion: tailback.dev/v1alpha1\nkind: ApiKey\nmetadata: {{ name: client }}\n\
             spec: {{ certificateSha256: '{fingerprint}', models: [m] }}\n"
        );
        fs::write(authority.path("keys.yaml"), text).unwrap();
    };
    keys(fingerprint);
    let (ca, file) = (authority.text("ca.pem"), authority.text("keys.yaml"));
    let proxy = serving(
        &upstream,
        &authority,
        &[
            ("TAILBACK_TLS_CLIENT_CA", &ca),
            ("TAILBACK_API_KEYS_FILE", &file),
        ],
    );
    check(&proxy, &authority, "client-certificate");
    let served = r#"tailback_key_requests_total{key="client",outcome="success"}"#;
    eventually("its count", || proxy.metric(served) > 0.0);
    // Another fingerprint: the certificate is trusted, and is no key.
    keys(&"00".repeat(32));
    eventually("the new file", || {
        proxy.log().contains("has changed: 1 API keys")
    });
    check(&proxy, &authority, "unknown-certificate");
    assert_eq!(proxy.model("m")["arrived"], 1);
}

#[test]
fn replicas_are_reached_by_tls_if_their_certificate_is_trusted() {
    let (upstream, authority) = (Upstream::start(), Authority::new());
    authority.sign("server", "1");
    // A proxy before the proxy: the replica that speaks TLS.
    let replica = serving(&upstream, &authority, &[]);
    let port = replica.address.port();
    let manifest = |tls: &str, protocol: &str| {
        format!(
            "apiVersion: tailback.dev/v1alpha1\nkind: Server\nmetadata: {{ name: up }}\nspec:\n  \
             protocol: {protocol}\n  static: {{ endpoints: ['https://127.0.0.1:{port}'], tls: {tls} }}\n---\n\
             apiVersion: tailback.dev/v1alpha1\nkind: Model\nmetadata: {{ name: m }}\nspec: {{ server: up }}\n"
        )
    };
    let ca = authority.text("ca.pem");
    let trusted = format!("{{ ca: {ca} }}");
    let named = format!("{{ ca: {ca}, serverName: localhost }}");
    let wrong = format!("{{ ca: {ca}, serverName: example.org }}");
    for (tls, protocol, status, forwarded) in [
        (&*trusted, "auto", 200, "via: 2 tailback"),
        (&*named, "h2", 200, "via: 2 tailback"),
        (&*trusted, "http1", 200, "via: 1.1 tailback"),
        (&*wrong, "auto", 502, ""),
        ("{}", "auto", 502, ""),
    ] {
        let proxy = Tailback::start(&manifest(tls, protocol), &[]);
        let path = "/v2/models/m/infer/echo";
        let answer = tailback_tests::http::call(proxy.address, "POST", path, b"hi").unwrap();
        assert_eq!(answer.status, status, "{tls} {protocol}: {}", answer.text());
        if status == 200 {
            assert_eq!(answer.text(), "hi");
            let head = upstream.heads().pop().unwrap().to_lowercase();
            // What the second proxy got, and from whom.
            assert!(head.contains(forwarded), "{protocol}: {head}");
        }
        eventually("its end", || proxy.model("m")["inFlight"] == 0);
    }
}

#[test]
fn wrong_files_are_named_at_the_start() {
    let (upstream, authority) = (Upstream::start(), Authority::new());
    authority.sign("server", "1");
    authority.sign("other", "2");
    let start = |cert: &Path, key: &Path| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.yaml");
        fs::write(&file, upstream.manifest(&["m"])).unwrap();
        let output = tailback_tests::process::tailback()
            .arg("serve")
            .arg(&file)
            .envs([
                ("TAILBACK_LISTEN", "127.0.0.1:0"),
                ("TAILBACK_ADMIN", "127.0.0.1:0"),
            ])
            .envs([("TAILBACK_TLS_CERT", cert), ("TAILBACK_TLS_KEY", key)])
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let (cert, key) = (authority.path("server.pem"), authority.path("server.key"));
    let said = start(&cert, &authority.path("other.key"));
    assert!(said.contains("cannot be used together"), "{said}");
    let said = start(&cert, &authority.path("none"));
    assert!(said.contains("TAILBACK_TLS_KEY: cannot read"), "{said}");
    let said = start(&key, &key);
    assert!(said.contains("no certificate in it"), "{said}");
}

#[test]
fn traces_go_by_tls_to_a_collector_whose_own_authority_is_named() {
    let authority = Authority::new();
    authority.sign("collector", "1");
    for (protocol, name, alpn) in [
        (Protocol::Grpc, "grpc", "h2"),
        (Protocol::Http, "http/protobuf", "http/1.1"),
    ] {
        let (collector, upstream) = (Collector::start(protocol), Upstream::start());
        let (cert, key) = (
            authority.text("collector.pem"),
            authority.text("collector.key"),
        );
        let target = collector.address.to_string();
        let relay = Running::start(script("tls_relay.py", &[&cert, &key, &target, alpn]));
        let endpoint = format!("https://localhost:{}", relay.line());
        let ca = authority.text("ca.pem");
        let mut variables = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", name),
            ("OTEL_BSP_SCHEDULE_DELAY", "1"),
        ];
        let ask = |proxy: &Tailback| {
            let answer = call(proxy.address, "POST", "/v2/models/m/infer", b"x").unwrap();
            assert_eq!(answer.status, 200);
        };
        let stranger = Tailback::start(&upstream.manifest(&["m"]), &variables);
        ask(&stranger);
        eventually("that its certificate is not trusted", || {
            stranger.log().contains("cannot export traces")
        });
        assert!(collector.spans().is_empty());
        variables.push(("OTEL_EXPORTER_OTLP_CERTIFICATE", &*ca));
        let proxy = Tailback::start(&upstream.manifest(&["m"]), &variables);
        ask(&proxy);
        eventually("the spans", || !collector.spans().is_empty());
    }
}
