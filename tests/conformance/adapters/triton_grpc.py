"""tritonclient[grpc]."""

import queue
from importlib.metadata import version

import numpy as np
import tritonclient.grpc as triton
from adapter import ADDRESS, MANY_FIELDS, MODELS, in_flight, raised, serve
from tritonclient.utils import InferenceServerException


def client():
    return triton.InferenceServerClient(ADDRESS)


CLIENT = client()


def tensors(size=1):
    tensor = triton.InferInput("x", [1, size], "FP64")
    tensor.set_data_from_numpy(np.zeros((1, size)))
    return [tensor]


def named_at_replica(model, **more):
    return CLIENT.infer(model, tensors(), **more).get_response().model_name


class Stream:
    """A bidirectional stream."""

    def __init__(self):
        self.client, self.results = client(), queue.Queue()
        self.client.start_stream(lambda result, error: self.results.put((result, error)))

    def ask(self, request, model="grpc"):
        self.client.async_stream_infer(model, tensors(), request_id=request)

    def next(self):
        result, error = self.results.get(timeout=30)
        if error:
            raise error
        return result.get_response().id


def cold():
    flower = triton.InferInput("flower", [1, 4], "FP64")
    flower.set_data_from_numpy(np.array([[5.1, 3.5, 1.4, 0.2]]))
    assert CLIENT.infer("iris", [flower]).as_numpy("predict").flatten()[0] == 0
    return "MLServer"


def list_():
    index = CLIENT.get_model_repository_index()
    assert {model.name for model in index.models} >= MODELS - {"openai/gpt-4o"}, index
    return "without aliases"


def unary():
    assert named_at_replica("grpc") == "grpc"
    assert CLIENT.infer("grpc", tensors(500_000)).get_response().model_name == "grpc"


def stream_():
    stream = Stream()
    for request in ("a", "b"):
        stream.ask(request)
        assert [stream.next() for _ in range(3)] == [f"{request}.{number}" for number in range(3)]
        in_flight()
    stream.client.stop_stream()


def late():
    stream = Stream()
    stream.ask("late", "grpc-late")
    assert stream.next() == "late.0"
    stream.client.stop_stream()


def cancel():
    stream = Stream()
    stream.ask("wait")
    assert stream.next() == "wait.0"
    in_flight()
    stream.client.stop_stream(cancel_requests=True)
    in_flight(0)


def error_event():
    for _ in range(150):
        stream = Stream()
        stream.ask("fail")
        assert stream.next() == "fail.0"
        error = raised(InferenceServerException, stream.next)
        assert error.status() == "StatusCode.INTERNAL" and "out of memory" in error.message(), error
        stream.client.close()
    return "a response, then a status"


def names():
    assert named_at_replica("grpc/simple:latest") == "grpc/simple:latest"


def alias():
    assert named_at_replica("grpc/alias") == "grpc"


def renamed():
    assert named_at_replica("grpc-renamed") == "real"


def gzip():
    large = tensors(10_000)
    assert CLIENT.infer("grpc", large, compression_algorithm="gzip").get_response().model_name == "grpc"
    assert CLIENT.infer("grpc-renamed", large, compression_algorithm="gzip").get_response().model_name == "real"
    return "a compressed message, also of a model that is renamed"


def unknown():
    error = raised(InferenceServerException, CLIENT.infer, "no-such-model", tensors())
    assert error.status() == "StatusCode.NOT_FOUND" and "no-such-model" in error.message(), error
    return "raises `InferenceServerException` with `NOT_FOUND`"


def fields():
    assert named_at_replica("grpc", headers=MANY_FIELDS) == "grpc"
    return "in the request"


def trailers():
    assert named_at_replica("grpc") == "grpc"
    error = raised(InferenceServerException, CLIENT.infer, "grpc", tensors(), request_id="bad")
    assert error.status() == "StatusCode.INVALID_ARGUMENT", error
    return "every status of gRPC is one"


def keep_alive():
    results = queue.Queue()
    for _ in range(100):
        CLIENT.async_infer("grpc", tensors(), lambda result, error: results.put(error))
    assert all(results.get(timeout=30) is None for _ in range(100))
    return "100 calls on one"


serve(
    version("tritonclient"),
    [
        *(cold, list_, unary, stream_, late, cancel, error_event, names, alias, renamed, gzip, unknown, fields),
        *(trailers, keep_alive),
    ],
    {
        "break": "the origin speaks no gRPC; see `error-event`",
        "requested": "`model_name` is what the replica says",
        **dict.fromkeys(["image", "upload", "zstd", "early-hints"]),
        **dict.fromkeys(["retry", "expect", "half-closed", "frames", "cors", "websocket"]),
    },
)
