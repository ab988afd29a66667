"""What is tried with each client.

A client has a feature, and its adapter a function of that name, or the feature does not apply to it:
then the adapter says so, with a reason of its own or with the one that stands here.
"""

from typing import NamedTuple


class Feature(NamedTuple):
    name: str
    # What a caller does, and what it must get.
    asks: str
    # Why the feature does not apply to a client that has no reason of its own.
    otherwise: str
    # Whether requests for a model arrive by it.
    arrives: bool = True


FEATURES = [
    Feature(
        "cold",
        "The model has no replica: the request is held while llama.cpp or MLServer starts, then answered",
        "tried with clients that call a model server which can start here",
    ),
    Feature("list", "The models and their aliases are listed", "the protocol lists no models", arrives=False),
    Feature("unary", "A whole answer of a real model server", "only streams"),
    Feature("stream", "A stream of a real model server, in flight until its last byte", "the protocol has no streams"),
    Feature(
        "late",
        "The first event comes 1.5 s after the response's header, three times `streamIdleSeconds`",
        "the protocol has no streams",
    ),
    Feature(
        "cancel",
        "The caller leaves in the middle of a stream: the replica's connection closes, nothing stays in flight",
        "the client cannot leave a call",
    ),
    Feature(
        "break",
        "The replica breaks off after an event: the caller gets the event, and an error",
        "the protocol has no streams",
    ),
    Feature(
        "error-event",
        "An event of an error, then the replica breaks off: the caller gets the error, 150 times of 150",
        "the protocol has no streams",
    ),
    Feature("names", "Models are named `Qwen/Qwen2.5-7B-Instruct` and `llama3:8b`", "sends no names"),
    Feature("alias", "A model is called by its alias `openai/gpt-4o`: its replica is told its own name", "sends no names"),
    Feature("renamed", "A model has an `upstreamName`: its replica is told that", "sends no names"),
    Feature(
        "requested",
        "The same, with `responseModel: requested`: the answer, whole or streamed, has the name that the client sent",
        "the protocol's answers have no such name",
    ),
    Feature(
        "image",
        "A message with an image of 1.5 MB arrives as it was sent, with the model where the client writes it",
        "the protocol has no messages",
    ),
    Feature(
        "upload",
        "A form with a file of 2 MB, with the model where the client writes it, also behind the file",
        "the protocol has no forms",
    ),
    Feature("gzip", "The request's body is encoded by gzip, and arrives as it was sent", "the client encodes no bodies"),
    Feature("zstd", "The same by zstd", "the client encodes no bodies"),
    Feature(
        "unknown",
        "An unknown model is refused as the client expects it: by its exception for what is not found",
        "names no model",
        arrives=False,
    ),
    Feature(
        "retry",
        "503 with `Retry-After` while the model starts: the client waits for as long, asks again, and is served",
        "the client does not ask again by itself",
    ),
    Feature("fields", "150 header fields in the request and in the answer", "the client sends no header fields of the caller's"),
    Feature("early-hints", "The replica sends 103 before its answer", "speaks a protocol without it"),
    Feature("trailers", "Fields behind the answer's body", "speaks a protocol without them"),
    Feature("expect", "`Expect: 100-continue` with 2 MB: the body is sent once Tailback asks for it", "the client does not send it"),
    Feature("keep-alive", "Several requests on one connection", "leaves connections to the program that it runs in"),
    Feature("half-closed", "The caller closes its sending side with its request, and gets its answer", "the client does not half-close"),
    Feature("frames", "The request comes in frames of a few bytes", "the client does not choose its frames"),
    Feature("cors", "A page of another origin may call if its origin is allowed, and not otherwise", "CORS is for browsers"),
    Feature("websocket", "A WebSocket carries messages both ways and is in flight until it closes", "the client has no WebSocket"),
]
NAMES = [feature.name for feature in FEATURES]
