"""A home-made API that runs model servers, as small as one can be: Python's own library.

    POST /models/NAME/scale   {"replicas": 2}     202
    GET  /models/NAME                             {"replicas": 2, "ready": ["127.0.0.1:41234", ...]}

Both want the header `Authorization: Bearer $API_TOKEN`. A replica is a `sample-server`.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = os.environ["API_TOKEN"]
LOCK = threading.Lock()
MODELS = {}  # name -> {"replicas": wanted, "servers": [(process, port), ...]}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def scale(name, replicas):
    with LOCK:
        model = MODELS.setdefault(name, {"replicas": 0, "servers": []})
        model["replicas"] = replicas
        servers = model["servers"]
        while len(servers) < replicas:
            port = free_port()
            command = ["sample-server", "--port", str(port), "--model", name]
            servers.append((subprocess.Popen(command + sys.argv[2:]), port))
        while len(servers) > replicas:
            process, _ = servers.pop()
            process.terminate()  # it finishes what it has


def state(name):
    with LOCK:
        model = MODELS.get(name, {"replicas": 0, "servers": []})
        replicas, servers = model["replicas"], list(model["servers"])
    ready = [f"127.0.0.1:{port}" for process, port in servers if process.poll() is None and is_ready(port)]
    return {"replicas": replicas, "ready": ready}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def model(self, *end):
        """The model that the path names, if it may be asked for."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = self.path.strip("/").split("/")
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "expected Authorization: Bearer and the token"})
        elif len(parts) != 2 + len(end) or parts[0] != "models" or tuple(parts[2:]) != end:
            self.answer(404, {"error": "there are /models/NAME and /models/NAME/scale"})
        else:
            return parts[1], body
        return None, body

    def do_GET(self):
        name, _ = self.model()
        if name:
            self.answer(200, state(name))

    def do_POST(self):
        name, body = self.model("scale")
        if name:
            scale(name, int(json.loads(body)["replicas"]))
            self.answer(202, {})

    def log_message(self, *_):
        pass


def stop(*_):
    for name in list(MODELS):
        scale(name, 0)
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
