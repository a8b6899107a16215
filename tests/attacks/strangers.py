"""Callers of the public listener that try to use it up. Each runs as a process of its own."""

import itertools
import json
import os
import resource
import secrets
import socket
import threading
import time

CONNECTIONS = 3000


def connect(address, receive_buffer=None):
    host, port = address.rsplit(":", 1)
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((host, int(port)))
    connection.settimeout(30)
    return connection


def request(method, path, token=None, length=0, more=""):
    credential = f"authorization: Bearer {token}\r\n" if token else ""
    return (f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{credential}{more}"
            f"content-length: {length}\r\n\r\n").encode()


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    return threads


def slow_bodies(address, token):
    """Sends nearly the whole of a large body on each connection, and then a byte now and then."""
    length = 1_000_000
    begun = request("POST", "/ssf/streams", token, length) + b'{"description":"' + b"x" * 900_000
    connections = []
    for _ in itertools.count():
        while len(connections) < 500:
            connection = connect(address)
            connection.settimeout(0.2)
            try:
                connection.sendall(begun)
                connections.append(connection)
            except OSError:
                connection.close()
        for connection in list(connections):
            try:
                connection.send(b"x")
            except OSError:
                connections.remove(connection)
                connection.close()
        time.sleep(1)


def many_connections(address, token):
    """Opens connections that say nothing, or half of a head."""
    while True:
        connections = []
        for n in range(CONNECTIONS):
            try:
                connection = connect(address)
                connection.send(b"GET /ssf/streams HTTP/1.1\r\nx-half: " if n % 2 else b"")
                connections.append(connection)
            except OSError:
                break
        time.sleep(2)
        for connection in connections:
            connection.close()


def unread_answers(address, token):
    """Asks for large answers on many connections and reads none."""
    wanted = {"events_requested": [f"urn:x:{n}:{'y' * 490}" for n in range(256)]}
    body = json.dumps(wanted).encode()
    for _ in range(20):
        with connect(address) as connection:
            more = "connection: close\r\n"
            connection.sendall(request("POST", "/ssf/streams", token, len(body), more) + body)
            while connection.recv(1 << 16):
                pass
    lists = request("GET", "/ssf/streams", token) * 16
    while True:
        connections = []
        for _ in range(500):
            try:
                connection = connect(address, receive_buffer=1)
                connection.send(lists)
                connections.append(connection)
            except OSError:
                break
        time.sleep(3)
        for connection in connections:
            connection.close()


def unread_documents(address, token):
    """Asks for documents that need no credential on many connections and reads none."""
    documents = request("GET", "/ssf/openapi.json") * 1000
    connections = []
    for n in itertools.count():
        try:
            connection = connect(address, receive_buffer=1)
            connection.settimeout(0.1)
            connections.append(connection)
            connection.send(documents)
        except OSError:
            pass
        if CONNECTIONS < len(connections):
            connections.pop(0).close()


def invented_tokens(address, token):
    """Asks with a new token each time, as fast as answers come, over some connections."""

    def work(_):
        while True:
            try:
                with connect(address) as connection:
                    while True:
                        some = [request("GET", "/ssf/streams", secrets.token_hex(24)) for _ in range(32)]
                        connection.sendall(b"".join(some))
                        answers = b""
                        while answers.count(b"HTTP/1.1 ") < len(some):
                            read = connection.recv(1 << 16)
                            if not read:
                                raise ConnectionError("the daemon closes the connection")
                            answers += read
            except OSError:
                pass

    for thread in in_threads(200, work):
        thread.join()


STRANGERS = {
    "slow-bodies": slow_bodies,
    "connections": many_connections,
    "unread-answers": unread_answers,
    "unread-documents": unread_documents,
    "invented-tokens": invented_tokens,
}


def run(kind, address, token):
    """Attacks until the process is ended."""
    os.nice(19)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    STRANGERS[kind](address, token)
