"""langchain-openai."""

import time
from importlib.metadata import version

import openai
from adapter import ADDRESS, IMAGE, MANY_FIELDS, PROMPT, expect, in_flight, raised, report, serve, sha256
from encoded import library, transport
from langchain_openai import ChatOpenAI


def model(name, **more):
    arguments = {"base_url": f"http://{ADDRESS}/v1", "api_key": "any", "max_retries": 0, "timeout": 60}
    return ChatOpenAI(model=name, **{**arguments, **more})


def chat(name, prompt=PROMPT, **more):
    return model(name, **more).invoke(prompt).content


def stream(name, prompt=PROMPT, **more):
    return model(name, **more).stream(prompt)


def text(chunks):
    return "".join(chunk.content for chunk in chunks)


def until(chunks, begun):
    """Takes chunks until one has this text."""
    for chunk in chunks:
        if chunk.content:
            assert chunk.content == begun, chunk
            return
    raise AssertionError("no text")


def cold():
    assert chat("smollm2", "Say hi.", max_tokens=3)


def unary():
    answer = model("smollm2", max_tokens=20).invoke("Count to ten.")
    assert answer.content and answer.usage_metadata["output_tokens"] <= 20, answer


def stream_():
    chunks = stream("smollm2", "Count to ten.", max_tokens=20, stream_usage=True)
    chunks = [next(chunks), (in_flight(), *chunks)[1:]]
    assert text([chunks[0], *chunks[1]]), chunks
    assert any(chunk.usage_metadata for chunk in chunks[1]), chunks


def late():
    assert report(text(stream("late")))["model"] == "late"


def cancel():
    chunks = stream("endless")
    until(chunks, "again ")
    in_flight()
    chunks.close()
    in_flight(0)


def break_():
    chunks = stream("break")
    until(chunks, "hello")
    return f"raises `{type(raised(Exception, list, chunks)).__name__}`"


def error_event():
    for _ in range(150):
        chunks = stream("error-event")
        until(chunks, "hello")
        assert "out of memory" in str(raised(openai.APIError, list, chunks))


def names():
    for name in ("Qwen/Qwen2.5-7B-Instruct", "llama3:8b"):
        expect(report(chat(name)), model=name)


def alias():
    expect(report(chat("openai/gpt-4o")), model="gpt_4")


def renamed():
    expect(report(chat("renamed")), model="org/Real:latest")


def requested():
    answer = model("asked/for:1").invoke(PROMPT)
    assert answer.response_metadata["model_name"] == "asked/for:1", answer
    expect(report(answer.content), model="org/Real:latest")
    chunks = list(stream("asked/for:1"))
    told = {chunk.response_metadata.get("model_name") for chunk in chunks}
    assert told - {None} == {"asked/for:1"}, chunks


def image():
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}
    got = report(model("echo").invoke([{"role": "user", "content": [part]}]).content)
    assert got["bytes"] > 1_500_000, got
    return f"writes `model` {got['model_at']}"


def encoded(coding):
    sent = []
    client = openai.DefaultHttpxClient(transport=transport(library(openai.DefaultHttpxClient), coding, sent))
    expect(report(chat("echo", http_client=client)), encoding=coding, sha256=sha256(sent[0]))


def gzip():
    encoded("gzip")


def zstd():
    encoded("zstd")


def unknown():
    error = raised(openai.NotFoundError, chat, "no-such-model")
    assert error.code == "model_not_found" and "no-such-model" in error.message, error
    return f"raises `{type(error).__name__}`"


def retry():
    begun = time.monotonic()
    assert chat("asleep", "Say hi.", max_tokens=3, max_retries=20)
    assert time.monotonic() - begun >= 1


def fields():
    answer = model("fields", default_headers=MANY_FIELDS, include_response_headers=True).invoke(PROMPT)
    assert answer.response_metadata["headers"]["x-answer-149"] == "149", answer
    expect(report(answer.content), last_field="149")


def early_hints():
    expect(report(chat("early-hints")), model="early-hints")


def trailers():
    expect(report(chat("trailers")), model="trailers")
    expect(report(text(stream("trailers"))), model="trailers")


def keep_alive():
    same = model("echo")
    for _ in range(20):
        same.invoke(PROMPT)
        text(same.stream(PROMPT))


serve(
    f"{version('langchain-openai')} with openai {openai.__version__}",
    [
        *(cold, unary, stream_, late, cancel, break_, error_event, names, alias, renamed),
        *(requested, image),
        *(gzip, zstd, unknown, retry, fields, early_hints, trailers, keep_alive),
    ],
    {
        "list": "the client lists no models",
        "upload": "the client sends no forms",
        **dict.fromkeys(["expect", "half-closed", "frames", "cors", "websocket"]),
    },
)
