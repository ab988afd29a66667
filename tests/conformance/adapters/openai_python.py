"""openai-python 1, 2 and 3."""

import time

import openai
from adapter import (
    ADDRESS, FILE, IMAGE, MANY_FIELDS, MODELS, PROMPT, expect, in_flight, raised, report, serve, sha256,
)
from encoded import library, transport


def client(**more):
    arguments = {"base_url": f"http://{ADDRESS}/v1", "api_key": "any", "max_retries": 0, "timeout": 60}
    return openai.OpenAI(**{**arguments, **more})


CLIENT = client()


def create(model, content=PROMPT, by=CLIENT, **more):
    return by.chat.completions.create(model=model, messages=[{"role": "user", "content": content}], **more)


def chat(model, **more):
    return create(model, **more).choices[0].message.content


def stream(model, **more):
    return create(model, stream=True, **more)


def text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def cold():
    assert chat("smollm2", content="Say hi.", max_tokens=3)


def list_():
    assert {model.id for model in CLIENT.models.list()} >= MODELS
    assert CLIENT.models.retrieve("openai/gpt-4o").id == "openai/gpt-4o"


def unary():
    answer = create("smollm2", content="Count to ten.", max_tokens=20)
    assert answer.choices[0].message.content and answer.usage.completion_tokens <= 20, answer


def stream_():
    chunks = stream("smollm2", content="Count to ten.", max_tokens=20, stream_options={"include_usage": True})
    first = next(chunks)
    in_flight()
    chunks = [first, *chunks]
    assert text(chunks) and chunks[-1].usage.completion_tokens > 1, chunks


def late():
    assert report(text(stream("late")))["model"] == "late"


def cancel():
    chunks = stream("endless")
    assert text([next(chunks)]) == "again "
    in_flight()
    chunks.close()
    in_flight(0)


def break_():
    chunks = stream("break")
    assert text([next(chunks)]) == "hello"
    return f"raises `{type(raised(Exception, list, chunks)).__name__}`"


def error_event():
    for _ in range(150):
        chunks = stream("error-event")
        assert text([next(chunks)]) == "hello"
        assert "out of memory" in raised(openai.APIError, list, chunks).message


def names():
    for name in ("Qwen/Qwen2.5-7B-Instruct", "llama3:8b"):
        expect(report(chat(name)), model=name)
        assert CLIENT.models.retrieve(name).id == name


def alias():
    expect(report(chat("openai/gpt-4o")), model="gpt_4")


def renamed():
    expect(report(chat("renamed")), model="org/Real:latest")


def requested():
    answer = create("asked/for:1")
    assert answer.model == "asked/for:1", answer
    expect(report(answer.choices[0].message.content), model="org/Real:latest")
    chunks = list(stream("asked/for:1"))
    assert {chunk.model for chunk in chunks} == {"asked/for:1"}, chunks


def image():
    url = f"data:image/png;base64,{IMAGE}"
    got = report(chat("echo", content=[{"type": "image_url", "image_url": {"url": url}}]))
    assert got["bytes"] > 1_500_000, got
    return f"writes `model` {got['model_at']}"


def upload():
    form = {"model": "echo", "file": ("a.wav", FILE)}
    got = report(CLIENT.audio.transcriptions.create(**form).text)
    expect(got, model="echo")
    assert got["bytes"] > len(FILE), got
    return f"writes `model` {got['model_at']}"


def encoded(coding):
    sent = []
    by = client(http_client=openai.DefaultHttpxClient(transport=transport(library(openai.DefaultHttpxClient), coding, sent)))
    expect(report(chat("echo", by=by)), encoding=coding, sha256=sha256(sent[0]))


def gzip():
    encoded("gzip")


def zstd():
    encoded("zstd")


def unknown():
    error = raised(openai.NotFoundError, chat, "no-such-model")
    assert (error.code, error.param) == ("model_not_found", "model"), error
    assert "no-such-model" in error.message, error
    raised(openai.NotFoundError, CLIENT.models.retrieve, "no-such-model")
    return "raises `NotFoundError`"


def retry():
    begun = time.monotonic()
    assert chat("asleep", content="Say hi.", max_tokens=3, by=client(max_retries=20))
    assert time.monotonic() - begun >= 1


def fields():
    answer = CLIENT.chat.completions.with_raw_response.create(
        model="fields", messages=[{"role": "user", "content": "hi"}], extra_headers=MANY_FIELDS
    )
    assert answer.headers["x-answer-149"] == "149", answer.headers
    expect(report(answer.parse().choices[0].message.content), last_field="149")


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
    openai.__version__,
    [
        *(cold, list_, unary, stream_, late, cancel, break_, error_event, names, alias, renamed),
        *(requested, image, upload),
        *(gzip, zstd, unknown, retry, fields, early_hints, trailers, keep_alive),
    ],
    {
        "websocket": "its Realtime API is not tried here; WebSockets are with the browser",
        **dict.fromkeys(["expect", "half-closed", "frames", "cors"]),
    },
)
