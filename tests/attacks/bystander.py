"""A publisher with two well-behaved Receivers, one by push and one by poll, that nobody should harm."""

import base64
import http.client
import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler

from daemon import CALM


def ask(address, method, path, token, body=None):
    """Sends one request over a connection of its own. Returns the status and the JSON of the answer."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        return ask_over(connection, method, path, token, body)
    finally:
        connection.close()


def ask_over(connection, method, path, token, body=None):
    headers = {"authorization": f"Bearer {token}"}
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    content = answer.read()
    return answer.status, json.loads(content) if content else None


def create_stream(daemon, token, event_type, endpoint=None):
    wanted = {"events_requested": [event_type]}
    if endpoint is not None:
        wanted["delivery"] = {"method": "urn:ietf:rfc:8935", "endpoint_url": endpoint}
    status, stream = ask(daemon.public, "POST", "/ssf/streams", token, wanted)
    if status != 201:
        raise SystemExit(f"no stream: {status} {stream}")
    return stream["stream_id"]


def number_of(jws):
    """Returns the number of the event in a SET."""
    payload = jws.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return int(claims["sub_id"]["id"])


class Ages:
    """The times from publication to arrival, of each event by each way."""

    def __init__(self):
        self.published, self.arrived = [], {"push": {}, "poll": {}}

    def arrives(self, way, jws):
        now = time.monotonic()
        self.arrived[way].setdefault(number_of(jws), now)

    def since(self, first):
        """Returns for each way the sorted ages of the events from this one on, without those missing."""
        numbers = range(first, len(self.published))
        return {
            way: sorted(at[n] - self.published[n] for n in numbers if n in at)
            for way, at in self.arrived.items()
        }


class PushReceiver(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, ages):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                jws = self.rfile.read(int(self.headers["content-length"])).decode()
                ages.arrives("push", jws)
                self.send_response_only(202)
                self.send_header("content-length", "0")
                self.end_headers()

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """A connection that the daemon closes is no error."""


class Bystander:
    """Publishes events at a steady rate and notes when they arrive, until it is stopped."""

    def __init__(self, daemon, rate):
        self.of, self.rate, self.ages = daemon, rate, Ages()
        self.over = threading.Event()
        self.publisher = daemon.token("publisher")
        self.token = daemon.token("receiver", "--receiver", "calm", "--audience", "https://calm")
        self.receiver = PushReceiver(self.ages)
        endpoint = f"http://127.0.0.1:{self.receiver.server_address[1]}/in"
        create_stream(daemon, self.token, CALM, endpoint)
        self.polled = create_stream(daemon, self.token, CALM)
        for task in (self._publish, self._poll):
            threading.Thread(target=task, daemon=True).start()

    def _publish(self):
        connection = http.client.HTTPConnection(self.of.internal, timeout=60)
        due = time.monotonic()
        while not self.over.wait(max(0, due - time.monotonic())):
            number = len(self.ages.published)
            # An event that is published late because an earlier one took long was due all the same.
            self.ages.published.append(due)
            due += 1 / self.rate
            subject = {"format": "opaque", "id": str(number)}
            event = {"type": CALM, "sub_id": subject}
            status, answer = ask_over(connection, "POST", "/events", self.publisher, event)
            if status != 202:
                raise SystemExit(f"an event is refused: {status} {answer}")

    def _poll(self):
        connection = http.client.HTTPConnection(self.of.public, timeout=60)
        acknowledged = []
        while not self.over.is_set():
            poll = {"ack": acknowledged, "timeoutSecs": 2}
            path = f"/ssf/poll/{self.polled}"
            status, answer = ask_over(connection, "POST", path, self.token, poll)
            if status != 200:
                raise SystemExit(f"a poll is refused: {status} {answer}")
            acknowledged = list(answer["sets"])
            for jws in answer["sets"].values():
                self.ages.arrives("poll", jws)

    def stop(self):
        self.over.set()
        self.receiver.shutdown()
