//! nginx and HAProxy as second parsers of HTTP/1: in front of a server each, by a socket in a folder.

use std::{
    fs,
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::eventually;

/// One that runs.
#[derive(Debug)]
pub struct SecondParser {
    /// Its name.
    pub name: &'static str,
    folder: tempfile::TempDir,
    child: Child,
}

fn nginx(folder: &str, upstream: SocketAddr) -> String {
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/log;\n\
         events {{ worker_connections 256; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {folder}/body;\n\
         proxy_temp_path {folder}/proxy;\n  fastcgi_temp_path {folder}/f;\n\
         uwsgi_temp_path {folder}/u;\n  scgi_temp_path {folder}/s;\n\
         underscores_in_headers on;\n\
         server {{\n    listen unix:{folder}/socket;\n    location / {{\n\
         proxy_pass http://{upstream};\n      proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\";\n      proxy_ignore_client_abort on;\n    }}\n  }}\n}}\n"
    )
}

fn haproxy(folder: &str, upstream: SocketAddr) -> String {
    format!(
        "defaults\n  mode http\n  timeout client 20s\n  timeout server 20s\n  timeout connect 5s\n\
         frontend f\n  bind unix@{folder}/socket\n  default_backend b\n\
         backend b\n  server s {upstream}\n"
    )
}

impl SecondParser {
    /// Those that are installed, each in front of the server at an address of its own.
    ///
    /// # Panics
    /// If one is installed and does not run.
    #[must_use]
    pub fn installed(nginx_upstream: SocketAddr, haproxy_upstream: SocketAddr) -> Vec<Self> {
        let nginx = Self::start("nginx", nginx, nginx_upstream, |file| {
            vec!["-c".to_owned(), file]
        });
        let haproxy = Self::start("haproxy", haproxy, haproxy_upstream, |file| {
            vec!["-db".to_owned(), "-f".to_owned(), file]
        });
        [nginx, haproxy].into_iter().flatten().collect()
    }

    fn start(
        name: &'static str,
        settings: fn(&str, SocketAddr) -> String,
        upstream: SocketAddr,
        options: fn(String) -> Vec<String>,
    ) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let text = settings(&folder.path().display().to_string(), upstream);
        fs::write(path("settings"), text).expect("written");
        let child = Command::new(name)
            .args(options(path("settings")))
            .stderr(fs::File::create(path("errors")).expect("a file"))
            .stdout(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(why) => {
                eprintln!("skipped: {name}: {why}");
                return None;
            }
        };
        let this = Self {
            name,
            folder,
            child,
        };
        eventually(&format!("{name}: {}", path_text(&this)), || {
            UnixStream::connect(this.socket()).is_ok()
        });
        Some(this)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// A connection to it.
    ///
    /// # Panics
    /// If it does not take any.
    #[must_use]
    pub fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).expect("it listens")
    }
}

fn path_text(parser: &SecondParser) -> String {
    fs::read_to_string(parser.folder.path().join("errors")).unwrap_or_default()
}

impl Drop for SecondParser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
