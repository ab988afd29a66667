"""OpenAI's Responses API: a server that stores responses, and the openai client.

Usage: responses.py serve             prints `port N`; stores what it answers
       responses.py follow HOST:PORT  conversations with the models m and other, of two replicas each
       responses.py full HOST:PORT    the same with requests that fill m's replicas, at a line
       responses.py odd HOST:PORT     requests and answers that are no good
       responses.py gone HOST:PORT    prints the replica of a response; goes on without it, at a line
Exits with status 0 if every answer was right.
"""

import gzip
import itertools
import json
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import openai

# --- the server ---

# Answers that are no good, or have no id that can be read, by what the request says.
ODD = {
    "number": b'{"id": 7, "object": "response"}',
    "cut": b'{"id": "resp_cut',
    "list": b'["id", "resp_list"]',
    "long": b'{"id": "' + b"x" * 5000 + b'"}',
    "late": b'{"output": "' + b"x" * 100_000 + b'", "id": "resp_late"}',
    "text": b"\x00\xff{{{",
    "empty": b"",
}


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.responses, self.numbers, self.cancelled = {}, itertools.count(), threading.Event()

    def answer(self, request, number):
        return {
            "id": f"resp_{self.server_port}_{number}",
            "object": "response",
            "created_at": 1,
            "model": request["model"],
            "status": "completed",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "previous_response_id": request.get("previous_response_id"),
            "metadata": {"replica": str(self.server_port)},
        }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *_):
        pass

    def reply(self, status, body, *fields):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (("content-type", "application/json"), *fields):
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def not_found(self, id):
        message = f"Response with id '{id}' not found at {self.server.server_port}."
        self.reply(404, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path.endswith("/cancel"):
            self.server.cancelled.set()
            return self.stored()
        if self.headers.get("content-encoding") == "gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, EOFError, zlib.error):
                return self.reply(400, {"error": {"message": "not gzip"}})
        request = json.loads(body)
        before = request.get("previous_response_id")
        if before is not None and not (isinstance(before, str) and before in self.server.responses):
            return self.not_found(before)
        odd = (request.get("metadata") or {}).get("odd")
        if odd == "gzip":
            answer = self.server.answer(request, "gzip")
            self.server.responses[answer["id"]] = request
            return self.reply(200, gzip.compress(json.dumps(answer).encode()), ("content-encoding", "gzip"))
        if odd is not None:
            return self.reply(200, ODD[odd])
        answer = self.server.answer(request, next(self.server.numbers))
        self.server.responses[answer["id"]] = request
        if not request.get("stream"):
            return self.reply(200, answer)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.event("response.created", 0, answer)
        if request["input"] == "until cancelled":
            assert self.server.cancelled.wait(60)
        self.event("response.completed", 1, answer)
        self.close_connection = True

    def event(self, kind, number, answer):
        data = json.dumps({"type": kind, "sequence_number": number, "response": answer})
        self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())
        self.wfile.flush()

    def do_GET(self):
        if "/responses/" not in self.path:
            return self.reply(200, {})
        self.stored()

    def do_DELETE(self):
        self.stored()

    def stored(self):
        id, *rest = self.path.split("/responses/")[1].split("/")
        request = self.server.responses.get(id)
        if request is None:
            return self.not_found(id)
        if rest == ["input_items"]:
            item = {"id": "msg_1", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
            return self.reply(200, {"object": "list", "data": [item], "has_more": False, "first_id": "msg_1", "last_id": "msg_1"})
        if self.command == "DELETE":
            del self.server.responses[id]
            return self.reply(200, {"id": id, "object": "response", "deleted": True})
        self.reply(200, self.server.answer(request, id.rsplit("_", 1)[1]))


# --- the client ---


def refused(error, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error as raised:
        return raised
    raise AssertionError(f"expected {error}")


def replica(response):
    return response.metadata["replica"]


def conversation(client, model, n):
    """A turn, and all that can be done with it: at one replica, whichever it is."""
    kind = n % 3
    if kind == 0:
        first = client.responses.create(model=model, input="one")
    else:
        events = list(client.responses.create(model=model, input="one", stream=True))
        assert [event.type for event in events] == ["response.created", "response.completed"]
        first = events[0].response
    # Behind all of the input, as the client of this version writes it; some of it is long.
    text = "x" * (300_000 if n % 4 == 0 else 10)
    second = client.responses.create(model=model, input=text, previous_response_id=first.id)
    assert replica(second) == replica(first), (first, second)
    body = {"model": model, "input": text, "previous_response_id": second.id}
    packed = client.post(
        "/responses",
        content=gzip.compress(json.dumps(body).encode()),
        options={"headers": {"content-type": "application/json", "content-encoding": "gzip"}},
        cast_to=openai.types.responses.Response,
    )
    assert replica(packed) == replica(first), packed
    for response in (first, second, packed):
        assert replica(client.responses.retrieve(response.id)) == replica(first)
        assert client.responses.input_items.list(response.id).data[0].id == "msg_1"
        assert replica(client.responses.cancel(response.id)) == replica(first)
    client.responses.delete(second.id)
    error = refused(openai.NotFoundError, client.responses.retrieve, second.id)
    assert f"not found at {replica(first)}" in error.message, error
    return replica(first)


def follow(client):
    for model in ("m", "other"):
        replicas = {conversation(client, model, n) for n in range(12)}
        assert len(replicas) == 2, "both replicas have had some"
    # Of what no answer has told, nobody knows where it is.
    error = refused(openai.NotFoundError, client.responses.retrieve, "resp_unknown")
    assert "not known which replica" in error.message, error
    unknown = {"model": "m", "input": "x", "previous_response_id": "resp_unknown"}
    error = refused(openai.NotFoundError, client.responses.create, **unknown)
    assert "'resp_unknown' not found at" in error.message, error
    # A response of another model is not at any replica of this one.
    first = client.responses.create(model="other", input="one")
    elsewhere = {"model": "m", "input": "x", "previous_response_id": first.id}
    refused(openai.NotFoundError, client.responses.create, **elsewhere)


def full(client):
    """Each replica has room for one request, which its stream occupies until it is cancelled."""
    streams = [client.responses.create(model="m", input="until cancelled", stream=True) for _ in range(2)]
    first = [next(stream).response for stream in streams]
    assert replica(first[0]) != replica(first[1])
    later = []

    def go_on(response):
        later.append(client.responses.create(model="m", input="x", previous_response_id=response.id))

    waiting = [threading.Thread(target=go_on, args=(response,)) for response in first]
    for thread in waiting:
        thread.start()
    print("full", flush=True)
    sys.stdin.readline()
    for response, stream in reversed(list(zip(first, streams))):
        # Does not wait for the end of what it ends.
        client.responses.cancel(response.id)
        assert [event.type for event in stream] == ["response.completed"]
    for thread in waiting:
        thread.join(30)
    assert {(r.previous_response_id, replica(r)) for r in later} == {(r.id, replica(r)) for r in first}


def gone(client):
    first = client.responses.create(model="m", input="x")
    print(replica(first), flush=True)
    sys.stdin.readline()
    follows = {"model": "m", "input": "x", "previous_response_id": first.id}
    for error in (
        refused(openai.NotFoundError, client.responses.create, **follows),
        refused(openai.NotFoundError, client.responses.retrieve, first.id),
    ):
        assert f"'{first.id}' not found at" in error.message, error
        assert not error.message.endswith(f" {replica(first)}."), error


def odd(client):
    url = f"{client.base_url}responses"
    for kind, expected in ODD.items():
        body = {"model": "m", "input": "x", "metadata": {"odd": kind}}
        answer = httpx2.post(url, json=body)
        assert (answer.status_code, answer.content) == (200, expected), kind
    # An answer that is compressed although nobody asked for it is passed on, and not read.
    body = {"model": "m", "input": "x", "metadata": {"odd": "gzip"}}
    answer = httpx2.post(url, json=body)
    assert answer.headers["content-encoding"] == "gzip" and answer.json()["object"] == "response"
    assert httpx2.get(f"{url}/{answer.json()['id']}").status_code == 404
    first = httpx2.post(url, json={"model": "m", "input": "x"}).json()["id"]
    assert httpx2.get(f"{url}/{first}").json()["id"] == first
    for id in ("", "/", "%ff", "x" * 5000, f"{first}x", "%00"):
        answer = httpx2.get(f"{url}/{id}")
        assert answer.status_code in (400, 404), (id, answer)
    for before in (None, 7, [first], {"id": first}, "", "x" * 100_000, "\x00"):
        body = {"model": "m", "input": "x", "previous_response_id": before}
        answer = httpx2.post(url, json=body)
        assert answer.status_code == (200 if before is None else 404), (before, answer)
    broken = gzip.compress(json.dumps({"model": "m", "x": "y" * 1000}).encode())[:-12]
    fields = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = httpx2.post(url, content=broken, headers=fields)
    assert answer.status_code == 400, answer
    assert httpx2.get(f"{url}/{first}").json()["id"] == first


what, *arguments = sys.argv[1:]
if what == "serve":
    server = Server()
    print("port", server.server_port, flush=True)
    server.serve_forever()
else:
    (address,) = arguments
    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0, timeout=30)
    {"follow": follow, "full": full, "gone": gone, "odd": odd}[what](client)
