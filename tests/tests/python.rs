//! Real third-party clients. `make test` installs them into a virtual environment.

use tailback_tests::{
    eventually,
    process::Tailback,
    python::{root, run, script},
};

#[test]
fn triton_client_speaks_to_the_sample_server_through_the_proxy() {
    let proxy = Tailback::start_path(root().join("examples/simple.yaml"), &[]);
    let address = proxy.address.to_string();
    run(script("triton_client.py", &[&address, "tfsimple"]));
    eventually("the end of all", || {
        proxy.model("tfsimple")["inFlight"] == 0
    });
    assert!(proxy.outcome("tfsimple", "success") >= 140);
}
