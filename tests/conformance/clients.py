"""The clients, and how their adapters are run."""

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / "target"


class Client(NamedTuple):
    name: str
    # Over its column.
    short: str
    # What it is, and where it comes from.
    about: str
    # Which table of the page has it.
    group: str
    adapter: str
    # The environment of Python that has it, a folder of target/.
    environment: str = "conformance/clients"
    arguments: tuple = ()
    # Whether it calls MLServer.
    mlserver: bool = False

    def command(self):
        """How its adapter is run, but for the proxy's address at the end."""
        script = str(HERE / "adapters" / self.adapter)
        if self.adapter.endswith(".mjs"):
            return ["node", script, *self.arguments]
        return [str(TARGET / self.environment / "bin/python"), script, *self.arguments]


OPENAI, OTHER, HTTP = "OpenAI's API", "Other APIs", "HTTP itself"
CLIENTS = [
    Client("openai-1", "openai 1", "`openai` 1 (PyPI)", OPENAI, "openai_python.py", "conformance/openai-1"),
    Client("openai-2", "openai 2", "`openai` 2 (PyPI)", OPENAI, "openai_python.py", "conformance/openai-2"),
    Client("openai-3", "openai 3", "`openai` 3 (PyPI)", OPENAI, "openai_python.py"),
    Client("openai-node", "openai node", "`openai` (npm), on Node.js", OPENAI, "openai_node.mjs"),
    Client("langchain", "langchain", "`langchain-openai` (PyPI)", OPENAI, "langchain_.py", "conformance/frameworks"),
    Client("litellm", "litellm", "`litellm` (PyPI) as a client", OPENAI, "litellm_.py", "conformance/frameworks"),
    Client("anthropic", "anthropic", "`anthropic` (PyPI)", OTHER, "anthropic_python.py"),
    Client("anthropic-node", "anthropic node", "`@anthropic-ai/sdk` (npm), on Node.js", OTHER, "anthropic_node.mjs"),
    Client("ollama", "ollama", "`ollama` (PyPI)", OTHER, "ollama_.py"),
    Client("triton-http", "triton http", "`tritonclient[http]` (PyPI)", OTHER, "triton_http.py", "venv", mlserver=True),
    Client("triton-grpc", "triton grpc", "`tritonclient[grpc]` (PyPI)", OTHER, "triton_grpc.py", "venv", mlserver=True),
    Client("curl-1.0", "curl 1.0", "`curl --http1.0`", HTTP, "curl.py", arguments=("--http1.0",)),
    Client("curl-1.1", "curl 1.1", "`curl --http1.1`", HTTP, "curl.py", arguments=("--http1.1",)),
    Client("curl-2", "curl 2", "`curl --http2-prior-knowledge`", HTTP, "curl.py", arguments=("--http2-prior-knowledge",)),
    Client("browser", "browser", "Chromium, by `fetch`, `FormData` and `WebSocket`", HTTP, "browser.mjs"),
    Client("http1", "raw 1.1", "HTTP/1.1 by hand, on a socket", HTTP, "http1.py"),
    Client("http2", "raw 2", "frames of HTTP/2 and gRPC, by `h2` (PyPI)", HTTP, "http2.py"),
]
