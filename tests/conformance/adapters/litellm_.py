"""litellm as a client: `openai/NAME` with an `api_base` of its own."""

import os
import time
from importlib.metadata import version

# Its table of prices is in the package, too.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from adapter import ADDRESS, FILE, IMAGE, MANY_FIELDS, PROMPT, expect, in_flight, raised, report, serve

litellm.telemetry = False
litellm.suppress_debug_info = True


def create(name, content=PROMPT, **more):
    arguments = {"api_base": f"http://{ADDRESS}/v1", "api_key": "any", "max_retries": 0, "timeout": 60}
    messages = [{"role": "user", "content": content}]
    return litellm.completion(model=f"openai/{name}", messages=messages, **{**arguments, **more})


def chat(name, **more):
    return create(name, **more).choices[0].message.content


def stream(name, **more):
    return create(name, stream=True, **more)


def text(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def until(chunks, begun):
    """Takes chunks until one has this text."""
    for chunk in chunks:
        if piece := text([chunk]):
            assert piece == begun, chunk
            return
    raise AssertionError("no text")


def cold():
    assert chat("smollm2", content="Say hi.", max_tokens=3)


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
    until(chunks, "again ")
    in_flight()
    chunks.completion_stream.close()
    in_flight(0)


def break_():
    chunks = stream("break")
    until(chunks, "hello")
    return f"raises `{type(raised(Exception, list, chunks)).__name__}`"


def error_event():
    for _ in range(150):
        chunks = stream("error-event")
        until(chunks, "hello")
        assert "out of memory" in str(raised(Exception, list, chunks))


def names():
    for name in ("Qwen/Qwen2.5-7B-Instruct", "llama3:8b"):
        expect(report(chat(name)), model=name)


def alias():
    expect(report(chat("openai/gpt-4o")), model="gpt_4")


def renamed():
    expect(report(chat("renamed")), model="org/Real:latest")


def requested():
    answer = create("asked/for:1")
    assert answer.model == "asked/for:1", answer
    expect(report(answer.choices[0].message.content), model="org/Real:latest")
    return "its chunks have the name that it was given, whatever comes"


def image():
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}
    got = report(chat("echo", content=[part]))
    assert got["bytes"] > 1_500_000, got
    return f"writes `model` {got['model_at']}"


def upload():
    where = {"api_base": f"http://{ADDRESS}/v1", "api_key": "any"}
    got = report(litellm.transcription(model="openai/echo", file=("a.wav", FILE), **where).text)
    expect(got, model="echo")
    assert got["bytes"] > len(FILE), got
    return f"writes `model` {got['model_at']}"


def unknown():
    error = raised(litellm.NotFoundError, chat, "no-such-model")
    assert "no-such-model" in error.message, error
    return "raises `NotFoundError`"


def retry():
    begun = time.monotonic()
    assert chat("asleep", content="Say hi.", max_tokens=3, max_retries=20)
    assert time.monotonic() - begun >= 1


def fields():
    answer = create("fields", extra_headers=MANY_FIELDS)
    expect(report(answer.choices[0].message.content), last_field="149")
    headers = answer._hidden_params["additional_headers"]
    assert headers["llm_provider-x-answer-149"] == "149", headers


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
    version("litellm"),
    [
        *(cold, unary, stream_, late, cancel, break_, error_event, names, alias, renamed),
        *(requested, image, upload),
        *(unknown, retry, fields, early_hints, trailers, keep_alive),
    ],
    {
        "list": "the client lists no models",
        **dict.fromkeys(["gzip", "zstd", "expect", "half-closed", "frames", "cors", "websocket"]),
    },
)
