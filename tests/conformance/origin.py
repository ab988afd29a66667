"""A model server that tells what it was sent, and fails in chosen ways: what no real one does when told to.

It answers in the API of the request's path. What it does is told by the model's name:

| model | |
|---|---|
| `break` | one event, then the connection closes |
| `error-event` | one event, 10 ms, an event of an error, then the connection closes |
| `late` | the header at once, the first event after 1.5 s; not streamed: the header after 1.5 s |
| `endless` | an event every 20 ms until the caller leaves |
| `early-hints` | 103, then the answer |
| `trailers` | the answer, and a field behind it |
| `fields` | the answer, with 150 header fields |
| any other | the answer |

The answer's text is a report in JSON: the model's name, where in the body it stood, the body's length,
SHA-256 and Content-Encoding, and the number of header fields. Events are its pieces. While the origin
works on a request, it has the number of requests in flight checked.
"""

import gzip
import hashlib
import json
import re
import socketserver
import threading
import time
from urllib.parse import unquote

import wire


class Request:
    """What came."""

    def __init__(self, method, path, fields, body):
        self.method, self.path, self.fields, self.body = method, path, fields, body
        self.encoding = self.field("content-encoding")
        self.model, self.model_at, self.stream = self._look()

    def field(self, name):
        return next((value for found, value in self.fields if found == name), None)

    def _look(self):
        if form := re.search(rb'name="?model"?\r\n(?:[^\r]+\r\n)*\r\n([^\r]*)', self.body):
            behind = form.start() > len(self.body) / 2
            return form[1].decode(), "behind the file" if behind else "before the file", False
        body = gzip.decompress(self.body) if self.encoding == "gzip" else self.body
        try:
            fields = json.loads(body)
            keys = list(fields)
        except (ValueError, TypeError):
            fields, keys = {}, []
        at = {0: "first", len(keys) - 1: "last"}.get(keys.index("model"), "in the middle") if "model" in keys else None
        path = re.match(r"/v2/models/(.+)/infer", self.path)
        name = fields.get("model") or path and unquote(path[1]) or self.field("seldon-model")
        # Ollama streams unless it is told not to; what cannot be read here asks for a whole answer.
        stream = fields.get("stream", self.path == "/api/chat" and bool(fields))
        return name, at, stream

    def report(self):
        return {
            "model": self.model,
            "model_at": self.model_at,
            "bytes": len(self.body),
            "sha256": hashlib.sha256(self.body).hexdigest(),
            "encoding": self.encoding,
            "fields": len(self.fields),
            "last_field": self.field("x-field-149"),
        }


class Origin:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, check_in_flight):
        """`check_in_flight()` is called while a request is worked on."""
        origin = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while origin._answer(self.rfile, self.wfile):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # a caller that leaves is what some features are about

        self.check_in_flight = check_in_flight
        # Streams that ended because their caller had left.
        self.left = 0
        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _answer(self, reader, writer):
        """Answers one request; whether the connection goes on."""
        read = wire.read_request(reader)
        if read is None:
            return False
        request = Request(*read)
        if request.path == "/page":
            writer.write(wire.response(b"<!doctype html><link rel=icon href=data:,><title>page</title>", "text/html"))
            return True
        if request.path in ("/v1/models", "/health"):
            # Tailback's own questions, which are no requests of a caller.
            writer.write(wire.response(b"{}", "application/json"))
            return True
        self.check_in_flight()
        form = wire.form_of(request.path)
        model = request.model
        text = json.dumps(request.report())
        if model == "late" and not request.stream:
            time.sleep(1.5)
        if model == "early-hints":
            writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n")
        if not request.stream:
            body, kind = form.whole(model, text)
            fields = [(f"x-answer-{n}", str(n)) for n in range(150)] if model == "fields" else []
            if model == "trailers":
                writer.write(wire.head(kind, [("trailer", "x-checksum"), *fields], chunked=True))
                writer.write(wire.chunk(body) + b"0\r\nx-checksum: " + wire.checksum(body) + b"\r\n\r\n")
            else:
                writer.write(wire.response(body, kind, fields))
            return True
        return self._stream(writer, form, model, text)

    def _stream(self, writer, form, model, text):
        fields = [(f"x-answer-{n}", str(n)) for n in range(150)] if model == "fields" else []
        trailing = model == "trailers"
        writer.write(wire.head(form.events, [("trailer", "x-checksum")] * trailing + fields, chunked=True))
        if model == "late":
            time.sleep(1.5)
        writer.write(wire.chunk(form.start(model)))
        if model in ("break", "error-event"):
            writer.write(wire.chunk(form.piece(model, "hello")))
            time.sleep(0.01)
            if model == "error-event":
                writer.write(wire.chunk(form.error("the origin is out of memory")))
            return False
        if model == "endless":
            try:
                while True:
                    writer.write(wire.chunk(form.piece(model, "again ")))
                    time.sleep(0.02)
            except OSError:
                self.left += 1
                return False
        half = len(text) // 2
        for piece in (text[:half], text[half:]):
            writer.write(wire.chunk(form.piece(model, piece)))
        writer.write(wire.chunk(form.end(model)))
        writer.write(b"0\r\n" + (b"x-checksum: " + wire.checksum(text.encode()) + b"\r\n") * trailing + b"\r\n")
        return True
