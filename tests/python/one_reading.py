"""What the proxy reads in a body is what servers read in it, or the body is refused.

Usage: one_reading.py HOST:PORT [SEED [COUNT]]    a Tailback with the models m and n, where every
answer of m has the status 200, and every answer of n the status 418

Sends bodies that are nearly JSON and nearly forms. Each parser here that takes a body which the
proxy has passed on must find the model in it that the proxy has found; where Go is installed, its
parsers too. Prints each body for which that does not hold; exits with status 0 if there is none. A
failure prints the seed.
"""

import asyncio
import base64
import email.message
import http.client
import json
import io
import logging
import random
import shutil
import subprocess
import sys
from pathlib import Path

import orjson
import simdjson
from python_multipart.multipart import FormParser, parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from werkzeug.formparser import parse_form_data

# It says what it finds in each of the bodies that it refuses.
logging.disable(logging.CRITICAL)

MODELS = {200: "m", 418: "n"}


# --- readers: the model, or an exception, or None where there is no such text


def charset(content_type):
    message = email.message.Message()
    message["content-type"] = content_type
    return message.get_param("charset") or "utf-8"


JSON_READERS = {
    "json": lambda body, kind: json.loads(body).get("model"),
    "json, not strict": lambda body, kind: json.loads(body, strict=False).get("model"),
    # As aiohttp's servers do.
    "json by charset": lambda body, kind: json.loads(body.decode(charset(kind))).get("model"),
    "orjson": lambda body, kind: orjson.loads(body).get("model"),
    "simdjson": lambda body, kind: simdjson.Parser().parse(body).as_dict().get("model"),
    # It looks for the field as it goes.
    "simdjson, one field": lambda body, kind: simdjson.Parser().parse(body)["model"],
    # As decoders that read one value of a stream do.
    "first value": lambda body, kind: json.JSONDecoder().raw_decode(body.decode().lstrip())[0].get("model"),
}


def starlette(body, kind):
    async def stream():
        yield body

    form = asyncio.run(MultiPartParser(Headers({"content-type": kind}), stream()).parse())
    values = form.getlist("model")
    value = values[-1] if values else None
    return value if isinstance(value, str) else None


def form_parser(body, kind):
    found = []
    media, options = parse_options_header(kind)
    on_field = lambda field: found.append((field.field_name, field.value))
    parser = FormParser(media.decode(), on_field, lambda file: None, boundary=options[b"boundary"])
    parser.write(body)
    parser.finalize()
    values = [value for name, value in found if name == b"model"]
    return values[-1].decode() if values else None


def werkzeug(body, kind):
    environ = {
        "wsgi.input": io.BytesIO(body), "CONTENT_TYPE": kind, "CONTENT_LENGTH": str(len(body)), "REQUEST_METHOD": "POST",
    }
    _, form, _ = parse_form_data(environ, silent=False)
    # As Flask's `request.form["model"]`.
    return form.get("model")


FORM_READERS = {"starlette": starlette, "python_multipart": form_parser, "werkzeug": werkzeug}


