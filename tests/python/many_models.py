"""Many scikit-learn models in a repository of MLServer, and callers of all of them.

Usage: many_models.py make FOLDER COUNT
       many_models.py call HOST:PORT COUNT SECONDS|- CALLERS
       many_models.py lru FOLDER COUNT SECONDS CALLERS

Model m-K says K times what it is given, so that an answer of another model is noticed. Callers choose
models by Zipf's law (1/rank), half of them by REST and half by gRPC, for so many seconds, or, if `-`, until there is a
line on standard input. At the end a line of JSON says how
many answers there were, how many were wrong or missing, and how long they took.

`lru` is for comparison: the same callers on two MLServers of its own, which have room for eight models each.
A model that is asked for and is nowhere is loaded at once, in the place of the one that was used least
recently and has no request.
"""

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SETTINGS = {"host": "127.0.0.1", "metrics_endpoint": None, "parallel_workers": 0, "debug": False}


def make(folder, count):
    import joblib
    from sklearn.linear_model import LinearRegression

    folder = Path(folder)
    (folder / "settings.json").write_text(json.dumps(SETTINGS))
    for k in range(1, count + 1):
        home = folder / f"m-{k}"
        home.mkdir()
        model = LinearRegression().fit([[0.0], [1.0]], [0.0, float(k)])
        joblib.dump(model, home / "model.joblib")
        settings = {
            "name": f"m-{k}",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": "1"},
        }
        (home / "model-settings.json").write_text(json.dumps(settings))


ROOM = 8


class Direct:
    """All models are behind one address."""

    def __init__(self, address):
        self.address = address

    @contextmanager
    def place(self, k):
        yield self.address, self.address

    def figures(self):
        return {}


class Lru:
    """Two MLServers, and which models are loaded in them. They are full to begin with."""

    def __init__(self, folder, count):
        self.reloads = 0
        self.changed = threading.Condition()
        self.models = {}
        self.ports = [(free_port(), free_port()) for _ in range(2)]
        self.servers = [start(folder, http, grpc) for http, grpc in self.ports]
        for k in range(1, min(count, ROOM * len(self.ports)) + 1):
            self.take(k)["in_flight"] -= 1
        self.reloads = 0

    @contextmanager
    def place(self, k):
        own = self.take(k)
        http, grpc = self.ports[own["replica"]]
        try:
            yield f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
        finally:
            with self.changed:
                own["in_flight"] -= 1
                self.changed.notify_all()

    def take(self, k):
        with self.changed:
            while True:
                own = self.models.get(k)
                if own and own["ready"]:
                    own["used"] = time.monotonic()
                    own["in_flight"] += 1
                    return own
                place = None if own else self.find()
                if place:
                    break
                self.changed.wait()
            replica, victim = place
            if victim:
                del self.models[victim]
            own = {"replica": replica, "ready": False, "in_flight": 1, "used": time.monotonic()}
            self.models[k] = own
        if victim:
            self.ask(replica, victim, "unload")
        self.ask(replica, k, "load")
        with self.changed:
            own["ready"] = True
            self.reloads += 1
            self.changed.notify_all()
        return own

    def find(self):
        """A replica with room, and what goes for it; nothing if all is in use."""
        for replica in range(len(self.ports)):
            if sum(own["replica"] == replica for own in self.models.values()) < ROOM:
                return replica, None
        idle = [(own["used"], k) for k, own in self.models.items() if own["ready"] and not own["in_flight"]]
        if not idle:
            return None
        victim = min(idle)[1]
        return self.models[victim]["replica"], victim

    def ask(self, replica, k, what):
        url = f"http://127.0.0.1:{self.ports[replica][0]}/v2/repository/models/m-{k}/{what}"
        urllib.request.urlopen(urllib.request.Request(url, b"{}", {"content-type": "application/json"})).read()

    def figures(self):
        for server in self.servers:
            server.kill()
        return {"reloads": self.reloads}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(folder, http, grpc):
    variables = {
        **os.environ,
        "MLSERVER_HTTP_PORT": str(http),
        "MLSERVER_GRPC_PORT": str(grpc),
        "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",
    }
    program = Path(sys.executable).parent / "mlserver"
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([program, "start", folder], env=variables, **silent)
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{http}/v2/health/ready").read()
            return server
        except OSError:
            if server.poll() is not None:
                raise
            time.sleep(0.1)


def caller(places, count, over, seed, took, wrong):
    dice = random.Random(seed)
    by_grpc = seed % 2 == 0
    if by_grpc:
        import tritonclient.grpc as triton
    else:
        import tritonclient.http as triton
    clients = {}

    def client_of(http, grpc):
        address = grpc if by_grpc else http
        limits = {} if by_grpc else {"connection_timeout": 120, "network_timeout": 120}
        if address not in clients:
            clients[address] = triton.InferenceServerClient(address, **limits)
        return clients[address]

    ranks = [1 / rank for rank in range(1, count + 1)]
    while not over.is_set():
        k = dice.choices(range(1, count + 1), ranks)[0]
        x = dice.randrange(1, 1000)
        tensor = triton.InferInput("x", [1, 1], "FP64")
        value = np.array([[float(x)]])
        if by_grpc:
            tensor.set_data_from_numpy(value)
            outputs = [triton.InferRequestedOutput("predict")]
        else:
            tensor.set_data_from_numpy(value, binary_data=False)
            outputs = [triton.InferRequestedOutput("predict", binary_data=False)]
        began = time.monotonic()
        try:
            with places.place(k) as (http, grpc):
                answer = client_of(http, grpc).infer(f"m-{k}", [tensor], outputs=outputs)
            answer = answer.as_numpy("predict").flatten()[0]
            if abs(answer - k * x) > 1e-6:
                wrong.append(f"m-{k} of {x}: {answer}")
        except Exception as error:  # whatever a client may raise is a request that was not answered
            wrong.append(f"m-{k} by {'gRPC' if by_grpc else 'REST'}: {error}")
        took.append(time.monotonic() - began)


def call(places, count, seconds, callers):
    took, wrong = [], []
    over = threading.Event()
    all = [
        threading.Thread(target=caller, args=(places, count, over, seed, took, wrong)) for seed in range(callers)
    ]
    for one in all:
        one.start()
    if seconds == "-":
        sys.stdin.readline()
    else:
        time.sleep(float(seconds))
    over.set()
    for one in all:
        one.join()
    took.sort()

    def at(share):
        return round(took[min(int(len(took) * share), len(took) - 1)], 4)

    times = {"p50": at(0.5), "p99": at(0.99)}
    answers = {"answers": len(took), "wrong": wrong[:5], "wrongCount": len(wrong)}
    print(json.dumps({**answers, **times, **places.figures()}))
    sys.exit(1 if wrong else 0)


def main(what, place, count, *rest):
    if what == "make":
        make(place, int(count))
    else:
        seconds, callers = rest
        places = Lru(place, int(count)) if what == "lru" else Direct(place)
        call(places, int(count), seconds, int(callers))


main(*sys.argv[1:])
