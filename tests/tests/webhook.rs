//! Replicas that an HTTP API runs: the requests to it, and the effect of its responses.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tailback_tests::{
    api::{Api, answer},
    eventually,
    http::{call, hang},
    process::{Tailback, tailback},
    python::{program, root},
    upstream::Upstream,
};

const BODY: &[u8] = include_bytes!("../../examples/infer.json");
const SECRET: &[(&str, &str)] = &[
    ("API_TOKEN", "s3cret-s3cret"),
    ("SELDON_SCALING_STATS_PERIOD_SECONDS", "0.2"),
    ("TAILBACK_LOG", "debug"),
];

/// A server scaled by `api`, with what `more` adds to its webhook, and the
/// model `m` on it.
fn manifests(api: SocketAddr, more: &str, model: &str) -> String {
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: api }}
spec:
  concurrency: 2
  maxReplicas: 5
  webhook:
    scale:
      method: PUT
      url: http://{api}/jobs/{{model}}
      headers: {{ X-Token: \"${{API_TOKEN}}\", X-Count: \"{{replicas}}\" }}
      body: {{ Count: \"{{replicas}}\", Target: [\"{{model}}\", 1, null] }}
      timeoutSeconds: 1
    {more}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m }}
spec: {{ server: api, {model} }}
"
    )
}

fn state(api: SocketAddr, pointers: &str) -> String {
    format!("state: {{ url: 'http://{api}/state/{{model}}', {pointers}, periodSeconds: 0.1 }}")
}

fn outcomes(proxy: &Tailback) -> Vec<String> {
    let page = proxy.page("/decisions");
    let all = page["decisions"].as_array().unwrap();
    all.iter().map(|d| d["outcome"].to_string()).collect()
}

