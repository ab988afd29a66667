"""Frames of HTTP/2, and of gRPC in them, by the library h2."""

import json
import socket
import struct

import h2
from adapter import ADDRESS, PROMPT, expect, report, serve, sha256
from caller import CHAT, Answer, Caller
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

HOST, PORT = ADDRESS.split(":")
INFER = "/inference.GRPCInferenceService/ModelInfer"
GRPC = {"content-type": "application/grpc", "te": "trailers"}


class Connection:
    def __init__(self):
        self.socket = socket.create_connection((HOST, int(PORT)), timeout=60)
        self.h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(self, path, body=None, fields=None, frame=16384):
        """Sends a request in frames of this size, as the windows let it; the stream's number."""
        stream = self.h2.get_next_available_stream_id()
        method = "GET" if body is None else "POST"
        head = [(":method", method), (":scheme", "http"), (":authority", ADDRESS), (":path", path)]
        kind = {"content-type": "application/json"} if body is not None else {}
        self.h2.send_headers(stream, head + list({**kind, **(fields or {})}.items()), end_stream=body is None)
        self.flush()
        at, early = 0, []
        while body is not None and at < len(body):
            room = min(frame, self.h2.local_flow_control_window(stream))
            if not room:
                early += self.receive()
                if any(isinstance(event, (events.StreamEnded, events.StreamReset)) for event in early):
                    break
                continue
            self.h2.send_data(stream, body[at : at + room], end_stream=at + room >= len(body))
            self.flush()
            at += room
        return stream, early

    def receive(self):
        """The events of what comes next."""
        data = self.socket.recv(65536)
        assert data, "the connection was closed"
        found = self.h2.receive_data(data)
        for event in found:
            if isinstance(event, events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return found


class Stream:
    def __init__(self, path, body=None, fields=None, frame=16384):
        self.connection = Connection()
        self.stream, early = self.connection.request(path, body, fields, frame)
        self.fields, self.got, self.trailers, self.interim = {}, b"", {}, []
        self.ended, self.reset = False, None
        self._take(early)

    def _take(self, found):
        for event in found:
            match event:
                case events.InformationalResponseReceived():
                    self.interim.append(int(dict(event.headers)[":status"]))
                case events.ResponseReceived():
                    self.fields = dict(event.headers)
                case events.DataReceived():
                    self.got += event.data
                case events.TrailersReceived():
                    self.trailers = dict(event.headers)
                case events.StreamEnded():
                    self.ended = True
                case events.StreamReset():
                    self.reset = event.error_code

    def until(self, text):
        while text not in self.got:
            assert not self.ended and self.reset is None, self.got
            self._take(self.connection.receive())

    def rest(self):
        while not self.ended:
            if self.reset is not None:
                raise ConnectionError(f"RST_STREAM with {self.reset.name}")
            self._take(self.connection.receive())
        return self.got

    def leave(self):
        self.connection.h2.reset_stream(self.stream, 8)
        self.connection.flush()


class Http2(Caller):
    def call(self, path, body=None, fields=None, frame=16384):
        stream = Stream(path, body, fields, frame)
        body = stream.rest()
        return Answer(int(stream.fields[":status"]), stream.fields, body, stream.trailers, stream.interim)

    def open(self, path, body):
        return Stream(path, body)

    def unary(self):
        super().unary()
        answer = infer("grpc")
        assert answer.trailers["grpc-status"] == "0" and message_of(answer.body)[1] == "grpc", answer
        return "gRPC, too"

    def unknown(self):
        super().unknown()
        answer = infer("no-such-model")
        status = {**answer.fields, **answer.trailers}
        assert answer.status == 200 and status["grpc-status"] == "5", answer
        assert "no-such-model" in status["grpc-message"], answer
        return "status 404, and JSON in the API's form; `grpc-status` 5"

    def trailers(self):
        super().trailers()
        assert infer("grpc").trailers["grpc-status"] == "0"

    def expect(self):
        body = b'{"prompt": "' + b"x" * 20_000 + b'", "model": "echo"}'
        answer = self.call(CHAT, body, {"expect": "100-continue"})
        assert answer.interim == [100], answer
        expect(report(answer.json()["choices"][0]["message"]["content"]), sha256=sha256(body))

    def keep_alive(self):
        connection = Connection()
        body = json.dumps({"messages": PROMPT, "model": "echo"}).encode()
        # One after another, and many at once.
        for at_once in (1, 1, 1, 50):
            ended = set()
            opened = {connection.request(CHAT, body)[0] for _ in range(at_once)}
            while ended != opened:
                ended |= {e.stream_id for e in connection.receive() if isinstance(e, events.StreamEnded)}
        return "50 streams at once, too"

    def frames(self):
        body = json.dumps({"prompt": PROMPT[:300], "model": "echo"}).encode()
        answer = self.call(CHAT, body, frame=3)
        expect(report(answer.json()["choices"][0]["message"]["content"]), sha256=sha256(body))
        answer = infer("grpc", frame=3)
        assert answer.trailers["grpc-status"] == "0" and message_of(answer.body)[1] == "grpc", answer
        return "frames of 3 bytes; a gRPC message in such frames, too"


def infer(model, frame=16384):
    """A call of ModelInfer with a message of one field, `model_name`."""
    message = b"\x0a" + bytes([len(model)]) + model.encode()
    return http.call(INFER, b"\0" + struct.pack(">I", len(message)) + message, GRPC, frame)


def message_of(body):
    """Length and `model_name` of a message."""
    compressed, length = struct.unpack(">?I", body[:5])
    assert not compressed and len(body) == 5 + length and body[5] == 0x0A, body
    return length, body[7 : 7 + body[6]].decode()


http = Http2()
serve(
    f"h2 {h2.__version__}",
    [
        *(http.cold, http.list, http.unary, http.stream, http.late, http.cancel, http.break_, http.error_event),
        *(http.names, http.alias, http.renamed, http.requested, http.image, http.upload, http.gzip),
        *(http.zstd, http.unknown, http.fields, http.early_hints, http.trailers, http.expect, http.keep_alive, http.frames),
    ],
    dict.fromkeys(["retry", "cors"])
    | {
        "half-closed": "every request of HTTP/2 closes its side of its stream",
        "websocket": "Tailback does not offer extended CONNECT",
    },
)
