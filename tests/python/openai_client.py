"""The openai client through the proxy.

Usage: openai_client.py HOST:PORT llm    the model smollm2 on llama.cpp
       openai_client.py HOST:PORT leave  streams from it; leaves in the middle, at a line
       openai_client.py HOST:PORT slow   streams from the model m, whose first event takes its time
       openai_client.py HOST:PORT cut    the same, and is cut off
       openai_client.py HOST:PORT streams  streams of each API, two tokens each, from the model m
       openai_client.py HOST:PORT calls  the model m on a server that says hello to everything
Exits with status 0 if every answer was right.
"""

import sys

import openai


def refused(error, call, **arguments):
    try:
        call(**arguments)
    except error as raised:
        return raised
    raise AssertionError(f"expected {error}")


def chat(client, stream, model="smollm2", **more):
    messages = [{"role": "user", "content": "Count to ten, in words."}]
    return client.chat.completions.create(model=model, messages=messages, stream=stream, seed=1, **more)


def llm(client):
    assert [model.id for model in client.models.list()] == ["smollm2"]
    assert client.models.retrieve("smollm2").id == "smollm2"
    error = refused(openai.NotFoundError, client.models.retrieve, model="no-such-model")
    assert error.code == "model_not_found", error
    # The first request waits until the model is up: it is held, not refused.
    whole = chat(client, stream=False, max_tokens=20)
    assert whole.choices[0].message.content and whole.usage.completion_tokens <= 20, whole
    chunks = list(chat(client, stream=True, max_tokens=20, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text and chunks[-1].usage.completion_tokens > 1 and len(chunks) > 3, chunks
    completion = client.completions.create(model="smollm2", prompt="Once upon a time", max_tokens=5)
    assert completion.choices[0].text, completion
    error = refused(openai.NotFoundError, chat, client=client, stream=False, model="no-such-model")
    assert error.code == "model_not_found" and error.param == "model", error
    assert "no-such-model" in error.message, error


def leave(client):
    stream = chat(client, stream=True, max_tokens=2000, extra_body={"ignore_eos": True})
    next(stream)
    print("streaming", flush=True)
    sys.stdin.readline()
    stream.close()
    print("left", flush=True)
    sys.stdin.readline()


def slow(client):
    stream = chat(client, stream=True, model="m", extra_headers={"x-manner": "slow-events"})
    return "".join(chunk.choices[0].delta.content for chunk in stream)


def slow_is_whole(client):
    assert slow(client) == "ab"


def cut(client):
    broken = refused(Exception, slow, client=client)
    assert type(broken).__name__ in ("RemoteProtocolError", "ReadError", "APIConnectionError"), repr(broken)


def streams(client):
    chunks = list(chat(client, stream=True, model="m"))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "One two", chunks
    # The proxy has asked for it.
    assert chunks[-1].usage.prompt_tokens == 12 and not chunks[-1].choices, chunks
    chunks = list(client.completions.create(model="m", prompt="Count", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "One two", chunks
    events = list(client.responses.create(model="m", input="Count", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "One two", events
    assert events[-1].response.usage.output_tokens == 2, events


def calls(client):
    for size in (10, 3_000_000):
        form = dict(model="m", file=("a.wav", b"\0\r\n--" * size), response_format="text")
        assert client.audio.transcriptions.create(**form).strip() == "hello"
    assert client.audio.speech.create(model="m", voice="alloy", input="hi").read() == b"hello"
    form = dict(model="no", file=("a.wav", b"x"), response_format="text")
    assert refused(openai.NotFoundError, client.audio.transcriptions.create, **form).code == "model_not_found"
    # The model comes after the messages, as clients 1 and 2 write it, and is read wherever it stands.
    def send(size, headers=None):
        body = {"messages": [{"role": "user", "content": "x" * size}], "model": "m"}
        return client.post("/chat/completions", body=body, cast_to=str, options={"headers": headers or {}})

    assert send(900_000) == "hello"
    assert send(5_000_000) == "hello"
    # More than may be kept in memory.
    error = refused(openai.APIStatusError, send, size=21_000_000)
    assert error.status_code == 413 and "seldon-model" in error.message, error
    assert send(21_000_000, {"seldon-model": "m"}) == "hello"
    error = refused(openai.BadRequestError, client.post, path="/chat/completions", body={}, cast_to=object)
    assert error.type == "invalid_request_error", error


def main(address, what):
    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="any", timeout=120, max_retries=0)
    {"llm": llm, "leave": leave, "calls": calls, "streams": streams, "slow": slow_is_whole, "cut": cut}[what](client)


main(*sys.argv[1:])
