"""HTTP/1.1 by hand, on a socket: what no library lets its caller do."""

import json
import re
import socket
import sys

from adapter import ADDRESS, PROMPT, expect, report, serve, sha256
from caller import CHAT, Answer, Caller

HOST, PORT = ADDRESS.split(":")
BODY = json.dumps({"messages": [{"role": "user", "content": PROMPT}], "model": "echo"}).encode()


def connect():
    return Connection(socket.create_connection((HOST, int(PORT)), timeout=60))


def head(path, body=None, fields=None, version="1.1", method=None):
    fields = {"host": ADDRESS, **(fields or {})}
    if body is not None:
        fields = {"content-type": "application/json", "content-length": len(body), **fields}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method or ('GET' if body is None else 'POST')} {path} HTTP/{version}\r\n{lines}\r\n".encode()


def named(lines):
    return {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}


class Connection:
    def __init__(self, stream):
        self.socket, self.reader = stream, stream.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def head(self):
        """Status and fields of the next head."""
        line = self.reader.readline()
        assert line, "the connection was closed before an answer"
        lines = []
        while (field := self.reader.readline().decode().rstrip("\r\n")) != "":
            lines.append(field)
        return int(line.split()[1]), named(lines)

    def pieces(self, fields):
        """The body, piece by piece; then the fields behind it."""
        if "transfer-encoding" not in fields:
            length = int(fields.get("content-length", 0))
            body = self.reader.read(length)
            assert len(body) == length, "broke off"
            yield body
            return {}
        while line := self.reader.readline():
            if not (length := int(line, 16)):
                lines = []
                while (field := self.reader.readline().decode().rstrip("\r\n")) != "":
                    lines.append(field)
                return named(lines)
            piece = self.reader.read(length)
            if len(piece) < length or not self.reader.readline():
                break
            yield piece
        raise ConnectionError("the end of the connection before the last chunk")

    def answer(self):
        interim = []
        while (status_and_fields := self.head())[0] < 200:
            interim.append(status_and_fields[0])
        status, fields = status_and_fields
        body, pieces = b"", self.pieces(fields)
        while True:
            try:
                body += next(pieces)
            except StopIteration as end:
                return Answer(status, fields, body, end.value or {}, interim)


class Stream:
    def __init__(self, path, body):
        self.connection = connect()
        self.connection.send(head(path, body) + body)
        status, fields = self.connection.head()
        assert status == 200, status
        self.pieces = self.connection.pieces(fields)
        self.got = b""

    def until(self, text):
        while text not in self.got:
            self.got += next(self.pieces)

    def rest(self):
        for piece in self.pieces:
            self.got += piece
        return self.got

    def leave(self):
        self.connection.reader.close()
        self.connection.socket.close()


def content(answer):
    assert answer.status == 200, answer
    return report(answer.json()["choices"][0]["message"]["content"])


class Http1(Caller):
    te = {"te": "trailers", "connection": "te"}

    def call(self, path, body=None, fields=None):
        connection = connect()
        connection.send(head(path, body, fields))
        try:
            connection.send(body or b"")
        except OSError:
            pass  # it is answered already
        return connection.answer()

    def open(self, path, body):
        return Stream(path, body)

    def expect(self):
        body = b'{"prompt": "' + b"x" * 2_000_000 + b'", "model": "echo"}'
        connection = connect()
        connection.send(head(CHAT, body, {"expect": "100-continue"}))
        assert connection.head()[0] == 100
        connection.send(body)
        expect(content(connection.answer()), sha256=sha256(body))
        # Where the body is not wanted, it is not asked for.
        connection = connect()
        connection.send(head("/v2/models/no-such-model/infer", body, {"expect": "100-continue"}))
        assert connection.head()[0] == 404

    def keep_alive(self):
        for version, fields in (("1.1", {}), ("1.0", {"connection": "keep-alive"})):
            connection = connect()
            for _ in range(20):
                connection.send(head(CHAT, BODY, fields, version) + BODY)
                answer = connection.answer()
                expect(content(answer), model="echo")
            assert version == "1.1" or answer.fields["connection"] == "keep-alive", answer
        # Without it, HTTP/1.0 closes; a Host is not needed.
        connection = connect()
        without_host = re.sub(rb"host: [^\r]+\r\n", b"", head(CHAT, BODY, version="1.0"))
        connection.send(without_host + BODY)
        expect(content(connection.answer()), model="echo")
        assert connection.reader.read() == b"", "the connection stays open"
        return "HTTP/1.0 with `Connection: keep-alive`, too"

    def half_closed(self):
        connection = connect()
        connection.send(head(CHAT, BODY) + BODY)
        connection.socket.shutdown(socket.SHUT_WR)
        expect(content(connection.answer()), model="echo")
        body = json.dumps({"model": "late", "stream": True}).encode()
        connection = connect()
        connection.send(head(CHAT, body) + body)
        connection.socket.shutdown(socket.SHUT_WR)
        assert b"[DONE]" in connection.answer().body

    def frames(self):
        connection = connect()
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b'{"prompt": "' + b"x" * 200 + b'", "model": "echo"}'
        chunks = b"".join(b"3\r\n" + body[at : at + 3] + b"\r\n" for at in range(0, len(body) // 3 * 3, 3))
        if rest := body[len(body) // 3 * 3 :]:
            chunks += f"{len(rest):x}\r\n".encode() + rest + b"\r\n"
        request = head(CHAT, fields={"transfer-encoding": "chunked"}, method="POST") + chunks + b"0\r\n\r\n"
        for at in range(0, len(request), 5):
            connection.send(request[at : at + 5])
        expect(content(connection.answer()), sha256=sha256(body))
        return "chunks of 3 bytes, in segments of 5"


http = Http1()
serve(
    f"Python {sys.version.split()[0]}",
    [
        *(http.cold, http.list, http.unary, http.stream, http.late, http.cancel, http.break_, http.error_event),
        *(http.names, http.alias, http.renamed, http.requested, http.image, http.upload, http.gzip),
        *(http.zstd, http.unknown, http.fields, http.early_hints, http.trailers, http.expect, http.keep_alive, http.half_closed, http.frames),
    ],
    dict.fromkeys(["retry", "cors"]) | {"websocket": "tried with the browser"},
)
