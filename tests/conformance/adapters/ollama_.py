"""ollama."""

from importlib.metadata import version

import httpx
import ollama
from adapter import ADDRESS, IMAGE, MANY_FIELDS, MODELS, PROMPT, expect, in_flight, raised, report, serve, sha256
from encoded import transport


def client(**more):
    return ollama.Client(host=f"http://{ADDRESS}", timeout=60, **more)


CLIENT = client()


def chat(model, by=CLIENT, **more):
    return by.chat(model=model, messages=[{"role": "user", "content": PROMPT, **more}]).message.content


def stream(model):
    return CLIENT.chat(model=model, messages=[{"role": "user", "content": PROMPT}], stream=True)


def text(chunks):
    return "".join(chunk.message.content for chunk in chunks)


def list_():
    assert {model.model for model in CLIENT.list().models} >= MODELS


def unary():
    expect(report(chat("echo")), model="echo")


def stream_():
    assert report(text(stream("echo")))["model"] == "echo"


def late():
    assert report(text(stream("late")))["model"] == "late"


def cancel():
    chunks = stream("endless")
    assert next(chunks).message.content == "again "
    in_flight()
    chunks.close()
    in_flight(0)


def break_():
    chunks = stream("break")
    assert next(chunks).message.content == "hello"
    return f"raises `{type(raised(Exception, list, chunks)).__name__}`"


def error_event():
    for _ in range(150):
        chunks = stream("error-event")
        assert next(chunks).message.content == "hello"
        assert "out of memory" in raised(ollama.ResponseError, list, chunks).error


def names():
    for name in ("Qwen/Qwen2.5-7B-Instruct", "llama3:8b"):
        expect(report(chat(name)), model=name)


def alias():
    expect(report(chat("openai/gpt-4o")), model="gpt_4")


def renamed():
    expect(report(chat("renamed")), model="org/Real:latest")


def requested():
    answer = CLIENT.chat(model="asked/for:1", messages=[{"role": "user", "content": PROMPT}])
    assert answer.model == "asked/for:1", answer
    expect(report(answer.message.content), model="org/Real:latest")
    assert {chunk.model for chunk in stream("asked/for:1")} == {"asked/for:1"}


def image():
    got = report(chat("echo", images=[IMAGE]))
    assert got["bytes"] > 1_500_000, got
    return f"writes `model` {got['model_at']}"


def encoded(coding):
    sent = []
    by = client(transport=transport(httpx, coding, sent))
    expect(report(chat("echo", by=by)), encoding=coding, sha256=sha256(sent[0]))


def gzip():
    encoded("gzip")


def zstd():
    encoded("zstd")


def unknown():
    error = raised(ollama.ResponseError, chat, "no-such-model")
    assert error.status_code == 404 and "no-such-model" in error.error, error
    return "raises `ResponseError` with the status 404"


def fields():
    expect(report(chat("fields", by=client(headers=MANY_FIELDS))), last_field="149")


def early_hints():
    expect(report(chat("early-hints")), model="early-hints")


def trailers():
    expect(report(chat("trailers")), model="trailers")
    expect(report(text(stream("trailers"))), model="trailers")


def keep_alive():
    for _ in range(20):
        chat("echo")
        text(stream("echo"))


serve(
    version("ollama"),
    [
        *(list_, unary, stream_, late, cancel, break_, error_event, names, alias, renamed),
        *(requested, image),
        *(gzip, zstd, unknown, fields, early_hints, trailers, keep_alive),
    ],
    {
        "upload": None,
        **dict.fromkeys(["cold", "retry", "expect", "half-closed", "frames", "cors", "websocket"]),
    },
)
