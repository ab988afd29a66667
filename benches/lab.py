"""Peers to measure beside Tailback: each a proxy of one worker on a core of its
own, before the same upstream, that adds the same header fields. Used by the
scripts beside this file."""

import contextlib
import glob
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

LARGE = 16 * 1024 * 1024
"""Bytes of a large body."""
SMALL = '{"inputs":[{"name":"INPUT0","shape":[1,16],"datatype":"INT32","data":[%s]}]}' % ",".join(["1"] * 16)
SMALL += " " * (340 - len(SMALL))
"""A small one: an inference of 340 bytes."""
HUGE = 1024 * 1024 * 1024
"""Bytes of a huge one."""

CORES = sorted(os.sched_getaffinity(0))
PROXY_CORE, LOAD_CORE = CORES[-1], CORES[0]
"""A proxy has a core to itself; the upstream and the load generator share another."""

UPSTREAM = """
daemon off; worker_processes 1; pid {folder}/upstream.pid; error_log {folder}/upstream.log crit;
events {{ worker_connections 9000; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 0; sendfile on; tcp_nodelay on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp;
  server {{
    listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.2:{port} backlog=4096; root {folder};
    location / {{ default_type application/json; return 200 "{response}"; }}
    location = /v2/repository/index {{ default_type application/json; return 200 '[{{"name":"m","state":"READY"}}]'; }}
    location /v2/models/m/large {{ try_files /large =404; }}
    location /v2/models/m/large/huge {{ try_files /huge =404; }}
  }}
}}
"""

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log crit;
events {{ worker_connections 9000; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 0; tcp_nodelay on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp;
  upstream replicas {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} {ssl} backlog=4096;
    {certificate}
    proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Via "1.1 nginx"; proxy_set_header X-Request-Id $request_id;
    add_header Via "1.1 nginx"; add_header X-Request-Id $request_id;
    proxy_request_buffering off;
    location / {{ proxy_pass http://replicas; }}
    location /v2/models/m/large {{ proxy_buffering off; proxy_pass http://replicas; }}
  }}
}}
"""

HAPROXY = """
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 600s
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{port} {ssl} backlog 4096
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Proto http
  http-request add-header Via "1.1 haproxy"
  http-response add-header Via "1.1 haproxy"
  http-response set-header X-Request-Id %[unique-id]
  default_backend replicas
backend replicas
  server a 127.0.0.1:{upstream} pool-max-conn 1024
"""

TAILBACK = """
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: up }}
spec: {{ static: {{ endpoints: ["http://127.0.0.1:{upstream}"] }} }}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m }}
spec: {{ server: up }}
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A server that is up, on `port`, pinned to one core."""

    def __init__(self, name, command, port, core, env=None):
        self.name, self.port = name, port
        self.child = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            env={**os.environ, **(env or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for _ in range(3000):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if self.child.poll() is not None:
                raise SystemExit(f"{name} did not start: {self.child.stderr.read().decode()}")
            time.sleep(0.02)
        raise SystemExit(f"{name} does not listen on port {port}")

    def pids(self):
        """The process and its children."""
        found, new = [], [self.child.pid]
        while new:
            pid = new.pop()
            found.append(pid)
            for path in glob.glob(f"/proc/{pid}/task/*/children"):
                new += [int(child) for child in Path(path).read_text().split()]
        return found

    def cpu(self):
        """Seconds of CPU time so far, of all its threads: exact to the nanosecond."""
        total = 0
        for pid in self.pids():
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(Path(path).read_text().split()[0])
        return total / 1e9

    def resident(self):
        """Bytes in RAM now."""
        lines = (Path(f"/proc/{pid}/status").read_text().splitlines() for pid in self.pids())
        return sum(int(l.split()[1]) * 1024 for status in lines for l in status if l.startswith("VmRSS:"))

    def stop(self):
        self.child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(10)
            return
        self.child.kill()


class Workplace:
    """A folder for configurations, and processes: both are gone when `stack` is."""

    def __init__(self, stack):
        self.stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailback-bench-")))
        # nginx reads it as somebody else.
        self.folder.chmod(0o755)

    def config(self, name, text, **values):
        """Writes a configuration from a template; returns its path."""
        path = self.folder / name
        path.write_text(text.format(folder=self.folder, **values))
        return str(path)

    def run(self, name, command, port, core, env=None):
        process = Process(name, command, port, core, env)
        self.stack.callback(process.stop)
        return process


def certificate(folder):
    """A certificate for 127.0.0.1 (ECDSA, P-256), its key, and a file with both."""
    cert, key, both = folder / "cert.pem", folder / "key.pem", folder / "both.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    make += ["-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(make, check=True, capture_output=True)
    both.write_text(cert.read_text() + key.read_text())
    for file in (cert, key, both):
        file.chmod(0o644)
    return cert, key, both


def tailbacks(binary, beside):
    """The binaries of Tailback by the names that they are shown with."""
    return {"tailback": binary} | ({"beside": beside} if beside else {})


@contextlib.contextmanager
def lab(tailback, sink=None, tls=False, workers=1, upstream_port=None, beside=None):
    """The upstream, and the proxies before it: yields `(folder, upstream, {name: Process})`.

    With `sink`, a program, that is the upstream: one that reads bodies to their end. With `tls`, callers
    connect by TLS 1.3. With more `workers`, Tailback has so many, and no core to itself. With an
    `upstream_port`, that is where the proxies send requests. `beside` is another binary of Tailback.
    """
    with contextlib.ExitStack() as stack:
        workplace = Workplace(stack)
        folder, config, run = workplace.folder, workplace.config, workplace.run
        (folder / "large").write_bytes(b"x" * LARGE)
        with open(folder / "huge", "wb") as huge:
            huge.truncate(HUGE)
        port = free_port()
        if sink:
            command = [sink, str(port)]
        else:
            command = ["nginx", "-c", config("upstream.conf", UPSTREAM, port=port, response="x" * 1024)]
        upstream = run("upstream", command, port, LOAD_CORE)
        proxies, to = {}, upstream_port or upstream.port
        cert, key, both = certificate(folder) if tls else (None, None, None)

        manifest = config("m.yaml", TAILBACK, upstream=to)
        for name, binary in tailbacks(tailback, beside).items():
            port = free_port()
            env = {
                "TAILBACK_LISTEN": f"127.0.0.1:{port}",
                "TAILBACK_ADMIN": f"127.0.0.1:{free_port()}",
                "TAILBACK_WORKERS": str(workers),
            }
            if tls:
                env |= {"TAILBACK_TLS_CERT": str(cert), "TAILBACK_TLS_KEY": str(key), "TAILBACK_TLS_MIN_VERSION": "1.3"}
            core = PROXY_CORE if workers == 1 else ",".join(map(str, CORES))
            proxies[name] = run(name, [binary, "serve", manifest], port, core, env)

        port = free_port()
        ssl = f"ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;" if tls else ""
        values = {"port": port, "upstream": to, "ssl": "ssl" if tls else "", "certificate": ssl}
        text = config("nginx.conf", NGINX, **values)
        proxies["nginx"] = run("nginx", ["nginx", "-c", text], port, PROXY_CORE)

        port = free_port()
        ssl = f"ssl crt {both} ssl-min-ver TLSv1.3 alpn http/1.1" if tls else ""
        text = config("haproxy.cfg", HAPROXY, port=port, upstream=to, ssl=ssl)
        proxies["haproxy"] = run("haproxy", ["haproxy", "-f", text], port, PROXY_CORE)
        yield folder, upstream, proxies


def turns(targets, rounds):
    """Each of `targets` in each round, in another order each time."""
    for turn in range(rounds):
        shift = turn % len(targets)
        yield from targets[shift:] + targets[:shift]


def median(rows, key):
    return statistics.median(row[key] for row in rows)
