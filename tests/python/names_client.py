"""Names with slashes, colons and capitals, and aliases, through the clients that use them.

Usage: names_client.py HOST:PORT openai NAME…   each is served by a server that says hello to everything
       names_client.py HOST:PORT http NAME…     each is the model `simple`, by Triton's client
       names_client.py HOST:PORT grpc NAME…     each is the first, by Triton's client, on grpc_server.py
Exits with status 0 if every answer was right.
"""

import sys

import numpy as np


def by_openai(address, names):
    import openai

    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0)
    listed = {model.id for model in client.models.list()}
    assert listed >= set(names), listed
    for name in names:
        assert client.models.retrieve(name).id == name
        speech = client.audio.speech.create(model=name, voice="alloy", input="hi")
        assert speech.read() == b"hello"
    for name in ("no/such-model", "Qwen", names[0].lower() + "x"):
        for call in (
            lambda: client.models.retrieve(name),
            lambda: client.audio.speech.create(model=name, voice="alloy", input="hi"),
        ):
            try:
                call()
            except openai.NotFoundError as error:
                assert error.code == "model_not_found" and name in error.message, error
            else:
                raise AssertionError(f"{name} was served")


def tensors(triton):
    inputs = [triton.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
    for tensor in inputs:
        tensor.set_data_from_numpy(np.ones((1, 16), dtype=np.int32))
    return inputs


def by_triton(triton, address, names, check):
    from tritonclient.utils import InferenceServerException

    client = triton.InferenceServerClient(address)
    for name in names:
        check(client.infer(name, tensors(triton)))
        assert client.is_model_ready(name), name
    try:
        client.infer("no/such-model", tensors(triton))
    except InferenceServerException as error:
        assert "no" in str(error) and "is not served here" in str(error), error
    else:
        raise AssertionError("an unknown model was served")


def by_http(address, names):
    import tritonclient.http

    def check(result):
        assert (result.as_numpy("OUTPUT0") == 2).all(), result

    by_triton(tritonclient.http, address, names, check)


def by_grpc(address, names):
    import tritonclient.grpc

    def check(result):
        assert result.get_response().model_name == names[0], result

    by_triton(tritonclient.grpc, address, names, check)


address, kind, *names = sys.argv[1:]
{"openai": by_openai, "http": by_http, "grpc": by_grpc}[kind](address, names)
