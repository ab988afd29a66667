"""Many scikit-learn models in a repository of MLServer, and callers of all of them.

Usage: many_models.py make FOLDER COUNT
       many_models.py call HOST:PORT COUNT SECONDS CALLERS

Model m-K says K times what it is given, so that an answer of another model is noticed. Callers choose
models by Zipf's law (1/rank), half of them by REST and half by gRPC. At the end a line of JSON says how
many answers there were, how many were wrong or missing, and how long they took.
"""

import json
import random
import sys
import threading
import time
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


def caller(address, count, until, seed, took, wrong):
    dice = random.Random(seed)
    by_grpc = seed % 2 == 0
    if by_grpc:
        import tritonclient.grpc as triton

        client = triton.InferenceServerClient(address)
    else:
        import tritonclient.http as triton

        client = triton.InferenceServerClient(address, connection_timeout=120, network_timeout=120)
    ranks = [1 / rank for rank in range(1, count + 1)]
    while time.monotonic() < until:
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
            answer = client.infer(f"m-{k}", [tensor], outputs=outputs).as_numpy("predict").flatten()[0]
            if abs(answer - k * x) > 1e-6:
                wrong.append(f"m-{k} of {x}: {answer}")
        except Exception as error:  # whatever a client may raise is a request that was not answered
            wrong.append(f"m-{k} by {'gRPC' if by_grpc else 'REST'}: {error}")
        took.append(time.monotonic() - began)


def call(address, count, seconds, callers):
    took, wrong = [], []
    until = time.monotonic() + seconds
    all = [
        threading.Thread(target=caller, args=(address, count, until, seed, took, wrong)) for seed in range(callers)
    ]
    for one in all:
        one.start()
    for one in all:
        one.join()
    took.sort()

    def at(share):
        return round(took[min(int(len(took) * share), len(took) - 1)], 4)

    print(json.dumps({"answers": len(took), "wrong": wrong[:5], "wrongCount": len(wrong), "p50": at(0.5), "p99": at(0.99)}))
    sys.exit(1 if wrong else 0)


def main(what, place, count, *rest):
    if what == "make":
        make(place, int(count))
    else:
        seconds, callers = rest
        call(place, int(count), float(seconds), int(callers))


main(*sys.argv[1:])
