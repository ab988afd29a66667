"""Ends TLS in front of a server that does not speak it.

Usage: tls_relay.py CERTIFICATE KEY HOST:PORT ALPN    prints the port it listens on
"""

import socket
import ssl
import sys
import threading


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(context, raw, target):
    try:
        secured = context.wrap_socket(raw, server_side=True)
    except OSError:
        # The other side does not trust the certificate.
        return
    plain = socket.create_connection(target)
    threading.Thread(target=pump, args=(plain, secured), daemon=True).start()
    pump(secured, plain)


def main():
    certificate, key, target, protocol = sys.argv[1:]
    host, port = target.rsplit(":", 1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols([protocol])
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve, args=(context, raw, (host, int(port))), daemon=True).start()


main()
