"""Triton Inference Server, as the package nvidia-pytriton brings it, with models of its Python backend.

Usage: triton_server.py make FOLDER COUNT
       triton_server.py serve FOLDER HTTP_PORT GRPC_PORT

Model m-K says K times what it is given, as those of many_models.py do. `serve` becomes the server, which
loads nothing by itself.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

CONFIG = """backend: "python"
input [ { name: "x" data_type: TYPE_FP64 dims: [ -1, -1 ] } ]
output [ { name: "predict" data_type: TYPE_FP64 dims: [ -1, -1 ] } ]
instance_group [ { kind: KIND_CPU } ]
"""
MODEL = """import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = triton.get_input_tensor_by_name(request, "x").as_numpy()
            answers.append(triton.InferenceResponse([triton.Tensor("predict", x * %d)]))
        return answers
"""


def make(folder, count):
    for k in range(1, count + 1):
        home = Path(folder) / f"m-{k}"
        (home / "1").mkdir(parents=True)
        (home / "config.pbtxt").write_text(CONFIG)
        (home / "1" / "model.py").write_text(MODEL % float(k))


def backend(package):
    """The Python backend with the program for this version of Python, which the package has elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix="triton-")) / "python"
    folder.mkdir()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for source in (package / "backends" / "python", package / "python_backend_stubs" / version):
        for file in source.iterdir():
            if file.is_file():
                shutil.copy(file, folder)
    (folder / "triton_python_backend_stub").chmod(0o755)
    return folder.parent


def serve(folder, http_port, grpc_port):
    import sysconfig

    packages = Path(sysconfig.get_paths()["platlib"])
    package = packages / "pytriton" / "tritonserver"
    server = package / "bin" / "tritonserver"
    server.chmod(0o755)
    libraries = str(packages / "nvidia_pytriton.libs")
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    command = [
        str(server),
        f"--model-repository={folder}",
        f"--backend-directory={backend(package)}",
        "--model-control-mode=explicit",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        f"--http-port={http_port}",
        f"--grpc-port={grpc_port}",
        "--allow-metrics=false",
    ]
    os.execve(server, command, {**os.environ, "LD_LIBRARY_PATH": libraries, "PATH": path})


def main(what, folder, *rest):
    if what == "make":
        make(folder, int(rest[0]))
    else:
        serve(folder, *rest)


main(*sys.argv[1:])
