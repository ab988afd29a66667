"""A real Tailback before real model servers and the origin, for one client."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import processes
from origin import Origin

ROOT = Path(__file__).resolve().parents[2]
# Where the model servers of the tests are installed.
SERVERS = ROOT / "target/venv/bin"
# How long what should happen may take.
PATIENCE = 30

API = "apiVersion: tailback.dev/v1alpha1"
# Their first request starts them.
PROCESSES = {
    "llama-cpp": f"command: [{SERVERS}/python, {ROOT}/examples/llm/server.py, '{{port}}'], runtime: llama.cpp",
    "mlserver": f"command: [{SERVERS}/mlserver, start, ./mlserver/iris], runtime: mlserver,"
    " env: { MLSERVER_HTTP_PORT: '{port}', MLSERVER_GRPC_PORT: '{grpcPort}' }",
    "sample": "command: [sample-server, --port, '{port}', --model, '{model}']",
}
MODELS = {
    # Real model servers.
    "smollm2": "server: llama-cpp, minReplicas: 0",
    # 503 until it is ready: nobody is held for as long.
    "asleep": "server: llama-cpp, minReplicas: 0, hold: { seconds: 0.05 }",
    "iris": "server: mlserver, minReplicas: 0",
    "tfsimple": "server: sample, minReplicas: 1",
    "grpc": "server: grpc, aliases: [grpc/alias]",
    "grpc/simple:latest": "server: grpc",
    "grpc-renamed": "server: grpc, upstreamName: real",
    "grpc-late": "server: grpc, timeouts: { streamIdleSeconds: 0.5 }",
    "socket": "server: socket",
    # The origin.
    "gpt_4": "server: origin, aliases: [openai/gpt-4o]",
    "renamed": "server: origin, upstreamName: 'org/Real:latest'",
    "requested": "server: origin, upstreamName: 'org/Real:latest', responseModel: requested, aliases: ['asked/*']",
    "late": "server: origin, timeouts: { streamIdleSeconds: 0.5 }",
    **{
        name: "server: origin"
        for name in (
            *("echo", "break", "error-event", "endless", "early-hints", "trailers", "fields"),
            *("Qwen/Qwen2.5-7B-Instruct", "llama3:8b"),
        )
    },
}


class Broken(Exception):
    """A count was not as it must be."""


class Stage:
    """Everything a client's features need. Leaves nothing behind when it is closed."""

    def __init__(self, tailback, mlserver):
        """`mlserver`: whether its model, which has to be trained, is used."""
        self.children = []
        self.folder = tempfile.TemporaryDirectory()
        if mlserver:
            example = shutil.copytree(ROOT / "examples/mlserver", Path(self.folder.name, "mlserver"))
            subprocess.run([SERVERS / "python", example / "train.py"], check=True, stdout=subprocess.DEVNULL)
        self.unseen = None
        self.origin = Origin(self._worked_on)
        try:
            self._start(tailback)
        except BaseException:
            self.close()
            raise

    def _start(self, tailback):
        static = {
            "origin": self.origin.port,
            "grpc": self._helper("grpc_server.py"),
            "socket": self._helper("websocket.py", "serve"),
        }
        documents = [
            f"{API}\nkind: Server\nmetadata: {{ name: {name} }}\nspec: {{ process: {{ {process} }}, maxReplicas: 1 }}"
            for name, process in PROCESSES.items()
        ]
        documents += [
            f"{API}\nkind: Server\nmetadata: {{ name: {name} }}\n"
            f"spec: {{ static: {{ endpoints: ['http://127.0.0.1:{port}'] }} }}"
            for name, port in static.items()
        ]
        documents += [
            f"{API}\nkind: Model\nmetadata: {{ name: '{name}' }}\nspec: {{ {spec} }}" for name, spec in MODELS.items()
        ]
        manifests = Path(self.folder.name, "manifests.yaml")
        manifests.write_text("\n---\n".join(documents))
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("TAILBACK_", "SELDON_"))
        }
        environment |= {
            "PATH": f"{Path(tailback).resolve().parent}:{environment['PATH']}",
            "TAILBACK_LISTEN": "127.0.0.1:0",
            "TAILBACK_ADMIN": "127.0.0.1:0",
            "TAILBACK_HEADER_MAX_FIELDS": "200",
            "TAILBACK_CORS_ORIGINS": f"http://localhost:{self.origin.port}",
        }
        self.log = Path(self.folder.name, "log").open("w+")
        self._child([tailback, "serve", str(manifests)], env=environment, stdout=self.log, stderr=self.log)
        self.address = self._listening(r"^ *requests +http://(\S+)")
        self.admin = self._listening(r"^ *admin +http://(\S+)")

    def _child(self, command, **more):
        child = processes.start(command, **more)
        self.children.append(child)
        return child

    def _helper(self, *command):
        """The port of a server of `tests/python`."""
        script = [SERVERS / "python", ROOT / "tests/python" / command[0], *command[1:]]
        child = self._child(script, stdout=subprocess.PIPE, text=True)
        word, port = child.stdout.readline().split()
        assert word == "port", word
        return int(port)

    def _listening(self, pattern):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.children[-1].poll() is None:
            if found := re.search(pattern, self.said(), re.MULTILINE):
                return found[1]
            time.sleep(0.02)
        raise Broken(f"tailback does not listen; it said:\n{self.said()}")

    def said(self):
        """Tailback's log."""
        return Path(self.folder.name, "log").read_text()

    def models(self):
        with urllib.request.urlopen(f"http://{self.admin}/models", timeout=PATIENCE) as answer:
            return json.load(answer)["models"]

    def counts(self):
        """Requests that arrived, and requests in flight, of all models."""
        models = self.models()
        return sum(model["arrived"] for model in models), sum(model["inFlight"] for model in models)

    def _worked_on(self):
        """The origin works on a request."""
        if self.counts()[1] < 1:
            self.unseen = "a request was at its replica and not in flight"

    def expect_in_flight(self, expected):
        """Waits until as many requests are in flight."""
        end = time.monotonic() + PATIENCE
        while (found := self.counts()[1]) != expected:
            if time.monotonic() > end:
                raise Broken(f"{found} requests in flight, expected {expected}")
            time.sleep(0.02)

    def check_end(self, arrived_before, arrives):
        """What must be true once a feature has been tried."""
        self.expect_in_flight(0)
        if arrives and self.counts()[0] == arrived_before:
            raise Broken("no request arrived for a model")
        unseen, self.unseen = self.unseen, None
        if unseen:
            raise Broken(unseen)

    def close(self):
        for child in reversed(self.children):
            processes.end(child)
        self.origin.server.shutdown()
        self.origin.server.server_close()
        self.folder.cleanup()
