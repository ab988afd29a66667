"""An S3 server of this machine (moto's) with the files of a folder in a bucket.

Usage: s3_server.py BUCKET FOLDER
Prints HOST:PORT, then serves until its standard input ends.
"""

import logging
import sys
from pathlib import Path

# Not the scripts beside this one: moto imports a package `responses`.
del sys.path[0]

import boto3  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402


def main(bucket, folder):
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket=bucket)
    for path in Path(folder).rglob("*"):
        if path.is_file():
            client.upload_file(str(path), bucket, str(path.relative_to(folder)))
    print(f"{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


main(*sys.argv[1:])
