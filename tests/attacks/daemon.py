"""A daemon in a folder of its own, and the memory, descriptors and processor time that it takes."""

import json
import os
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# The type of the events that the bystander gets, and of those that the attackers get.
CALM = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
HOSTILE = "https://schemas.openid.net/secevent/risc/event-type/account-disabled"

CONFIGURATION = """
public.listen = "127.0.0.1:0"
internal.listen = "127.0.0.1:0"
process.lame_duck = "0s"
log.format = "json"

[push]
trusted_roots = "certificate.pem"
allow_networks = ["127.0.0.0/8", "::1/128"]

[providers.default]
insecure_endpoints = true

# Every token that the daemon does not know is asked about here.
[providers.default.oauth]
issuer = "https://localhost:{port}"
trusted_roots = "certificate.pem"
[providers.default.oauth.introspection]
endpoint = "https://localhost:{port}/introspect"
client_id = "ssfd"
client_secret = "secret"
"""


def make_certificate(folder):
    """Makes a certificate for localhost, which is its own authority."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, stderr=subprocess.DEVNULL)


class Daemon:
    """`ssfd serve`, with the default bounds. Ended by `stop`."""

    def __init__(self, binary, folder, introspection_port):
        self.binary, self.folder = binary, Path(folder)
        (self.folder / "secret").write_text("secret-of-ssfd")
        (self.folder / "secret").chmod(0o600)
        (self.folder / "keys").mkdir()
        configuration = CONFIGURATION.format(port=introspection_port)
        (self.folder / "ssfd.toml").write_text(configuration)
        self.run("keys", "generate", "--algorithm", "ES256", "--out", "keys/default.pem")
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            [binary, "serve", "--config", "ssfd.toml"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=self.log)
        serving = self._serving()
        self.public, self.internal = serving["public"], serving["internal"]

    def _serving(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in (self.folder / "log").read_text().splitlines():
                if '"serving"' in line:
                    return json.loads(line)
            time.sleep(0.05)
        raise SystemExit(f"the daemon does not start:\n{(self.folder / 'log').read_text()}")

    def run(self, *arguments):
        done = subprocess.run(
            [self.binary, *arguments, "--config", "ssfd.toml"],
            cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"ssfd {' '.join(arguments)}: {done.stderr}")
        return done.stdout.strip()

    def token(self, *arguments):
        return self.run("tokens", "create", *arguments)

    def memory_mib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise SystemExit("the daemon has ended")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def processor_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def counted(self, metric):
        """Returns the sum of a counter over all its labels."""
        with urllib.request.urlopen(f"http://{self.internal}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(metric + "{"))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Gauge(threading.Thread):
    """Notes the most memory and descriptors, ten times a second."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.of, self.over = daemon, threading.Event()
        self.memory_mib, self.descriptors = 0.0, 0
        self.began, self.processor = time.monotonic(), daemon.processor_seconds()
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            self.memory_mib = max(self.memory_mib, self.of.memory_mib())
            self.descriptors = max(self.descriptors, self.of.descriptors())

    def stop(self):
        """Returns the share of one core that the daemon has used."""
        self.over.set()
        self.join()
        used = self.of.processor_seconds() - self.processor
        return used / (time.monotonic() - self.began)
