"""Features that a client shows which sends what it is given: curl, and HTTP by hand."""

import gzip
import json
import time
from typing import NamedTuple
from urllib.parse import quote

import zstandard
from adapter import FILE, IMAGE, MANY_FIELDS, MODELS, PROMPT, expect, in_flight, raised, report, sha256

CHAT = "/v1/chat/completions"


class Answer(NamedTuple):
    status: int
    fields: dict
    body: bytes
    # Fields behind the body.
    trailers: dict = {}
    # Statuses of 1xx before it.
    interim: list = []

    def json(self):
        return json.loads(self.body)


class Caller:
    """What the features need of a client."""

    # Whether it can tell a break from an end.
    sees_breaks = True
    # How it says that it takes fields behind a body.
    te = {"te": "trailers"}

    def call(self, path, body=None, fields=None):
        """The whole answer to a POST of JSON, or to a GET if there is no body."""
        raise NotImplementedError

    def open(self, path, body):
        """The same, as it comes. It has

        until(text)    reads until the text has come
        rest()         the rest; an exception if it breaks off
        leave()        gives up
        """
        raise NotImplementedError

    def ask(self, model, content=PROMPT, fields=None, **more):
        body = {"messages": [{"role": "user", "content": content}], **more, "model": model}
        return self.call(CHAT, json.dumps(body).encode(), fields)

    def chat(self, model, **more):
        answer = self.ask(model, **more)
        assert answer.status == 200, answer
        return answer.json()["choices"][0]["message"]["content"]

    def stream_of(self, model, **more):
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Count to ten."}], **more}
        return self.open(CHAT, json.dumps(body).encode())

    def cold(self):
        assert self.chat("smollm2", content="Say hi.", max_tokens=3)

    def list(self):
        listed = {model["id"] for model in self.call("/v1/models").json()["data"]}
        assert listed >= MODELS, listed
        assert self.call(f"/v1/models/{quote('openai/gpt-4o', safe='')}").json()["id"] == "openai/gpt-4o"

    def unary(self):
        assert self.chat("smollm2", content="Count to ten.", max_tokens=20)

    def stream(self):
        stream = self.stream_of("smollm2", max_tokens=20)
        stream.until(b"data: ")
        in_flight()
        assert b"data: [DONE]" in stream.rest()

    def late(self):
        begun = time.monotonic()
        assert b"data: [DONE]" in self.stream_of("late").rest()
        assert time.monotonic() - begun >= 1.5

    def cancel(self):
        stream = self.stream_of("endless")
        stream.until(b"again")
        in_flight()
        stream.leave()
        in_flight(0)

    def break_(self):
        stream = self.stream_of("break")
        stream.until(b"hello")
        return f"sees {raised(Exception, stream.rest)}"

    def error_event(self):
        for _ in range(150):
            stream = self.stream_of("error-event")
            stream.until(b"out of memory")
            if self.sees_breaks:
                raised(Exception, stream.rest)

    def names(self):
        for name in ("Qwen/Qwen2.5-7B-Instruct", "llama3:8b"):
            expect(report(self.chat(name)), model=name)
            for written in (name, quote(name, safe="")):
                outputs = self.call(f"/v2/models/{written}/infer", b"{}").json()["outputs"]
                expect(report(outputs[0]["data"][0]), model=name)

    def alias(self):
        expect(report(self.chat("openai/gpt-4o")), model="gpt_4")

    def renamed(self):
        expect(report(self.chat("renamed")), model="org/Real:latest")

    def requested(self):
        answer = self.ask("asked/for:1").json()
        assert answer["model"] == "asked/for:1", answer
        expect(report(answer["choices"][0]["message"]["content"]), model="org/Real:latest")
        events = self.stream_of("asked/for:1").rest()
        assert b'"model": "asked/for:1"' in events and b'"model": "org' not in events, events

    def image(self):
        content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}]
        messages = {"messages": [{"role": "user", "content": content}]}
        for place, body in (("first", {"model": "echo"} | messages), ("last", messages | {"model": "echo"})):
            body = json.dumps(body).encode()
            answer = self.call(CHAT, body).json()["choices"][0]["message"]["content"]
            expect(report(answer), model="echo", model_at=place, sha256=sha256(body))
        return "with `model` first, and with `model` last"

    def upload(self):
        parts = [("file", '; filename="a.wav"', FILE), ("model", "", b"echo")]
        form = b"".join(
            f'--end\r\ncontent-disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + data + b"\r\n"
            for name, more, data in parts
        )
        form += b"--end--\r\n"
        fields = {"content-type": "multipart/form-data; boundary=end"}
        answer = self.call("/v1/audio/transcriptions", form, fields)
        expect(report(answer.json()["text"]), model="echo", model_at="behind the file", sha256=sha256(form))
        return "writes `model` behind the file"

    def _encoded(self, coding, encode):
        body = encode(json.dumps({"messages": PROMPT, "model": "echo"}).encode())
        answer = self.call(CHAT, body, {"content-encoding": coding})
        assert answer.status == 200, answer
        got = report(answer.json()["choices"][0]["message"]["content"])
        expect(got, encoding=coding, sha256=sha256(body))
        # Its bad-input twin: cut short before the model.
        assert self.call(CHAT, body[: len(body) // 3], {"content-encoding": coding}).status == 400

    def gzip(self):
        self._encoded("gzip", gzip.compress)

    def zstd(self):
        self._encoded("zstd", zstandard.compress)

    def unknown(self):
        answer = self.ask("no-such-model")
        assert answer.status == 404 and answer.json()["error"]["code"] == "model_not_found", answer
        answer = self.call("/v2/models/no-such-model")
        assert answer.status == 404 and "no-such-model" in answer.json()["error"], answer
        return "status 404, and JSON in the API's form"

    def fields(self):
        answer = self.ask("fields", fields=MANY_FIELDS)
        assert answer.fields["x-answer-149"] == "149", answer
        expect(report(answer.json()["choices"][0]["message"]["content"]), last_field="149")
        refused = self.ask("fields", fields={f"x-field-{number}": "1" for number in range(201)})
        assert refused.status == 431, refused
        return "431 for more than `TAILBACK_HEADER_MAX_FIELDS`"

    def early_hints(self):
        answer = self.ask("early-hints")
        assert answer.status == 200 and answer.interim in ([], [103]), answer
        return "gets the 103, too" if answer.interim else "gets the answer; Tailback leaves out the 103"

    def trailers(self):
        answer = self.ask("trailers", fields=self.te)
        assert answer.status == 200, answer
        assert "x-checksum" in answer.trailers, "the fields behind the body are missing"
