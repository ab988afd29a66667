"""tritonclient[http]."""

from importlib.metadata import version

import numpy as np
import tritonclient.http as triton
from adapter import ADDRESS, MANY_FIELDS, MODELS, expect, raised, report, serve
from tritonclient.utils import InferenceServerException

CLIENT = triton.InferenceServerClient(ADDRESS, concurrency=4, network_timeout=60, connection_timeout=60)


def tensors(binary=True, size=16):
    inputs = [triton.InferInput(name, [1, size], "INT32") for name in ("INPUT0", "INPUT1")]
    for tensor in inputs:
        tensor.set_data_from_numpy(np.ones((1, size), dtype=np.int32), binary_data=binary)
    return inputs


def told(model, **more):
    """What the origin says about a request."""
    return report(CLIENT.infer(model, tensors(), **more).as_numpy("report")[0])


def cold():
    flower = triton.InferInput("flower", [1, 4], "FP64")
    flower.set_data_from_numpy(np.array([[5.1, 3.5, 1.4, 0.2]]), binary_data=False)
    output = triton.InferRequestedOutput("predict", binary_data=False)
    assert CLIENT.infer("iris", [flower], outputs=[output]).as_numpy("predict").flatten()[0] == 0
    return "MLServer"


def list_():
    assert {model["name"] for model in CLIENT.get_model_repository_index()} >= MODELS - {"openai/gpt-4o"}
    return "without aliases"


def unary():
    for binary in (True, False):
        outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("OUTPUT0", "OUTPUT1")]
        result = CLIENT.infer("tfsimple", tensors(binary), outputs=outputs)
        assert (result.as_numpy("OUTPUT0") == 2).all() and (result.as_numpy("OUTPUT1") == 0).all(), result
    return "tensors in JSON and in binary"


def late():
    expect(told("late"), model="late")
    return "the answer's header after 1.5 s, as there is no stream"


def names():
    for name in ("Qwen/Qwen2.5-7B-Instruct", "llama3:8b"):
        expect(told(name), model=name)


def alias():
    expect(told("openai/gpt-4o"), model="gpt_4")


def renamed():
    expect(told("renamed"), model="org/Real:latest")


def gzip():
    got = told("echo", request_compression_algorithm="gzip")
    expect(got, model="echo", encoding="gzip")
    assert got["bytes"] < 300, got


def unknown():
    error = raised(InferenceServerException, CLIENT.infer, "no-such-model", tensors())
    assert error.status() == "404" and "no-such-model" in error.message(), error
    return "raises `InferenceServerException` with the status 404"


def fields():
    expect(told("fields", headers=MANY_FIELDS), last_field="149")


def early_hints():
    expect(told("early-hints"), model="early-hints")


def trailers():
    expect(told("trailers"), model="trailers")


def keep_alive():
    pending = [CLIENT.async_infer("tfsimple", tensors()) for _ in range(40)]
    assert all((p.get_result().as_numpy("OUTPUT0") == 2).all() for p in pending)
    return "four connections for 40 requests"


serve(
    version("tritonclient"),
    [
        *(cold, list_, unary, late, names, alias, renamed, gzip, unknown, fields, early_hints, trailers, keep_alive),
    ],
    {
        **dict.fromkeys(["stream", "cancel", "break", "error-event"], "the client has no streams by HTTP"),
        "requested": "`model_name` is what the replica says",
        **dict.fromkeys(["image", "upload", "zstd", "retry", "expect", "half-closed", "frames", "cors", "websocket"]),
    },
)
