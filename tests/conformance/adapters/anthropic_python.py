"""anthropic."""

import time

import anthropic
from adapter import ADDRESS, IMAGE, MANY_FIELDS, MODELS, PROMPT, expect, in_flight, raised, report, serve, sha256
from encoded import library, transport


def client(**more):
    arguments = {"base_url": f"http://{ADDRESS}", "api_key": "any", "max_retries": 0, "timeout": 60}
    return anthropic.Anthropic(**{**arguments, **more})


CLIENT = client()


def create(model, content=PROMPT, by=CLIENT, **more):
    messages = [{"role": "user", "content": content}]
    return by.messages.create(**{"model": model, "messages": messages, "max_tokens": 100, **more})


def chat(model, **more):
    return create(model, **more).content[0].text


def stream(model, **more):
    return create(model, stream=True, **more)


def text(events):
    return "".join(event.delta.text for event in events if event.type == "content_block_delta")


def until(events, begun):
    """Takes events until one has this text."""
    for event in events:
        if piece := text([event]):
            assert piece == begun, event
            return
    raise AssertionError("no text")


def cold():
    assert chat("smollm2", content="Say hi.", max_tokens=3)


def list_():
    assert {model.id for model in CLIENT.models.list()} >= MODELS
    assert CLIENT.models.retrieve("openai/gpt-4o").id == "openai/gpt-4o"


def unary():
    answer = create("smollm2", content="Count to ten.", max_tokens=20)
    assert answer.content[0].text and answer.usage.output_tokens <= 20, answer


def stream_():
    events = stream("smollm2", content="Count to ten.", max_tokens=20)
    first = next(events)
    in_flight()
    events = [first, *events]
    assert text(events) and events[-1].type == "message_stop", events


def late():
    assert report(text(stream("late")))["model"] == "late"


def cancel():
    events = stream("endless")
    until(events, "again ")
    in_flight()
    events.close()
    in_flight(0)


def break_():
    events = stream("break")
    until(events, "hello")
    return f"raises `{type(raised(Exception, list, events)).__name__}`"


def error_event():
    for _ in range(150):
        events = stream("error-event")
        until(events, "hello")
        assert "out of memory" in str(raised(anthropic.APIError, list, events))


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
    expect(report(answer.content[0].text), model="org/Real:latest")
    begun = next(event for event in stream("asked/for:1") if event.type == "message_start")
    assert begun.message.model == "asked/for:1", begun


def image():
    source = {"type": "base64", "media_type": "image/png", "data": IMAGE}
    got = report(chat("echo", content=[{"type": "image", "source": source}]))
    assert got["bytes"] > 1_500_000, got
    return f"writes `model` {got['model_at']}"


def encoded(coding):
    sent = []
    kind = anthropic.DefaultHttpxClient
    by = client(http_client=kind(transport=transport(library(kind), coding, sent)))
    expect(report(chat("echo", by=by)), encoding=coding, sha256=sha256(sent[0]))


def gzip():
    encoded("gzip")


def zstd():
    encoded("zstd")


def unknown():
    error = raised(anthropic.NotFoundError, chat, "no-such-model")
    assert error.body["type"] == "error" and error.body["error"]["type"] == "not_found_error", error.body
    assert "no-such-model" in error.body["error"]["message"], error.body
    raised(anthropic.NotFoundError, CLIENT.models.retrieve, "no-such-model")
    return "raises `NotFoundError`"


def retry():
    begun = time.monotonic()
    assert chat("asleep", content="Say hi.", max_tokens=3, by=client(max_retries=20))
    assert time.monotonic() - begun >= 1


def fields():
    answer = CLIENT.messages.with_raw_response.create(
        model="fields", max_tokens=9, messages=[{"role": "user", "content": "hi"}], extra_headers=MANY_FIELDS
    )
    assert answer.headers["x-answer-149"] == "149", answer.headers
    expect(report(answer.parse().content[0].text), last_field="149")


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
    anthropic.__version__,
    [
        *(cold, list_, unary, stream_, late, cancel, break_, error_event, names, alias, renamed),
        *(requested, image),
        *(gzip, zstd, unknown, retry, fields, early_hints, trailers, keep_alive),
    ],
    {
        "upload": "files are not for a model",
        **dict.fromkeys(["expect", "half-closed", "frames", "cors", "websocket"]),
    },
)
