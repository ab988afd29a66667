//! OpenAI's Realtime API by its own client: a session over WebSocket counts from its beginning to its
//! end.

use tailback_tests::{
    eventually,
    process::Tailback,
    python::{Running, script},
    upstream::static_manifest,
};

#[test]
fn a_session_of_the_openai_client_is_in_flight_until_it_ends() {
    let server = Running::start(script("realtime.py", &["serve"]));
    let port = server.line().replace("port ", "");
    let address = format!("127.0.0.1:{port}").parse().unwrap();
    let manifest = static_manifest("up", address, &["m"])
        .replace("{ server: up }", "{ server: up, upstreamName: org/real }");
    let proxy = Tailback::start(&manifest, &[]);
    let in_flight = || proxy.model("m")["inFlight"].as_u64().unwrap();
    let mut client = Running::start(script("realtime.py", &["talk", &proxy.address.to_string()]));
    assert_eq!(client.line(), "open");
    assert_eq!(in_flight(), 1);
    client.go_on();
    client.end();
    eventually("its end", || in_flight() == 0);
    // A session of each API; what was refused never arrived.
    assert_eq!(proxy.model("m")["arrived"], 2);
    assert_eq!(proxy.outcome("m", "success"), 2);
}
