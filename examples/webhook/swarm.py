"""Docker Swarm's services as a webhook: run it on a manager. Not tried against a Swarm yet.

    POST /services/NAME?replicas=3    docker service scale
    GET  /services/NAME               {"desired": 3, "running": 2}, by docker service ls

It asks for no token: it listens on the loopback address alone.
"""

import json
import re
import subprocess
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

NAME = re.compile(r"^/services/([a-zA-Z0-9][a-zA-Z0-9_.-]*)$")


def docker(*arguments):
    done = subprocess.run(["docker", "service", *arguments], capture_output=True, text=True, timeout=9)
    return done.returncode == 0, (done.stdout if done.returncode == 0 else done.stderr).strip()


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        name = NAME.match(urlparse(self.path).path)
        if not name:
            return self.answer(404, {"error": "there is /services/NAME"})
        fine, said = docker("ls", "--filter", f"name={name[1]}", "--format", "{{.Name}} {{.Replicas}}")
        for line in said.splitlines() if fine else []:
            found, replicas = line.split()[:2]
            if found == name[1]:
                running, desired = replicas.split("/")
                return self.answer(200, {"desired": int(desired), "running": int(running)})
        self.answer(404 if fine else 500, {"error": said or "there is no such service"})

    def do_POST(self):
        url = urlparse(self.path)
        name = NAME.match(url.path)
        replicas = parse_qs(url.query).get("replicas", [""])[0]
        if not name or not replicas.isdigit():
            return self.answer(404, {"error": "there is /services/NAME?replicas=N"})
        fine, said = docker("scale", "--detach", f"{name[1]}={replicas}")
        self.answer(202 if fine else 500, {} if fine else {"error": said})


ThreadingHTTPServer(("127.0.0.1", 9101), Handler).serve_forever()
