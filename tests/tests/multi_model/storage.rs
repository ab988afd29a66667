//! Models whose files Tailback fetches: from a folder, and from an S3 server.

use std::{fs, path::Path};

use tailback_tests::{
    eventually, eventually_within,
    process::Tailback,
    python::{Running, program, run, script},
};

use super::{infer, state};

/// A model's document, whose files are at `uri`.
fn model(name: &str, uri: &str) -> String {
    format!(
        "---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: {name} }}
spec: {{ server: mlserver, memory: 1Mi, storageUri: '{uri}' }}
"
    )
}

/// A server whose replicas load models from `folder`.
fn server(folder: &Path) -> String {
    let (folder, program) = (folder.display(), program("mlserver"));
    let program = program.display();
    format!(
        "apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: mlserver }}
spec:
  memory: 8Mi
  multiModel: {{ repository: '{folder}' }}
  process:
    command: ['{program}', start, '{folder}']
    env:
      MLSERVER_HTTP_PORT: '{{port}}'
      MLSERVER_GRPC_PORT: '{{grpcPort}}'
      MLSERVER_LOAD_MODELS_AT_STARTUP: 'false'
    ready: /v2/health/ready
"
    )
}

#[test]
fn files_of_models_are_fetched_loaded_by_mlserver_and_removed_again() {
    let folder = tempfile::tempdir().unwrap();
    let [source, models] = ["source", "models"].map(|name| folder.path().join(name));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&models).unwrap();
    run(script(
        "many_models.py",
        &["make", source.to_str().unwrap(), "2"],
    ));
    fs::copy(source.join("settings.json"), models.join("settings.json")).unwrap();
    // Whatever the files say, the model is known by the name that it has here.
    let settings = source.join("m-1/model-settings.json");
    let named = fs::read_to_string(&settings)
        .unwrap()
        .replace("m-1", "iris");
    fs::write(&settings, named).unwrap();

    let s3 = Running::start(script(
        "s3_server.py",
        &["models", source.to_str().unwrap()],
    ));
    let address = format!("http://{}", s3.line());
    let first = model("m-1", &format!("file://{}", source.join("m-1").display()));
    let second = model("m-2", "s3://models/m-2");
    let none = model("none", "s3://models/nothing-here");
    let proxy = Tailback::start(
        &(server(&models) + &first + &second + &none),
        &[
            ("AWS_ENDPOINT", &address),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ],
    );
    let patience = std::time::Duration::from_secs(90);
    eventually_within(patience, "both models", || {
        ["m-1", "m-2"]
            .iter()
            .all(|name| state(&proxy, name) == "available")
    });
    run(script(
        "many_models.py",
        &["call", &proxy.address.to_string(), "2", "2", "2"],
    ));
    let answer = infer(&proxy, "none");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let said = "its files cannot be fetched from s3://models/nothing-here: there is nothing";
    assert!(answer.text().contains(said), "{}", answer.text());
    assert!(models.join("m-1/model.joblib").exists());

    proxy.rewrite(&(server(&models) + &second));
    eventually("the files of what is gone to go", || {
        !models.join("m-1").exists()
    });
    assert!(models.join("m-2/model.joblib").exists());
    assert!(models.join("settings.json").exists());

    let other = format!("file://{}", source.join("m-1").display());
    proxy.rewrite(&(server(&models) + &model("m-2", &other)));
    let record = models.join(".tailback/m-2.json");
    eventually_within(patience, "the other files to be there", || {
        fs::read_to_string(&record).is_ok_and(|text| text.contains(&other))
            && state(&proxy, "m-2") == "available"
    });
    // It answers, if only that it is asked for something else.
    let answer = infer(&proxy, "m-2");
    assert!(answer.status < 500, "{}", answer.text());
}
