//! Models whose files Tailback fetches: from a folder, and from servers that speak the APIs of S3, of Google
//! Cloud Storage and of Azure Blob Storage.

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
        &["make", source.to_str().unwrap(), "4"],
    ));
    fs::copy(source.join("settings.json"), models.join("settings.json")).unwrap();
    // Whatever the files say, the model is known by the name that it has here.
    let settings = source.join("m-1/model-settings.json");
    let named = fs::read_to_string(&settings)
        .unwrap()
        .replace("m-1", "iris");
    fs::write(&settings, named).unwrap();

    let [s3, gcs, azure] = ["s3_server.py", "gcs_server.py", "azure_server.py"]
        .map(|server| Running::start(script(server, &["models", source.to_str().unwrap()])));
    let (s3, gcs, azure) = (s3.line(), gcs.line(), azure.line());
    let [s3, gcs] = [s3, gcs].map(|address| format!("http://{address}"));
    let azure: Vec<_> = azure.split(' ').collect();
    let blobs = format!("http://{}/{}", azure[0], azure[1]);
    let first = model("m-1", &format!("file://{}", source.join("m-1").display()));
    let second = model("m-2", "s3://models/m-2");
    let others = model("m-3", "gs://models/m-3") + &model("m-4", "az://models/m-4");
    let none = model("none", "s3://models/nothing-here");
    let proxy = Tailback::start(
        &(server(&models) + &first + &second + &others + &none),
        &[
            ("AWS_ENDPOINT", &s3),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("GOOGLE_BASE_URL", &gcs),
            ("GOOGLE_ALLOW_HTTP", "true"),
            ("GOOGLE_SKIP_SIGNATURE", "true"),
            ("AZURE_STORAGE_ENDPOINT", &blobs),
            ("AZURE_ALLOW_HTTP", "true"),
            ("AZURE_STORAGE_ACCOUNT_NAME", azure[1]),
            ("AZURE_STORAGE_ACCOUNT_KEY", azure[2]),
        ],
    );
    let patience = std::time::Duration::from_secs(90);
    eventually_within(patience, "the models of all stores", || {
        ["m-1", "m-2", "m-3", "m-4"]
            .iter()
            .all(|name| state(&proxy, name) == "available")
    });
    run(script(
        "many_models.py",
        &["call", &proxy.address.to_string(), "4", "2", "2"],
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
