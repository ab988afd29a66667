"""Bodies that are encoded on their way out of a client that is made with httpx, or httpx2."""

import gzip
import sys

import zstandard

def library(client):
    """The one of the two that this class of clients is made with."""
    return next(sys.modules[base.__module__.split(".")[0]] for base in client.__mro__ if "httpx" in base.__module__)


ENCODE = {"gzip": gzip.compress, "zstd": zstandard.compress}


def transport(httpx, coding, sent):
    """A transport that encodes what it sends, and appends it to `sent`."""

    class Encoding(httpx.HTTPTransport):
        def handle_request(self, request):
            body = ENCODE[coding](request.read())
            sent.append(body)
            headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"content-length"]
            headers += [(b"content-encoding", coding.encode()), (b"content-length", str(len(body)).encode())]
            encoded = httpx.Request(request.method, request.url, headers=headers, content=body)
            return super().handle_request(encoded)

    return Encoding()
