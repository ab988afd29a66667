"""curl. The first argument is its option for a version of HTTP."""

import re
import subprocess
import sys
import tempfile
import time

from adapter import ADDRESS, FILE, expect, report, serve, sha256
from caller import CHAT, Answer, Caller

HTTP = sys.argv[1]
CURL = ["curl", HTTP, "--silent", "--show-error", "--no-buffer", "--max-time", "60"]


def run(*arguments, body=None):
    """What curl writes to its output and, with `--verbose`, to its errors; and its status."""
    done = subprocess.run([*CURL, *arguments], input=body, capture_output=True, check=False)
    return done.stdout, done.stderr.decode(), done.returncode


def sending(body, fields):
    fields = {"content-type": "application/json", **(fields or {})} if body is not None else fields or {}
    headers = [part for field, value in fields.items() for part in ("--header", f"{field}: {value}")]
    return headers + (["--data-binary", "@-"] if body is not None else [])


class Stream:
    def __init__(self, path, body):
        command = [*CURL, *sending(body, None), f"http://{ADDRESS}{path}"]
        self.curl = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.curl.stdin.write(body)
        self.curl.stdin.close()
        self.got = b""

    def until(self, text):
        while text not in self.got:
            piece = self.curl.stdout.read1()
            assert piece, self.got
            self.got += piece

    def rest(self):
        self.got += self.curl.stdout.read()
        if status := self.curl.wait():
            raise ConnectionError(f"curl's status {status}")
        return self.got

    def leave(self):
        self.curl.terminate()
        self.curl.wait()


class Curl(Caller):
    def call(self, path, body=None, fields=None):
        with tempfile.NamedTemporaryFile() as head:
            arguments = [*sending(body, fields), "--dump-header", head.name, f"http://{ADDRESS}{path}"]
            out, said, status = run(*arguments, body=body)
            assert status == 0, said
            *interim, final, behind = (head.read().decode() + "\r\n\r\n").split("\r\n\r\n")[:-1] + [""]
        # curl writes what comes behind the body at the end, as it does with other fields.
        blocks = [block for block in (*interim, final, behind) if block]
        heads = [block for block in blocks if block.startswith("HTTP/")]
        trailing = [block for block in blocks if not block.startswith("HTTP/")]
        statuses = [int(block.split()[1]) for block in heads]
        return Answer(
            statuses[-1],
            named(heads[-1]),
            out,
            named("".join(trailing)),
            [status for status in statuses[:-1] if status != 100],
        )

    def open(self, path, body):
        return Stream(path, body)

    def upload(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(FILE)
            file.flush()
            form = ["--form", f"file=@{file.name}", "--form", "model=echo"]
            out, said, status = run(*form, f"http://{ADDRESS}/v1/audio/transcriptions")
        assert status == 0, said
        got = report(Answer(200, {}, out).json()["text"])
        expect(got, model="echo", model_at="behind the file")
        return "writes `model` behind the file, as it is told to"

    def retry(self):
        begun = time.monotonic()
        body = b'{"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 3, "model": "asleep"}'
        # Its input can be read only once: for a further try it must be an argument.
        arguments = ["--retry", "20", "--retry-max-time", "60", "--fail", "--header", "content-type: application/json"]
        _, said, status = run(*arguments, "--data", body.decode(), f"http://{ADDRESS}{CHAT}")
        assert status == 0, said
        assert time.monotonic() - begun >= 1

    def expect(self):
        body = b'{"prompt": "' + b"x" * 2_000_000 + b'", "model": "echo"}'
        fields = {"expect": "100-continue"}
        out, said, status = run("--verbose", *sending(body, fields), f"http://{ADDRESS}{CHAT}", body=body)
        assert status == 0 and re.search("< HTTP/[0-9.]+ 100", said), said
        got = report(Answer(200, {}, out).json()["choices"][0]["message"]["content"])
        expect(got, sha256=sha256(body))

    def keep_alive(self):
        url = f"http://{ADDRESS}{CHAT}"
        # curl asks for HTTP/1.0 without it.
        fields = {"connection": "keep-alive"} if HTTP == "--http1.0" else {}
        arguments = ["--verbose", *sending(None, {**fields, "content-type": "application/json"})]
        out, said, status = run(*arguments, "--data", '{"model": "echo"}', url, url, url)
        assert status == 0 and out.count(b'"chat.completion"') == 3, said
        assert said.count("Connected to") == 1, said


def named(block):
    """The fields of a block of them."""
    pairs = (line.split(":", 1) for line in block.split("\r\n") if ":" in line)
    return {name.lower(): value.strip() for name, value in pairs}


curl = Curl()
curl.sees_breaks = HTTP != "--http1.0"
if HTTP == "--http1.1":
    curl.te = {"te": "trailers", "connection": "te"}
without = dict.fromkeys(["half-closed", "frames", "cors"])
without["websocket"] = "curl 7.88 has no WebSocket"
if HTTP == "--http1.0":
    without["break"] = "HTTP/1.0 does not tell a break from an end"
    without |= dict.fromkeys(["early-hints", "trailers", "expect"], "HTTP/1.0 has none")
if HTTP == "--http2-prior-knowledge":
    again = "curl 7.88 fails where it uses such a connection again, whatever the server (curl#10634)"
    without |= {"retry": again, "keep-alive": again}
    without["error-event"] = (
        "when a stream is reset, curl 7.88 drops what it has not written yet: 29 of 50 through Tailback, 18 of 50 through nginx"
    )
features = [
    *(curl.cold, curl.list, curl.unary, curl.stream, curl.late, curl.cancel, curl.break_, curl.error_event),
    *(curl.names, curl.alias, curl.renamed, curl.requested, curl.image, curl.upload, curl.gzip, curl.zstd),
    *(curl.unknown, curl.retry, curl.fields, curl.early_hints, curl.trailers, curl.expect, curl.keep_alive),
]
serve(run("--version")[0].split()[1].decode(), features, without)
