"""HTTP/1.1, and how answers look in each API, as the origin writes them."""

import json
import zlib


def read_request(reader):
    """Method, path, fields and body of the next request; nothing if there is none."""
    line = reader.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ", 2)
    fields = []
    while (line := reader.readline().decode().rstrip("\r\n")) != "":
        name, value = line.split(":", 1)
        fields.append((name.lower(), value.strip()))
    names = dict(fields)
    if "chunked" in names.get("transfer-encoding", ""):
        return method, path, fields, _chunks(reader)
    return method, path, fields, reader.read(int(names.get("content-length", 0)))


def _chunks(reader):
    body = b""
    while length := int(reader.readline(), 16):
        body += reader.read(length)
        reader.readline()
    reader.readline()
    return body


def head(kind, fields=(), length=None, chunked=False):
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {length}"
    more = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{framing}\r\n{more}\r\n".encode()


def response(body, kind, fields=()):
    return head(kind, fields, length=len(body)) + body


def chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n" if data else b""


def checksum(data):
    return str(zlib.crc32(data)).encode()


def event(data, name=None):
    named = f"event: {name}\n" if name else ""
    return f"{named}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


class Plain:
    """Any other path: the text itself."""

    events = "text/event-stream"

    def whole(self, model, text):
        return text.encode(), "application/json"

    def start(self, model):
        return b""

    def piece(self, model, text):
        return event(text)

    def error(self, message):
        return event({"error": {"message": message}})

    def end(self, model):
        return event("[DONE]")


class OpenAi(Plain):
    """`/v1/chat/completions`."""

    def _chat(self, kind, model, **choice):
        choice = {"index": 0, **choice}
        return {"id": "c-1", "object": kind, "created": 1, "model": model, "choices": [choice]}

    def whole(self, model, text):
        message = {"role": "assistant", "content": text}
        answer = self._chat("chat.completion", model, message=message, finish_reason="stop")
        answer["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return json.dumps(answer).encode(), "application/json"

    def piece(self, model, text):
        delta = {"role": "assistant", "content": text}
        return event(self._chat("chat.completion.chunk", model, delta=delta, finish_reason=None))

    def error(self, message):
        return event({"error": {"message": message, "type": "server_error", "code": 500}})

    def end(self, model):
        last = self._chat("chat.completion.chunk", model, delta={}, finish_reason="stop")
        return event(last) + event("[DONE]")


class Transcription(Plain):
    """`/v1/audio/transcriptions`."""

    def whole(self, model, text):
        return json.dumps({"text": text}).encode(), "application/json"


class Anthropic(Plain):
    """`/v1/messages`."""

    def _message(self, model, content):
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content}
        return {**message, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}

    def _event(self, name, **fields):
        return event({"type": name, **fields}, name)

    def whole(self, model, text):
        message = self._message(model, [{"type": "text", "text": text}])
        return json.dumps(message).encode(), "application/json"

    def start(self, model):
        block = {"type": "text", "text": ""}
        begun = self._event("message_start", message=self._message(model, []))
        return begun + self._event("content_block_start", index=0, content_block=block)

    def piece(self, model, text):
        return self._event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})

    def error(self, message):
        return self._event("error", error={"type": "overloaded_error", "message": message})

    def end(self, model):
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        return (
            self._event("content_block_stop", index=0)
            + self._event("message_delta", delta=delta, usage={"output_tokens": 1})
            + self._event("message_stop")
        )


class Ollama(Plain):
    """`/api/chat`: a line of JSON each."""

    events = "application/x-ndjson"

    def _line(self, model, text, done):
        message = {"role": "assistant", "content": text}
        line = {"model": model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": done}
        return json.dumps(line).encode() + b"\n"

    def whole(self, model, text):
        return self._line(model, text, True), "application/json"

    def piece(self, model, text):
        return self._line(model, text, False)

    def error(self, message):
        return json.dumps({"error": message}).encode() + b"\n"

    def end(self, model):
        return self._line(model, "", True)


class Tensors(Plain):
    """`/v2/models/{name}/infer`: the report is a tensor."""

    def whole(self, model, text):
        output = {"name": "report", "datatype": "BYTES", "shape": [1], "data": [text]}
        return json.dumps({"model_name": model, "outputs": [output]}).encode(), "application/json"


_FORMS = {
    "/v1/chat/completions": OpenAi(),
    "/v1/audio/transcriptions": Transcription(),
    "/v1/messages": Anthropic(),
    "/api/chat": Ollama(),
}


def form_of(path):
    path = path.split("?")[0]
    if path.startswith("/v2/"):
        return Tensors()
    return _FORMS.get(path, Plain())
