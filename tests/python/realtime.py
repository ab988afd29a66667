"""OpenAI's Realtime API, and its Responses over WebSocket: a server that streams deltas, and the
openai client.

Usage: realtime.py serve           prints `port N`; says the target and the key that it was asked with
       realtime.py talk HOST:PORT  a session with the model m, which waits for a line in the middle
Exits with status 0 if every answer was right.
"""

import json
import sys

import openai
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.server import serve

TEXT = "The count of requests is exact.".split()


def answer(connection):
    def send(kind, **more):
        connection.send(json.dumps({"type": kind, "event_id": kind, **more}))

    path, key = connection.request.path, connection.request.headers["authorization"]
    if "/realtime" in path:
        send("session.created", session={"type": "realtime", "instructions": f"{path} {key}"})
    try:
        for message in connection:
            event = json.loads(message)
            if event["type"] == "conversation.item.create":
                send("conversation.item.added", item=event["item"])
            if event["type"] == "response.create":
                for n, word in enumerate(TEXT):
                    ids = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
                    send("response.output_text.delta", delta=f"{word} ", sequence_number=n, logprobs=[], **ids)
                send("response.done" if "/realtime" in path else "response.completed", response={"id": path})
    except ConnectionClosed:
        pass


def text_of(connection, last):
    text = ""
    for event in connection:
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == last:
            return text


def unknown(connect, status, **arguments):
    try:
        with connect(**arguments):
            raise AssertionError("an unknown model was served")
    except InvalidStatus as error:
        assert error.response.status_code == status, error
        assert json.loads(error.response.body)["error"]["message"], error


def talk(client):
    unknown(client.realtime.connect, 404, model="no-such-model")
    unknown(client.realtime.connect, 400)
    with client.realtime.connect(model="m") as connection:
        created = next(iter(connection))
        # The replica is told its own name for the model, and the caller's key.
        assert created.session.instructions == "/v1/realtime?model=org%2Freal Bearer secret", created
        content = [{"type": "input_text", "text": "x" * 2_000_000}]
        connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        assert next(iter(connection)).item.content[0].text == content[0]["text"]
        for _ in range(20):
            connection.response.create()
            assert text_of(connection, "response.done").split() == TEXT
        print("open", flush=True)
        sys.stdin.readline()
        connection.response.create()
        assert text_of(connection, "response.done").split() == TEXT
    with client.responses.connect(extra_query={"model": "m"}) as connection:
        connection.response.create(model="m", input="x")
        assert text_of(connection, "response.completed").split() == TEXT


what, *arguments = sys.argv[1:]
if what == "serve":
    with serve(answer, "127.0.0.1", 0, max_size=None) as server:
        print("port", server.socket.getsockname()[1], flush=True)
        server.serve_forever()
(address,) = arguments
talk(openai.OpenAI(base_url=f"http://{address}/v1", api_key="secret", max_retries=0, timeout=30))
