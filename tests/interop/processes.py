"""The processes and servers of the tests: how to start them, wait for them and stop them."""

import asyncio
import contextlib
import json
import os
import queue
import socket
import ssl
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config

# The signing algorithms, as `ssfd keys generate` takes them. Each has a provider named after it.
ALGORITHMS = ["RS256", "ES256", "ES384", "ES512", "EdDSA"]
BINARY = os.environ["INTEROP_BINARY"]
# Seconds. A test that waits this long has failed, because nothing here takes nearly as long.
PATIENCE = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, probe, patience=PATIENCE):
    """Returns once `probe()` is true. Raises an error that names `what` if it never is."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, httpx.HTTPError):
            if probe():
                return
        time.sleep(0.05)
    raise AssertionError(f"not within {patience} s: {what}")


@contextlib.contextmanager
def process(*command, **more):
    """Runs a process until the block ends. Terminates it then, and kills it if it does not end."""
    running = subprocess.Popen(command, **more)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            raise


@contextlib.contextmanager
def start_redis(folder, port):
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with process("redis-server", *options, stdout=subprocess.DEVNULL):
        wait_for("redis-server listens", lambda: socket.create_connection(("127.0.0.1", port)))
        yield


@dataclass
class Provider:
    """A Receiver's view of one provider, through an independent HTTP client."""

    name: str
    algorithm: str
    issuer: str
    client: httpx.Client

    def metadata(self):
        path = httpx.URL(self.issuer).path
        url = self.issuer.removesuffix(path) + "/.well-known/ssf-configuration" + path
        return self.client.get(url).raise_for_status().json()

    def create_stream(self, events, **members):
        body = {"events_requested": events, **members}
        answer = self.client.post(self.metadata()["configuration_endpoint"], json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def poll(self, stream, **body):
        """Polls by RFC 8936 §2.2 and returns the answer, which must be a 200."""
        answer = self.client.post(stream["delivery"]["endpoint_url"], json=body)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()


class Daemon:
    """The daemon's process, with its folder and its ports."""

    def __init__(self, folder: Path, authority):
        self.folder, self.authority = folder, authority
        self.config = folder / "ssfd.toml"
        self.public, self.internal = free_port(), free_port()

    @classmethod
    @contextlib.contextmanager
    def started(cls, folder, authority, redis_port):
        daemon = cls(folder, authority)
        daemon._configure(redis_port)
        with process(BINARY, "serve", "--config", str(daemon.config), cwd=folder) as running:
            ready = f"http://127.0.0.1:{daemon.internal}/readyz"

            def is_ready():
                assert running.poll() is None, "the daemon ended"
                return httpx.get(ready).status_code == 200

            wait_for("the daemon is ready", is_ready)
            yield daemon

    def _configure(self, redis_port):
        self.authority.cert_pem.write_to_path(self.folder / "roots.pem")
        own = self.authority.issue_cert("localhost")
        own.private_key_pem.write_to_path(self.folder / "key.pem")
        for number, certificate in enumerate(own.cert_chain_pems):
            certificate.write_to_path(self.folder / "chain.pem", append=0 < number)
        providers = ""
        for algorithm in ALGORITHMS:
            name = algorithm.lower()
            self.ssfd("keys", "generate", "--algorithm", algorithm, "--out", f"keys/{name}.pem")
            issuer = json.dumps(self._issuer(name))
            providers += f"[providers.{name}]\nissuer = {issuer}\nmin_verification_interval = '0s'\n"
        self.config.write_text(f"""
            [public]
            listen = "127.0.0.1:{self.public}"
            tls_certificate = "chain.pem"
            tls_key = "key.pem"
            [internal]
            listen = "127.0.0.1:{self.internal}"
            [ingest.redis]
            url = "redis://127.0.0.1:{redis_port}"
            [push]
            trusted_roots = "roots.pem"
            allow_networks = ["127.0.0.0/8", "::1/128"]
            {providers}""")

    def _issuer(self, name):
        return f"https://localhost:{self.public}/t/{name}"

    def ssfd(self, *arguments):
        (self.folder / "keys").mkdir(exist_ok=True)
        command = [BINARY, *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, text=True, capture_output=True)

    def provider(self, algorithm):
        """Creates a Receiver of a provider, so that no test sees the streams of another."""
        name, receiver = algorithm.lower(), f"rx-{uuid.uuid4()}"
        options = ["--provider", name, "--receiver", receiver, "--audience", "https://rx.example"]
        made = self.ssfd("tokens", "create", "receiver", "--config", str(self.config), *options)
        client = httpx.Client(
            http2=True,
            verify=ssl.create_default_context(cafile=self.folder / "roots.pem"),
            headers={"Authorization": f"Bearer {made.stdout.strip()}"},
            timeout=PATIENCE,
        )
        return Provider(name, algorithm, self._issuer(name), client)


@dataclass
class Request:
    http_version: str
    method: str
    path: str
    headers: dict
    body: bytes


class Receiver:
    """A push endpoint that accepts every SET with 202 and records the requests."""

    def __init__(self, url):
        self.url, self._seen = url, queue.Queue()

    def next(self, timeout=PATIENCE):
        return self._seen.get(timeout=timeout)

    async def _answer(self, scope, receive, send):
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = (scope["http_version"], scope["method"], scope["path"], headers, body)
        self._seen.put(Request(*request))
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    @classmethod
    @contextlib.contextmanager
    def started(cls, authority, protocol):
        port = free_port()
        receiver = cls(f"https://localhost:{port}/in")
        config = Config()
        config.bind, config.alpn_protocols = [f"127.0.0.1:{port}"], [protocol]
        config.create_ssl_context = lambda: _server_context(authority, protocol)
        # Any value enables TLS. The server then uses the context above.
        config.certfile = config.keyfile = "unused"
        loop, stop = asyncio.new_event_loop(), asyncio.Event()
        work = serve(receiver._answer, config, shutdown_trigger=stop.wait)
        thread = threading.Thread(target=loop.run_until_complete, args=(work,), daemon=True)
        thread.start()
        try:
            wait_for("the Receiver listens", lambda: socket.create_connection(("127.0.0.1", port)))
            yield receiver
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(PATIENCE)


def _server_context(authority, protocol):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols([protocol])
    return context