#[test]
fn without_state_what_was_taken_is_there() {
    let (api, upstream) = (Api::start("{}"), Upstream::start());
    let fixed = format!("endpoints: ['http://{}']", upstream.address);
    let manifests = manifests(
        api.address,
        &fixed,
        "minReplicas: 0, scaling: { lagThreshold: 2 }",
    );
    let proxy = Tailback::start(&manifests, SECRET);
    eventually("the configured count", || api.requests("PUT").len() == 1);
    let first = &api.requests("PUT")[0];
    assert_eq!(first.line, "PUT /jobs/m");
    assert_eq!(first.body, r#"{"Count":0,"Target":["m",1,null]}"#);
    assert!(
        first.head.contains("x-token: s3cret-s3cret\r\n"),
        "{}",
        first.head
    );
    assert!(first.head.contains("x-count: 0\r\n"), "{}", first.head);
    assert!(first.head.contains("content-type: application/json\r\n"));
    assert_eq!(proxy.ready("m"), 0);

    // Held at zero, and served as soon as the API has taken the count.
    let answer = call(proxy.address, "GET", "/v2/models/m/ok", b"").unwrap();
    assert_eq!((answer.status, &*answer.text()), (200, "hello"));
    let last = api.requests("PUT").pop().unwrap();
    assert!(!last.body.contains("\"Count\":0"), "{}", last.body);

    // One gateway stands for all: it gets as many at once as there are replicas times two.
    let callers: Vec<_> = (0..5).map(|_| hang(proxy.address)).collect();
    eventually("five at the gateway", || {
        let ready = &proxy.model("m")["replicas"]["ready"];
        ready[0]["inFlight"] == 5 && proxy.model("m")["held"] == 0
    });
    let replicas = proxy.model("m")["replicas"].clone();
    let desired = replicas["desired"].as_u64().unwrap();
    assert!(
        desired >= 3 && replicas["readyCount"].as_u64() == Some(desired),
        "{replicas}"
    );
    assert_eq!(
        proxy.metric("tailback_model_replicas{model=\"m\",state=\"ready\"}"),
        desired as f64
    );
    drop(callers);
    assert!(!proxy.log().contains("s3cret"), "{}", proxy.log());
}

#[test]
fn what_the_api_says_is_taken_over_and_its_addresses_keep_their_requests() {
    let (a, b) = (Upstream::start(), Upstream::start());
    let told = |upstreams: &[&Upstream], want: u32| {
        let all: Vec<_> = upstreams
            .iter()
            .map(|u| format!("\"{}\"", u.address))
            .collect();
        format!("{{\"want\": {want}, \"at\": [{}]}}", all.join(","))
    };
    let api = Api::start(&told(&[&a], 2));
    let state = state(api.address, "desired: /want, endpoints: /at");
    let manifests = manifests(api.address, &state, "minReplicas: 1");
    let proxy = Tailback::start(&manifests, SECRET);
    eventually("what there is", || {
        let replicas = &proxy.model("m")["replicas"];
        (&replicas["desired"], &replicas["starting"]) == (&2.into(), &1.into())
    });
    assert!(
        api.requests("PUT").is_empty(),
        "nothing is asked for that is there"
    );
    let _first = hang(proxy.address);
    eventually("a request at a", || {
        proxy.model("m")["replicas"]["ready"][0]["inFlight"] == 1
    });
    api.set_state(&told(&[&b, &a], 2));
    eventually("the second", || proxy.ready("m") == 2);
    let ready = proxy.model("m")["replicas"]["ready"].clone();
    assert_eq!(
        (&ready[0]["inFlight"], &ready[1]["inFlight"]),
        (&0.into(), &1.into())
    );
    assert!(
        !proxy.model("m")["replicas"]["startUpSeconds"].is_number(),
        "we asked for none"
    );

    // A failed poll changes nothing, and its reason is shown.
    api.set_state("gone");
    eventually("the reason", || {
        let failure = proxy.model("m")["replicas"]["failure"].to_string();
        failure.contains("not JSON") && failure.contains("/state/m")
    });
    assert_eq!(proxy.ready("m"), 2);
    assert_eq!(
        call(proxy.address, "GET", "/v2/models/m/ok", b"")
            .unwrap()
            .status,
        200
    );
    api.set_state(&told(&[&b], 1));
    eventually("one again", || {
        proxy.ready("m") == 1 && proxy.model("m")["replicas"]["failure"].is_null()
    });
}

#[test]
fn a_request_that_fails_is_sent_again_and_one_that_is_refused_is_not() {
    let api = Api::start(r#"{"want": 0, "up": 0}"#);
    let upstream = Upstream::start();
    let more = format!(
        "{}\n    endpoints: ['http://{}']",
        state(api.address, "desired: /want, ready: /up"),
        upstream.address
    );
    api.prepare(
        "PUT",
        &answer("503 Service Unavailable", "retry-after: 1\r\n", "busy"),
    );
    api.prepare("PUT", &answer("409 Conflict", "", "other s3cret-s3cret"));
    api.prepare("PUT", ""); // closes the connection
    let proxy = Tailback::start(&manifests(api.address, &more, "minReplicas: 0"), SECRET);
    eventually("the state", || proxy.model("m")["replicas"]["desired"] == 0);
    let start = std::time::Instant::now();
    let address = proxy.address;
    let caller = thread::spawn(move || call(address, "GET", "/v2/models/m/ok", b""));
    eventually("the third failure's successor", || {
        api.requests("PUT").len() >= 4
    });
    assert!(
        start.elapsed().as_secs_f64() > 1.0,
        "Retry-After is kept to"
    );
    eventually("it is taken", || {
        outcomes(&proxy)
            .first()
            .is_some_and(|last| last.contains("accepted"))
    });
    api.set_state(r#"{"want": 1, "up": 1}"#);
    assert_eq!(caller.join().unwrap().unwrap().status, 200);
    let said = outcomes(&proxy).join("\n");
    assert!(
        said.contains("503") && said.contains("next try in 1 s"),
        "{said}"
    );
    assert!(said.contains("other ${API_TOKEN}"), "{said}");
    eventually("it is shown", || proxy.ready("m") == 1);
    assert!(proxy.model("m")["replicas"]["startUpSeconds"].is_number());
    assert!(!proxy.log().contains("s3cret") && !said.contains("s3cret"));

    // A refused request is not retried soon.
    let count = api.requests("PUT").len();
    api.prepare(
        "PUT",
        &answer("307 Temporary Redirect", "location: /other\r\n", ""),
    );
    let other = "minReplicas: 2, maxReplicas: 3";
    proxy.rewrite(&manifests(api.address, &more, other));
    eventually("the new count", || api.requests("PUT").len() == count + 1);
    eventually("the reason", || {
        proxy.log().contains("redirects are not followed")
    });
    let looks = api.requests("GET").len();
    eventually("more looks", || api.requests("GET").len() > looks + 5);
    assert_eq!(api.requests("PUT").len(), count + 1);
    assert!(api.requests("PUT").iter().all(|r| r.line == "PUT /jobs/m"));
}

#[test]
fn an_api_that_does_not_answer_in_time_is_asked_again() {
    let (api, upstream) = (Api::start("{}"), Upstream::start());
    api.prepare("PUT", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"); // and no more
    let fixed = format!("endpoints: ['http://{}']", upstream.address);
    let proxy = Tailback::start(&manifests(api.address, &fixed, "replicas: 1"), SECRET);
    eventually("a second request", || api.requests("PUT").len() == 2);
    eventually("a replica", || proxy.ready("m") == 1);
}

#[test]
fn config_shows_no_secret_and_names_a_variable_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("m.yaml");
    let text = manifests(
        "127.0.0.1:1".parse().unwrap(),
        "endpoints: ['http://a']",
        "",
    );
    std::fs::write(&file, text.replace(", }", " }")).unwrap();
    let check = |variables: &[(&str, &str)]| {
        let mut command = tailback();
        command.env_remove("API_TOKEN").arg("config").arg(&file);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (fine, text) = check(&[("API_TOKEN", "s3cret")]);
    assert!(
        fine && text.contains("webhook PUT http://127.0.0.1:1/jobs/{model}"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
    let (fine, text) = check(&[]);
    assert!(!fine && text.contains("API_TOKEN is not set"), "{text}");
}

#[test]
fn the_example_scales_from_zero_and_back() {
    let command = tailback();
    let path = command.get_envs().find(|(name, _)| *name == "PATH");
    let path = path.and_then(|(_, value)| value).unwrap().to_owned();
    let api = Command::new(program("python"))
        .arg(root().join("examples/webhook/api.py"))
        .args(["0", "--service-time-ms", "1"])
        .env("PATH", path)
        .env("API_TOKEN", "s3cret")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut api = Stopped(api);
    let mut address = String::new();
    let mut said = BufReader::new(api.0.stdout.take().unwrap());
    said.read_line(&mut address).unwrap();
    let text = std::fs::read_to_string(root().join("examples/webhook/webhook.yaml")).unwrap();
    let text = text
        .replace("http://127.0.0.1:9100", address.trim())
        .replace(
            "inactiveSeconds: 30, stabilitySeconds: 30",
            "inactiveSeconds: 0.5, stabilitySeconds: 0",
        );
    let variables = [
        ("API_TOKEN", "s3cret"),
        ("SELDON_SCALING_STATS_PERIOD_SECONDS", "0.2"),
    ];
    let proxy = Tailback::start(&text, &variables);
    let path = "/v2/models/tfsimple/infer";
    let answer = call(proxy.address, "POST", path, BODY).unwrap();
    assert_eq!(answer.status, 200, "{}{}", answer.text(), proxy.log());
    let replicas = &proxy.model("tfsimple")["replicas"];
    assert!(replicas["startUpSeconds"].is_number(), "{replicas}");
    // What was found at start is not scaled down by load in the first minute.
    proxy.rewrite(&text.replace("minReplicas: 0", "replicas: 0"));
    eventually("none again", || proxy.ready("tfsimple") == 0);
}

/// A program. Dropping it stops it and waits for its end.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}
