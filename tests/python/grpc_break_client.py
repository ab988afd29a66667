"""grpcio: what a caller gets of streams that their replica breaks off.

Usage: grpc_break_client.py HOST:PORT MANNER...
Calls each MANNER of the model `m`. Exits with status 0 if each gave one message, then UNAVAILABLE.
"""

import sys

import grpc


def broken(channel, manner):
    call = channel.unary_stream(f"/test.Service/{manner}")
    messages = []
    try:
        for message in call(b"", timeout=10, metadata=[("seldon-model", "m")]):
            messages.append(message)
    except grpc.RpcError as error:
        return messages, error.code().name, error.details()
    return messages, None, None


address, *manners = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    for manner in manners:
        got = broken(channel, manner)
        assert got == ([b"hello"], "UNAVAILABLE", "the answer broke off"), (manner, got)
