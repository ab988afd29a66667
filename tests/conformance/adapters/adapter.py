"""What the adapters of clients in Python share: how they talk to the program that runs them.

The program starts an adapter with the proxy's address, and writes a line of JSON for each feature to
its input: `{"feature": "stream"}`. The adapter answers, in lines of JSON on its output, with one of

    {"ok": true, "note": "…"}    what the client did, if there is something to tell
    {"ok": false, "why": "…"}

Before that, it may say how many requests it has in flight, and waits for a line until that is checked:

    {"in_flight": 1}

Its first line says what it is: `{"version": "…", "has": ["stream", …], "without": {"cors": null}}`.
"""

import base64
import hashlib
import json
import os
import sys
import traceback

# What a client or its libraries print is no part of the talk.
_talk = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

ADDRESS = sys.argv[-1]
IMAGE = base64.b64encode(hashlib.shake_256(b"image").digest(1_150_000)).decode()
FILE = hashlib.shake_256(b"file").digest(2_000_000)
# A message that is worth encoding.
PROMPT = "Count to ten, in words. " * 200
MODELS = {"smollm2", "Qwen/Qwen2.5-7B-Instruct", "llama3:8b", "gpt_4", "openai/gpt-4o"}
MANY_FIELDS = {f"x-field-{number}": str(number) for number in range(150)}


def _say(**line):
    print(json.dumps(line), file=_talk, flush=True)


def in_flight(requests=1):
    """Has the proxy's count checked."""
    _say(in_flight=requests)
    sys.stdin.readline()


def raised(kind, call, *arguments, **more):
    """The exception of this kind that the call raises."""
    try:
        call(*arguments, **more)
    except kind as error:
        return error
    raise AssertionError(f"expected {kind}")


def report(text):
    """What the origin of the stage says about the request that it got."""
    return json.loads(text)


def expect(got, **values):
    """Checks fields of a report."""
    for name, value in values.items():
        assert got[name] == value, f"{name} is {got[name]!r}, expected {value!r}"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def serve(version, features, without):
    """Answers for these functions, but for those that `without` names, until its input ends."""
    names = {function.__name__.rstrip("_").replace("_", "-"): function for function in features}
    names = {name: function for name, function in names.items() if name not in without}
    _say(version=version, has=sorted(names), without=without)
    for line in sys.stdin:
        try:
            note = names[json.loads(line)["feature"]]()
            _say(ok=True, note=note)
        except Exception as error:
            traceback.print_exc()
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            _say(ok=False, why=f"{kind}{error}"[:300])
