"""TLS with Python's own client, and HTTP/2 over it with h2.

Usage: tls_client.py HOST:PORT FOLDER WHAT
FOLDER has ca.pem, client.pem, client.key. Exits with status 0 if all was right.
"""

import socket
import ssl
import sys

import h2.config
import h2.connection
import h2.events

REQUEST = b"POST /v2/models/m/infer/echo HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"


def connect(address, context):
    host, port = address.rsplit(":", 1)
    tcp = socket.create_connection((host, int(port)), timeout=20)
    return context.wrap_socket(tcp, server_hostname="localhost")


def everything(stream):
    said = b""
    while piece := stream.recv(4096):
        said += piece
    return said


def http1(address, context):
    stream = connect(address, context)
    stream.sendall(REQUEST)
    said = everything(stream)
    assert said.startswith(b"HTTP/1.1 200 ") and said.endswith(b"hi"), said


def http2(address, context):
    stream = connect(address, context)
    assert stream.selected_alpn_protocol() == "h2"
    connection = h2.connection.H2Connection(h2.config.H2Configuration())
    connection.initiate_connection()
    fields = [(":method", "POST"), (":path", "/v2/models/m/infer/echo"), (":scheme", "https"), (":authority", "t")]
    connection.send_headers(1, fields)
    connection.send_data(1, b"hi", end_stream=True)
    stream.sendall(connection.data_to_send())
    body, ended = b"", False
    while not ended:
        for event in connection.receive_data(stream.recv(4096)):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            ended |= isinstance(event, h2.events.StreamEnded)
    assert body == b"hi", body


def refused(call, *arguments):
    try:
        call(*arguments)
    except (OSError, AssertionError):
        return
    raise AssertionError("not refused")


def main(address, folder, what):
    context = ssl.create_default_context(cafile=f"{folder}/ca.pem")
    context.set_alpn_protocols(["h2"] if what == "h2" else ["http/1.1"])
    if what.endswith("tls1.2"):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if what in ("client-certificate", "unknown-certificate"):
        context.load_cert_chain(f"{folder}/client.pem", f"{folder}/client.key")
    if what == "h2":
        http2(address, context)
    elif what == "unknown-certificate":
        stream = connect(address, context)
        stream.sendall(REQUEST)
        said = everything(stream)
        assert said.startswith(b"HTTP/1.1 401 "), said
    elif what.startswith("no-"):
        refused(http1, address, context)
    elif what.startswith("serial="):
        serial = connect(address, context).getpeercert()["serialNumber"]
        assert int(serial, 16) == int(what.removeprefix("serial=")), serial
    elif what == "clear":
        host, port = address.rsplit(":", 1)
        stream = socket.create_connection((host, int(port)), timeout=20)
        stream.sendall(REQUEST)
        assert not everything(stream).startswith(b"HTTP"), "served in clear text"
    else:
        http1(address, context)


main(*sys.argv[1:])
