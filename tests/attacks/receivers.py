"""Receivers that answer pushes with a flood. Each runs as a process of its own."""

import os
import socket
import ssl
import struct
import threading

CHUNK = 16 << 10
HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 1, 3, 4, 6, 8, 9
DATA, END_HEADERS, END_STREAM = 0, 4, 1


def frame(kind, flags, stream, payload=b""):
    """Makes a frame of HTTP/2 (RFC 9113 §4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def head(status, stream, flags=END_HEADERS):
    # `:status` has the index 8 in the static table (RFC 7541 §6.2.2).
    return frame(HEADERS, flags, stream, bytes([0x08, 3]) + str(status).encode())


def many(piece):
    return piece * (CHUNK // len(piece) + 1)


# For each flood by HTTP/2, the bytes that are sent first and those that are sent until the end.
HTTP2 = {
    "h2-polite": None,
    "h2-settings": lambda stream: (b"", many(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)))),
    "h2-ping": lambda stream: (b"", many(frame(PING, 0, 0, bytes(8)))),
    "h2-rst": lambda stream: (b"", many(frame(RST_STREAM, 0, stream, struct.pack(">I", 7)))),
    "h2-window": lambda stream: (b"", many(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)))),
    "h2-continuation": lambda stream: (
        head(202, stream, flags=0), many(frame(CONTINUATION, 0, stream))),
    "h2-early": lambda stream: (b"", many(head(103, stream))),
    "h2-data": lambda stream: (head(202, stream), many(frame(DATA, 0, stream))),
}
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
HTTP1 = {
    "h1-polite": None,
    "h1-early": (b"", many(EARLY)),
    # The Receiver sends as many early hints as a push reads, and then accepts, so that the breaker never opens.
    "h1-early-accept": (EARLY * 31 + b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n", b""),
    "h1-lines": (b"HTTP/1.1 202 Accepted\r\n", many(b"x: y\r\n")),
}
RECEIVERS = [*HTTP1, *HTTP2]


class Attacker:
    """Floods three of four requests. It accepts the fourth, so that its endpoint is never cut off."""

    def __init__(self, kind, folder):
        self.kind, self.requests = kind, 0
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
        self.tls.set_alpn_protocols(["h2" if kind in HTTP2 else "http/1.1"])
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._connection, args=(connection,), daemon=True).start()

    def _connection(self, connection):
        try:
            with connection, self.tls.wrap_socket(connection, server_side=True) as session:
                session.settimeout(30)
                serve = self._http2 if self.kind in HTTP2 else self._http1
                serve(session, session.makefile("rb"))
        except OSError:
            # The daemon ends the connection, as it should.
            pass

    def _is_flooded(self):
        self.requests += 1
        return self.requests % 4 != 0

    def _http1(self, session, reader):
        while line := reader.readline():
            length = 0
            while line := reader.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            reader.read(length)
            flood = HTTP1[self.kind]
            if flood is None or not self._is_flooded():
                session.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
                continue
            self._flood(session, flood)

    def _http2(self, session, reader):
        reader.read(24)
        session.sendall(frame(SETTINGS, 0, 0))
        while len(start := reader.read(9)) == 9:
            length = int.from_bytes(start[:3], "big")
            kind, flags, stream = start[3], start[4], int.from_bytes(start[5:9], "big")
            reader.read(length)
            if kind == SETTINGS and not flags:
                session.sendall(frame(SETTINGS, 1, 0))
            if kind == DATA and length:
                session.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", length)))
            if kind not in (HEADERS, DATA) or not flags & END_STREAM:
                continue
            flood = HTTP2[self.kind]
            if flood is None or not self._is_flooded():
                session.sendall(head(202, stream, END_HEADERS | END_STREAM))
            else:
                self._flood(session, flood(stream))

    @staticmethod
    def _flood(session, flood):
        first, rest = flood
        session.sendall(first)
        while rest:
            session.sendall(rest)


def run(kind, folder, ready):
    """Serves until the process is ended. Sends the port when it listens."""
    # An attacker has a machine of its own. Here it gets only what the daemon leaves.
    os.nice(19)
    attacker = Attacker(kind, folder)
    ready.send(attacker.port)
    attacker.serve()
