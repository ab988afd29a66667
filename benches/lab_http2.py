"""Peers to measure beside Tailback where HTTP/2 is spoken, as in `lab.py`: HTTP/2 from callers, gRPC, and
events. Used by the scripts beside this file."""

from lab import LOAD_CORE, PROXY_CORE, Workplace, free_port, tailbacks

# Answers in either version of HTTP, by the first bytes; and as a gRPC server that
# has nothing to say but that all is well.
UPSTREAM = """
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout client 600s
  timeout server 600s
  timeout connect 5s
frontend f
  bind 127.0.0.1:{http1} backlog 4096
  bind 127.0.0.1:{h2} backlog 4096 proto h2
  http-request return status 200 hdr grpc-status 0 if {{ path_beg /inference. }}
  http-request return status 200 content-type application/json string "{response}"
"""

HAPROXY = """
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  option forwardfor
  option http-no-delay
  http-reuse always
frontend f
  bind 127.0.0.1:{port} backlog 4096
  bind 127.0.0.1:{port_h2} backlog 4096 proto h2
  unique-id-format %[uuid()]
  unique-id-header X-Request-Id
  http-request add-header Via "2 haproxy"
  use_backend grpc if {{ path_beg /inference. }}
  default_backend replicas
backend replicas
  server a 127.0.0.1:{http1} pool-max-conn 1024
backend grpc
  server a 127.0.0.1:{h2} proto h2 pool-max-conn 1024
"""

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 0; tcp_nodelay on;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp;
  upstream replicas {{ server 127.0.0.1:{http1}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{port_h2} http2 backlog=4096;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header Via "2 nginx"; proxy_set_header X-Request-Id $request_id;
    location / {{ proxy_pass http://replicas; }}
  }}
}}
"""

TAILBACK = """
apiVersion: tailback.dev/v1alpha1
kind: Server
metadata: {{ name: up }}
spec: {{ static: {{ endpoints: [{{ http: "http://127.0.0.1:{http1}", grpc: "http://127.0.0.1:{h2}" }}] }} }}
---
apiVersion: tailback.dev/v1alpha1
kind: Model
metadata: {{ name: m }}
spec: {{ server: up }}
"""


MESSAGE = b"\x0a\x01m\x12\x01\x31" + b"\x2a\x80\x02" + b"x" * 256
GRPC = ("/inference.GRPCInferenceService/ModelInfer", b"\0" + len(MESSAGE).to_bytes(4, "big") + MESSAGE)
"""A gRPC call: its path, and its body."""
GRPC_FIELDS = ["content-type: application/grpc", "te: trailers"]


class Http2Lab:
    """The upstream, and before it the proxies: {name: (process, HTTP/1.1 port, HTTP/2 port)}.

    `only` some of the proxies if they are named, each started by the words of `wrap`; with `sse`, a port, the
    upstream for HTTP/1.1 is there. `beside` is another binary of Tailback.
    """

    def __init__(self, tailback, stack, sse=None, only=("tailback", "nginx", "haproxy"), wrap=(), beside=None):
        workplace = Workplace(stack)
        config, run = workplace.config, workplace.run
        self.folder = workplace.folder
        http1, h2 = free_port(), free_port()
        self.upstream = http1

        upstream = config("up.cfg", UPSTREAM, http1=http1, h2=h2, response="x" * 1024)
        run("upstream", ["haproxy", "-f", upstream], http1, LOAD_CORE)
        at = {"http1": sse or http1, "h2": h2}
        manifest = config("m.yaml", TAILBACK, **at)
        self.proxies = {}
        for name, binary in tailbacks(tailback, beside).items() if "tailback" in only else ():
            port, admin = free_port(), free_port()
            env = {"TAILBACK_LISTEN": f"127.0.0.1:{port}", "TAILBACK_ADMIN": f"127.0.0.1:{admin}", "TAILBACK_WORKERS": "1"}
            self.proxies[name] = (run(name, [*wrap, binary, "serve", manifest], port, PROXY_CORE, env), port, port)
        for name, text in (("nginx", NGINX), ("haproxy", HAPROXY)):
            if name not in only:
                continue
            ports = {"port": free_port(), "port_h2": free_port()}
            path = config(f"{name}.cfg", text, **ports, **at)
            # One process each, so that whoever watches it sees all of it.
            command = ["nginx", "-c", path] if name == "nginx" else ["haproxy", "-f", path]
            self.proxies[name] = (run(name, [*wrap, *command], ports["port"], PROXY_CORE), ports["port"], ports["port_h2"])