class Go:
    """Parsers of Go's standard library, by a program that is asked over a pipe."""

    def __init__(self):
        program = Path(__file__).with_suffix(".go")
        self.process = subprocess.Popen(["go", "run", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def reader(self, name):
        def read(body, kind):
            asked = {"reader": name, "kind": kind, "body": base64.b64encode(body).decode()}
            self.process.stdin.write(json.dumps(asked).encode() + b"\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("the Go program has ended")
            return json.loads(line)

        return read


if shutil.which("go"):
    go = Go()
    JSON_READERS |= {"encoding/json": go.reader("whole"), "encoding/json, a stream": go.reader("stream")}
    FORM_READERS |= {"mime/multipart": go.reader("form")}

# --- bodies


def odd(rng, plain, *others):
    """One of what is well-formed, and now and then one of the others."""
    return rng.choice(others) if rng.random() < 0.06 else rng.choice(plain)


def json_member(rng, key):
    space = lambda: odd(rng, ["", "", "", " ", "\t", "\n", "\r\n"], "\f", "\u00a0")
    key = odd(
        rng, [key],
        '"model"', '"Model"', '"MODEL"', '"mod\\u0065l"', '"\\u006d\\u006F\\u0064el"', "'model'", "model", '"mod\\el"',
        '"model\\u0000"', '"model\\', '"models"', "null", "1",
    )
    value = odd(
        rng,
        ['"m"', '"n"', '"\\u006d"', "1", "-1.5e3", "true", "null", "{}", "[]", '{"model":"n"}', '[{"model":"n"},1]', '["]}"]',
         '"}"', '"\\""', '"\\\\"'] if key != '"model"' else ['"m"', '"n"', '"\\u006e"'],
        '"m\\', "'m'", "m", "01", "1.", ".5", "+1", "1e", "NaN", "Infinity", "-Infinity", "True", "nul", "undefined", '"a\tb"',
        '"\x00"', "[1,]", "[", "{", "/*", "0x1", '"n"/**/', "", '1"model":"n"', '1/*,"model":"n"*/', "[}",
    )
    return space() + key + space() + odd(rng, ":", "=", "") + space() + value + space()


def json_body(rng):
    keys = ['"model"', '"a"', '"b"'][: rng.randint(1, 3)]
    rng.shuffle(keys)
    members = odd(rng, ",", ",,", " ", ";").join(json_member(rng, key) for key in keys)
    start = odd(rng, ["{", " {"], "{,", "[{", "/**/{", "{//\n", "\ufeff{", ")]}'\n{", "{{")
    end = odd(rng, ["}", "} ", "}\n"], ",}", "}}", "} x", '}{"model":"n"}', '}\n{"model":"n"}', "", "}\0", "}//")
    text = start + members + end
    coding = odd(rng, ["utf-8"], "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7")
    kind = odd(rng, ["application/json", "application/json; charset=utf-8"], f"application/json; charset={coding}")
    if rng.random() < 0.02:
        # Another object by another charset.
        text = '{"model":"m","a":"' + '","model":"n'.replace('"', "+ACI-") + '"}'
        return text.encode(), rng.choice(["application/json; charset=utf-7", "application/json"])
    return text.encode(coding, "surrogatepass"), kind


def form_part(rng, name):
    name = odd(
        rng, [f'name="{name}"', f"name={name}", f'filename="a"; name="{name}"'],
        'name="model"', 'name="a"; name="model"', 'name="model"; name="a"', "name*=utf-8''model", "name*0=mod; name*1=el",
        'name="mo\\del"', 'NAME="model"', 'name ="model"', 'name= "model"', "name='model'", "name=<model>", 'name="Model"',
        'name="model"x', 'name="model', 'filename="a;name=model"; name="b"', 'filename="a"b"; name="model"',
        'filename="\u00e9"; name="model"', 'filename="a\\"; name="model"', 'name=""; name="model"', "name=mod%65l", 'name="mod%65l"',
        ";;name=model", "",
    )
    field = odd(rng, ["Content-Disposition", "content-disposition"], "Content-Disposition ", "X-Disposition", " Content-Disposition")
    kind = odd(rng, ["form-data"], "attachment", "FORM-DATA", "")
    separator = odd(rng, ["; ", ";"], ";\r\n ", ";\n ", ",")
    lines = [f"{field}: {kind}{separator}{name}"]
    more = odd(
        rng, ["", "", "Content-Type: text/plain"],
        "Content-Type: text/plain; charset=utf-16", "Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: quoted-printable",
        "Content-Transfer-Encoding: binary", 'Content-Disposition: form-data; name="model"', 'Content-Disposition: form-data; name="a"',
        "X", "X: a\rb", " folded",
    )
    if more:
        lines.insert(rng.randint(0, 1), more)
    newline = odd(rng, ["\r\n"], "\n", "\r")
    value = odd(
        rng, ["m", "n"],
        "", "bQ==", "=6E", "m\n", "n\n--xyz\nContent-Disposition: form-data; name=\"model\"\n\nn", "x\r--xyz", "x--xyz\r\n",
        "--xyz\r\n", "\r\n--xy", "+AG4-", "m\r\n--xyz\r\n\r\nn",
    )
    return newline.join(lines) + newline * 2 + value


def form_body(rng):
    names = ["model", "a", "file"][: rng.randint(1, 3)]
    rng.shuffle(names)
    body = odd(rng, ["", "", "\r\n"], "\r\n\r\n", "preamble\r\n", "preamble", "\n", " ")
    for name in names:
        line = odd(rng, ["\r\n"], " \r\n", "\t\r\n", "\n", "w\r\n", "-\r\n", "\r\r\n")
        body += f"--xyz{line}{form_part(rng, name)}" + odd(rng, ["\r\n"], "\n", "\r", "")
    body += odd(rng, ["--xyz--\r\n", "--xyz--"], "--xyz", "", "--xyz--x", "--xyz --\r\n")
    kind = odd(
        rng,
        ["multipart/form-data; boundary=xyz", 'multipart/form-data; boundary="xyz"', "Multipart/Form-Data; Boundary=xyz"],
        "multipart/form-data; boundary=xy; boundary=xyz", "multipart/form-data; boundary=xyz; boundary=xy",
        "multipart/form-data; charset=utf-7; boundary=xyz", "multipart/form-data; charset=utf-16; boundary=xyz",
        "multipart/form-data; boundary*=utf-8''xyz", "multipart/form-data; boundary= xyz", "multipart/form-data; boundary=xyz,",
        "multipart/form-data;boundary=xyz;a", "multipart/mixed; boundary=xyz",
    )
    return body.encode(), kind


# What must not be refused, and how it is read.
PLAIN = [
    (b'{"model":"m","a":[1,{"b":"c"}],"c":1.5e3}\n', "application/json", JSON_READERS, 200),
    (b'{"a":"\\"model\\":\\"m\\"","model":"n"}', "application/json", JSON_READERS, 418),
    (b'--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--xyz--\r\n', "multipart/form-data; boundary=xyz", FORM_READERS, 200),
    (
        b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="\xc3\xa9.wav"\r\nContent-Type: audio/wav\r\n\r\n\n--xy\r\n'
        b'--xyz\r\nContent-Disposition: form-data; name=model\r\n\r\nn\r\n--xyz--',
        "multipart/form-data; boundary=xyz", FORM_READERS, 418,
    ),
]


class Proxy:
    def __init__(self, address):
        self.address = address
        self.connection = None

    def status(self, body, kind):
        for _ in range(2):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection(self.address, timeout=20)
                headers = {"content-type": kind, "content-length": str(len(body))}
                self.connection.request("POST", "/v1/chat/echo", body=body, headers=headers)
                response = self.connection.getresponse()
                response.read()
                return response.status
            except (http.client.HTTPException, ConnectionError):
                self.connection = None
        raise SystemExit(f"no answer to {body!r}")


def read(reader, body, kind):
    """The model by this reader; None if it finds none, or does not take the body."""
    try:
        model = reader(body, kind)
        return model if isinstance(model, str) else None
    except Exception:
        return None


def main():
    proxy = Proxy(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 1500
    rng = random.Random(seed)
    wrong, passed, refused = [], 0, 0
    for body, kind, readers, expected in PLAIN:
        status = proxy.status(body, kind)
        if status != expected:
            wrong.append(f"{status} for what is well-formed: {body!r}, {kind}")
        for name, reader in readers.items():
            if read(reader, body, kind) != MODELS[expected]:
                wrong.append(f"{name} does not read {body!r}")
    for _ in range(count):
        body, kind, readers = *json_body(rng), JSON_READERS
        if rng.random() < 0.6:
            body, kind, readers = *form_body(rng), FORM_READERS
        status = proxy.status(body, kind)
        found = MODELS.get(status)
        if found is None:
            refused += 1
            if status not in (400, 404, 413, 415):
                wrong.append(f"status {status}: {body!r}, {kind}")
            continue
        passed += 1
        for name, reader in readers.items():
            model = read(reader, body, kind)
            if model is not None and model != found:
                wrong.append(f"the proxy reads {found}, {name} reads {model!r}: {body!r}, {kind}")
    print(f"seed {seed}: {passed} passed on, {refused} refused")
    for line in wrong[:20]:
        print(line)
    if wrong or not passed or not refused:
        sys.exit(1)


main()
