"""tritonclient[http] against the model `simple`, through the proxy.

Usage: triton_client.py HOST:PORT MODEL
Exits with status 0 if every answer was right.
"""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def infer(client, model, binary):
    a = np.arange(16, dtype=np.int32).reshape(1, 16)
    b = np.full((1, 16), 3, dtype=np.int32)
    inputs = [triton.InferInput("INPUT0", [1, 16], "INT32"), triton.InferInput("INPUT1", [1, 16], "INT32")]
    inputs[0].set_data_from_numpy(a, binary_data=binary)
    inputs[1].set_data_from_numpy(b, binary_data=binary)
    outputs = [
        triton.InferRequestedOutput("OUTPUT0", binary_data=binary),
        triton.InferRequestedOutput("OUTPUT1", binary_data=binary),
    ]
    result = client.infer(model, inputs, outputs=outputs, request_id="7", headers={"x-request-id": "seven"})
    assert (result.as_numpy("OUTPUT0") == a + b).all(), result.as_numpy("OUTPUT0")
    assert (result.as_numpy("OUTPUT1") == a - b).all(), result.as_numpy("OUTPUT1")
    assert result.get_response()["id"] == "7", result.get_response()


def main(address, model):
    client = triton.InferenceServerClient(address, concurrency=4)
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(model)
    assert not client.is_model_ready("no-such-model")
    assert client.get_model_metadata(model)["inputs"][0]["shape"] == [1, 16]
    for binary in (True, False):
        for _ in range(50):
            infer(client, model, binary)
    try:
        infer(client, "no-such-model", False)
    except InferenceServerException as error:
        assert "no-such-model" in str(error) and error.status() == "404", error
    else:
        raise AssertionError("an unknown model was served")
    # Many at once.
    a = np.ones((1, 16), dtype=np.int32)
    inputs = [triton.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
    for tensor in inputs:
        tensor.set_data_from_numpy(a)
    pending = [client.async_infer(model, inputs) for _ in range(40)]
    assert all((p.get_result().as_numpy("OUTPUT0") == 2).all() for p in pending)


main(*sys.argv[1:])
