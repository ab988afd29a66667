//! CORS: which pages of other origins may call, and the response headers for their browsers.

use tailback_tests::{
    eventually,
    http::{Client, Response},
    process::Tailback,
    upstream::Upstream,
};

const PAGE: (&str, &str) = ("origin", "https://chat.example.org");

fn ask(address: std::net::SocketAddr, origin: (&str, &str)) -> Response {
    let fields = [
        origin,
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,x-stainless-os",
        ),
    ];
    let mut client = Client::connect(address).unwrap();
    client
        .send(tailback_tests::http::request(
            "OPTIONS",
            "/v1/chat/completions",
            &fields,
            b"",
        ))
        .unwrap();
    client.receive_head().unwrap()
}

fn call(proxy: &Tailback, origin: (&str, &str), path: &str) -> Response {
    let mut client = Client::connect(proxy.address).unwrap();
    client
        .call("POST", path, &[origin], br#"{"model":"m"}"#)
        .unwrap()
}

#[test]
fn pages_of_the_origins_that_are_set_may_call_and_others_may_not() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(
        &upstream.manifest(&["m"]),
        &[
            (
                "TAILBACK_CORS_ORIGINS",
                "http://localhost:3000, https://chat.example.org",
            ),
            ("TAILBACK_CORS_METHODS", "GET, POST"),
            ("TAILBACK_CORS_MAX_AGE_SECONDS", "60"),
        ],
    );
    let told = ask(proxy.address, PAGE);
    assert_eq!(told.status, 204);
    for (field, value) in [
        ("access-control-allow-origin", PAGE.1),
        ("access-control-allow-methods", "GET, POST"),
        (
            "access-control-allow-headers",
            "authorization,x-stainless-os",
        ),
        ("access-control-max-age", "60"),
    ] {
        assert_eq!(told.header(field), Some(value), "{told:?}");
    }
    // The answer itself, also one of the proxy's own.
    for (path, status) in [("/v1/echo", 200), ("/v2/models/no/infer", 404)] {
        let answer = call(&proxy, PAGE, path);
        assert_eq!(answer.status, status);
        let origin = answer.header("access-control-allow-origin");
        assert_eq!(origin, Some(PAGE.1), "{path}");
        assert_eq!(answer.header("vary"), Some("origin"), "{path}");
    }
    // Pages of other origins get no CORS headers, so that browsers hide the response from them.
    for origin in [
        "https://evil.example",
        "null",
        "https://chat.example.org.evil",
    ] {
        let told = ask(proxy.address, ("origin", origin));
        assert_eq!(told.header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(
            told.header("access-control-allow-methods"),
            None,
            "{origin}"
        );
        let answer = call(&proxy, ("origin", origin), "/v1/echo");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // Nothing of it reached the replica but the calls, and the admin pages are none of theirs.
    assert!(
        upstream
            .heads()
            .iter()
            .all(|head| !head.starts_with("OPTIONS"))
    );
    let admin = ask(proxy.admin, PAGE);
    assert_eq!(admin.header("access-control-allow-origin"), None);
    eventually("the end of all", || proxy.model("m")["inFlight"] == 0);
    assert_eq!(proxy.model("m")["arrived"], 4);
}

#[test]
fn without_the_setting_no_page_may_call() {
    let upstream = Upstream::start();
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &[]);
    let told = ask(proxy.address, PAGE);
    assert_eq!(
        (told.status, told.header("access-control-allow-origin")),
        (204, None)
    );
    let all = [
        ("TAILBACK_CORS_ORIGINS", "*"),
        ("TAILBACK_CORS_HEADERS", "authorization"),
    ];
    let proxy = Tailback::start(&upstream.manifest(&["m"]), &all);
    let told = ask(proxy.address, PAGE);
    assert_eq!(told.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        told.header("access-control-allow-headers"),
        Some("authorization")
    );
    let answer = call(&proxy, PAGE, "/v1/echo");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    eventually("the end of all", || proxy.model("m")["inFlight"] == 0);
}
