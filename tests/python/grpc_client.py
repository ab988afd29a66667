"""tritonclient[grpc] through the proxy.

Usage: grpc_client.py HOST:PORT mlserver   the iris model on MLServer
       grpc_client.py HOST:PORT calls      unary calls to grpc_server.py
       grpc_client.py HOST:PORT stream     one stream; waits for a line before it ends it
       grpc_client.py HOST:PORT leave      one stream; leaves in the middle, at a line
       grpc_client.py HOST:PORT renamed    streams of a model whose replica knows it as `real`
Exits with status 0 if every answer was right.
"""

import queue
import sys

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException


def refused(status, call, *arguments, **more):
    try:
        call(*arguments, **more)
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{status}", error
        return str(error)
    raise AssertionError(f"expected {status}")


def inputs(values, name="x", datatype="FP64"):
    tensor = triton.InferInput(name, list(values.shape), datatype)
    tensor.set_data_from_numpy(values)
    return [tensor]


def of_server(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.get_server_metadata().name == "tailback"


def mlserver(client):
    of_server(client)
    # The first call waits until MLServer is up: it is held, not refused.
    client.infer("iris", inputs(np.array([[5.1, 3.5, 1.4, 0.2]]), "flower"), client_timeout=120)
    assert client.get_model_metadata("iris").name == "iris"
    assert client.is_model_ready("iris")
    for flower, species in (([5.1, 3.5, 1.4, 0.2], 0), ([6.7, 3.0, 5.2, 2.3], 2)):
        for headers in ({}, {"seldon-model": "iris"}):
            result = client.infer("iris", inputs(np.array([flower]), "flower"), headers=headers)
            assert result.as_numpy("predict").flatten()[0] == species, result.get_response()
    message = refused("NOT_FOUND", client.infer, "no-such-model", inputs(np.array([[1.0]])))
    assert "no-such-model" in message, message


def calls(client):
    of_server(client)
    tensor = inputs(np.zeros((1, 1)))
    assert client.infer("m", tensor, request_id="7").get_response().id == "7"
    assert client.is_model_ready("m")
    assert client.infer("other", tensor, headers={"seldon-model": "m"}).get_response().model_name == "other"
    large = inputs(np.zeros((1, 500_000)))
    assert client.infer("m", large).get_response().model_name == "m"
    refused("NOT_FOUND", client.infer, "no-such-model", tensor)
    refused("INVALID_ARGUMENT", client.infer, "m", tensor, request_id="bad")
    # What is small is not compressed.
    for algorithm in ("gzip", "deflate"):
        for headers in ({}, {"seldon-model": "m"}):
            result = client.infer("m", large, headers=headers, compression_algorithm=algorithm)
            assert result.get_response().model_name == "m"
        refused("NOT_FOUND", client.infer, "no-such-model", large, compression_algorithm=algorithm)
    index = client.get_model_repository_index().models
    assert [(model.name, model.state) for model in index] == [("m", "READY")], index
    for _ in range(100):
        client.async_infer("m", tensor, lambda result, error: results.put(error))
    assert all(results.get(timeout=20) is None for _ in range(100))


results = queue.Queue()


def open_stream(client):
    client.start_stream(lambda result, error: results.put((result, error)))


def next_id():
    result, error = results.get(timeout=20)
    assert error is None, error
    return result.get_response().id


def stream(client):
    open_stream(client)
    for request in ("a", "b"):
        client.async_stream_infer("m", inputs(np.zeros((1, 1))), request_id=request)
        assert [next_id() for _ in range(3)] == [f"{request}.{n}" for n in range(3)]
    print("streaming", flush=True)
    sys.stdin.readline()
    client.stop_stream()


def leave(client):
    open_stream(client)
    client.async_stream_infer("m", inputs(np.zeros((1, 1))), request_id="wait")
    assert next_id() == "wait.0"
    print("streaming", flush=True)
    sys.stdin.readline()
    client.stop_stream(cancel_requests=True)


def renamed(client):
    for algorithm in ("gzip", "deflate"):
        client.start_stream(
            lambda result, error: results.put((result, error)), compression_algorithm=algorithm
        )
        for values in (np.zeros((1, 1)), np.zeros((1, 200_000)), np.random.rand(1, 100_000)):
            client.async_stream_infer("m", inputs(values), request_id="z")
            for _ in range(3):
                result, error = results.get(timeout=20)
                assert error is None, error
                assert result.get_response().model_name == "real", result.get_response()
        client.stop_stream()
    open_stream(client)
    for request in ("a", "b", "c"):
        # Large enough to come in several pieces, too.
        for values in (np.zeros((1, 1)), np.zeros((1, 200_000))):
            client.async_stream_infer("m", inputs(values), request_id=request)
            for _ in range(3):
                result, error = results.get(timeout=20)
                assert error is None, error
                assert result.get_response().model_name == "real", result.get_response()
    print("streaming", flush=True)
    sys.stdin.readline()
    client.async_stream_infer("other", inputs(np.zeros((1, 1))), request_id="d")
    result, error = results.get(timeout=20)
    assert error is not None and error.status() == "StatusCode.INVALID_ARGUMENT", (result, error)
    assert "another model" in str(error), error
    client.stop_stream()
    assert client.infer("m", inputs(np.zeros((1, 1)))).get_response().model_name == "real"


def main(address, what):
    {"mlserver": mlserver, "calls": calls, "stream": stream, "leave": leave, "renamed": renamed}[what](
        triton.InferenceServerClient(address)
    )


main(*sys.argv[1:])
