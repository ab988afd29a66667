"""A server of this machine that speaks Azure Blob Storage's API (Azurite), with the files of a folder in a container.

Usage: azure_server.py CONTAINER FOLDER
Prints HOST:PORT, the account's name and its key on one line, then serves until its standard input ends.
"""

import ctypes
import signal
import subprocess
import sys
from pathlib import Path

from azure.storage.blob import BlobServiceClient

PROGRAM = Path(__file__).parent.parent / "stores/node_modules/.bin/azurite-blob"
# Each Azurite has these.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SAYS = "successfully listens on http://"


def end_with_this_script():
    """The test kills this script, and the server is to end with it (Linux: PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main(container, folder):
    if not PROGRAM.exists():
        sys.exit("first: scripts/setup tests")
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    command = [PROGRAM, "--blobHost", "127.0.0.1", "--blobPort", "0", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    server = subprocess.Popen(command, preexec_fn=end_with_this_script, **pipes)
    try:
        address = next(line.split(SAYS)[1].strip() for line in server.stdout if SAYS in line)
        account = {"account_name": ACCOUNT, "account_key": KEY}
        client = BlobServiceClient(f"http://{address}/{ACCOUNT}", credential=account)
        there = client.create_container(container)
        for path in Path(folder).rglob("*"):
            if path.is_file():
                there.upload_blob(str(path.relative_to(folder)), path.read_bytes())
        print(address, ACCOUNT, KEY, flush=True)
        sys.stdin.read()
    finally:
        server.kill()


main(*sys.argv[1:])
