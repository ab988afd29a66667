"""WebSocket: the websockets server and client.

Usage: websocket.py serve              prints `port N`; echoes what it gets
       websocket.py call HOST:PORT     sends, waits for a line, closes
       websocket.py leave HOST:PORT    sends, waits for a line, vanishes
       websocket.py drained HOST:PORT  sends, and expects to be closed
Exits with status 0 if every answer was right.
"""

import os
import sys

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve


def echo(connection):
    try:
        for message in connection:
            connection.send(message)
    except ConnectionClosed:
        pass


def unknown_model(address):
    try:
        with connect(f"ws://{address}/v2/models/no/live"):
            raise AssertionError("an unknown model was served")
    except InvalidStatus as error:
        assert error.response.status_code == 404, error


def use(what, address):
    with connect(f"ws://{address}/v2/models/m/live", max_size=None) as connection:
        for message in ("hello", b"x" * 3_000_000, ""):
            connection.send(message)
            assert connection.recv(timeout=20) == message
        print("open", flush=True)
        if what == "drained":
            try:
                connection.recv(timeout=20)
            except ConnectionClosed:
                return
            sys.exit("not closed")
        sys.stdin.readline()
        if what == "leave":
            os._exit(0)


what, *arguments = sys.argv[1:]
if what == "serve":
    with serve(echo, "127.0.0.1", 0, max_size=None) as server:
        print("port", server.socket.getsockname()[1], flush=True)
        server.serve_forever()
unknown_model(*arguments)
use(what, *arguments)
