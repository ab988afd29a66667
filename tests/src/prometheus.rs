//! A Prometheus that scrapes a proxy.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use url::Url;

use crate::{eventually, http::call, process::Tailback};

/// A Prometheus that scrapes `proxy` each second, until it is dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(proxy: &Tailback) -> Self {
        let folder = tempfile::tempdir().expect("Prometheus");
        let file = folder.path().join("prometheus.yml");
        let configuration = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: tailback\n    static_configs:\n      \
             - {{ targets: ['{}'], labels: {{ namespace: test }} }}\n",
            proxy.admin
        );
        fs::write(&file, configuration).expect("Prometheus");
        // Free a moment ago: another one is taken if somebody was faster.
        for _ in 0..5 {
            let address = free_address();
            let mut child = Command::new("prometheus")
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().display()))
                .arg(format!("--web.listen-address={address}"))
                .arg("--enable-feature=exemplar-storage")
                .stderr(Stdio::null())
                .spawn()
                .expect("Prometheus");
            let mut ready = false;
            eventually("Prometheus, or its end", || {
                ready =
                    call(address, "GET", "/-/ready", b"").is_ok_and(|answer| answer.status == 200);
                ready || child.try_wait().expect("Prometheus").is_some()
            });
            if ready {
                return Self {
                    child,
                    address,
                    _folder: folder,
                };
            }
        }
        panic!("no port for Prometheus");
    }

    /// How many series a query returns.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn series(&self, query: &str) -> usize {
        let data = self.ask("query", &[("query", query)]);
        data["result"].as_array().expect("a list").len()
    }

    /// The exemplars of the series that a query names, up to now.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn exemplars(&self, query: &str) -> Vec<Value> {
        let fields = [("query", query), ("start", "0"), ("end", "9999999999")];
        let data = self.ask("query_exemplars", &fields);
        let series = data.as_array().expect("a list").iter();
        let exemplars = series.filter_map(|own| own["exemplars"].as_array());
        exemplars.flatten().cloned().collect()
    }

    fn ask(&self, what: &str, fields: &[(&str, &str)]) -> Value {
        let url = format!("http://x/api/v1/{what}");
        let url = Url::parse_with_params(&url, fields).expect("a URL");
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let answer = call(self.address, "GET", &path, b"").expect("an answer");
        let mut page: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(page["status"], "success", "{page}");
        page["data"].take()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("Prometheus");
    listener.local_addr().expect("Prometheus")
}
