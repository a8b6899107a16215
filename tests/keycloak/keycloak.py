"""A real Keycloak: how to find a JDK for it, start it, kill it and administer it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import httpx
from processes import free_port, wait_for

# The files that `make keycloak` has fetched: the distribution, and its extension.
ARCHIVE, EXTENSION = Path(os.environ["KEYCLOAK_ARCHIVE"]), Path(os.environ["KEYCLOAK_EXTENSION"])
REALM = "staff"
ADMINISTRATOR = ("admin", "the password of the administrator")
# Seconds. A first start on a slow machine takes about 40.
START_TIMEOUT = 300
# How a realm generates a key for an algorithm.
KEYS = {
    "RS256": ("rsa-generated", {"algorithm": "RS256"}),
    "PS256": ("rsa-generated", {"algorithm": "PS256"}),
    "ES256": ("ecdsa-generated", {"ecdsaEllipticCurveKey": "P-256"}),
    "ES384": ("ecdsa-generated", {"ecdsaEllipticCurveKey": "P-384"}),
    "EdDSA": ("eddsa-generated", {"eddsaEllipticCurveKey": "Ed25519"}),
}
# The oldest JDK that the extension keycloak-events runs on.
JDK_OLDEST = 21


def newest_jdk():
    """Returns the folder of the newest JDK of this machine."""
    found = {}
    for home in _jdk_homes():
        release = home / "release"
        text = release.read_text() if release.is_file() else ""
        if version := re.search(r'^JAVA_VERSION="(\d+)', text, re.MULTILINE):
            found[int(version[1])] = home
    newest = max(found, default=0)
    assert JDK_OLDEST <= newest, f"make keycloak needs JDK {JDK_OLDEST} or later in JAVA_HOME"
    return found[newest]


def _jdk_homes():
    named = os.environ.get("JAVA_HOME")
    yield from [Path(named)] if named else []
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent
    installed = Path("/usr/lib/jvm")
    yield from sorted(installed.iterdir()) if installed.is_dir() else []


class Keycloak:
    """One server with the extension keycloak-events and a realm, on loopback addresses only."""

    def __init__(self, authority):
        self.folder = ARCHIVE.parent / "run"
        shutil.rmtree(self.folder, ignore_errors=True)
        self._unpack()
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self.issuer = f"{self.url}/realms/{REALM}"
        self._write_certificates(authority)
        self.context = authority.context()
        self.http = httpx.Client(verify=self.context, timeout=60)
        self._java, self._running, self._token = newest_jdk(), None, (None, 0)

    def _unpack(self):
        with zipfile.ZipFile(ARCHIVE) as packed:
            packed.extractall(self.folder)
        (self.home,) = self.folder.glob("keycloak-*")
        shutil.copy(EXTENSION, self.home / "providers")

    def _write_certificates(self, authority):
        self._certificate, self._key, self._roots = authority.write(self.folder)

    def start(self):
        """Starts the server, or starts it again on the same database."""
        options = [
            "--http-host=127.0.0.1",
            f"--http-port={self.plain_port}",
            f"--https-port={self.port}",
            f"--hostname={self.url}",
            f"--https-certificate-file={self._certificate}",
            f"--https-certificate-key-file={self._key}",
            f"--truststore-paths={self._roots}",
            "--spi-events-store--provider=jpa",
            # The database for development keeps half a second of commits in memory. Others do not.
            "--db-url-properties=;WRITE_DELAY=0",
        ]
        user, password = ADMINISTRATOR
        environment = os.environ | {
            "JAVA_HOME": str(self._java),
            "JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m",
            # The database for development lets other processes connect, and asks nobody for a password.
            "JAVA_OPTS_APPEND": "-Dh2.bindAddress=127.0.0.1",
            "KC_BOOTSTRAP_ADMIN_USERNAME": user,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": password,
        }
        with (self.folder / "keycloak.log").open("ab") as log:
            # The script starts Java as a child, so both have a group of their own that can be killed.
            self._running = subprocess.Popen(
                ["sh", self.home / "bin/kc.sh", "start-dev", *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for("Keycloak serves", self._serves, START_TIMEOUT)

    def _serves(self):
        assert self._running.poll() is None, f"Keycloak ended, see {self.folder / 'keycloak.log'}"
        return self.http.get(f"{self.url}/realms/master").status_code == 200

    def kill(self):
        """Kills the server at once, as `kill -9` does."""
        if self._running is not None:
            os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()
            self._running = None

    def log(self):
        return (self.folder / "keycloak.log").read_text()

    def admin(self, method, path, body=None, **parameters):
        """Sends a request of the administrator about the realm, and returns the answer."""
        url = f"{self.url}/admin/realms{path}"
        answer = self.http.request(
            method, url, json=body, params=parameters, headers=self.administrator()
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def realm(self, method, path="", body=None, **parameters):
        return self.admin(method, f"/{REALM}{path}", body, **parameters)

    def administrator(self):
        """Returns the header with a token of the administrator, who belongs to another realm."""
        token, expiry = self._token
        if expiry < time.monotonic():
            user, password = ADMINISTRATOR
            form = {"grant_type": "password", "client_id": "admin-cli"}
            url = f"{self.url}/realms/master/protocol/openid-connect/token"
            answer = self.http.post(url, data=form | {"username": user, "password": password})
            token = answer.raise_for_status().json()["access_token"]
            self._token = token, time.monotonic() + 20
        return {"Authorization": f"Bearer {token}"}

    @contextlib.contextmanager
    def changed_client(self, name, scopes=None, attributes=None, **members):
        """Changes a client until the block ends."""
        (before,) = self.realm("GET", "/clients", clientId=name).json()
        path = f"/clients/{before['id']}"
        changed = before | members | {"attributes": before["attributes"] | (attributes or {})}
        self.realm("PUT", path, changed)
        had = self._default_scopes(path)
        if scopes is not None:
            self._set_default_scopes(path, scopes)
        try:
            yield
        finally:
            self._set_default_scopes(path, had)
            self.realm("PUT", path, before)

    def _default_scopes(self, path):
        return [one["name"] for one in self.realm("GET", f"{path}/default-client-scopes").json()]

    def _set_default_scopes(self, path, names):
        known = {one["name"]: one["id"] for one in self.realm("GET", "/client-scopes").json()}
        had = self._default_scopes(path)
        for name in set(had) - set(names):
            self.realm("DELETE", f"{path}/default-client-scopes/{known[name]}")
        for name in set(names) - set(had):
            self.realm("PUT", f"{path}/default-client-scopes/{known[name]}")

    def switch_action(self, name, enabled):
        """Lets the realm offer an action to people, or not."""
        path = f"/authentication/required-actions/{name}"
        self.realm("PUT", path, self.realm("GET", path).json() | {"enabled": enabled})

    def add_key(self, algorithm, priority=0):
        """Lets the realm generate a key for an algorithm. The one of the highest priority signs."""
        kind, config = KEYS[algorithm]
        component = {
            "name": algorithm,
            "providerId": kind,
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {name: [value] for name, value in config.items()} | {"priority": [str(priority)]},
        }
        self.realm("POST", "/components", component)

    def saved(self):
        """Returns the number of records that the realm has saved."""
        lists = [self.realm("GET", path, max=1000000) for path in ("/events", "/admin-events")]
        return sum(len(one.json()) for one in lists)

    def kcadm(self, script):
        """Runs a shell script in which `kcadm.sh` is signed in as the administrator."""
        config = self.folder / "kcadm.config"
        user, password = ADMINISTRATOR
        environment = os.environ | {
            "JAVA_HOME": str(self._java),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }
        sign_in = (
            f"kcadm.sh config credentials --server http://127.0.0.1:{self.plain_port} "
            f"--realm master --user '{user}' --password '{password}'"
        )
        wrapper = self.folder / "bin/kcadm.sh"
        wrapper.parent.mkdir(exist_ok=True)
        program = self.home / "bin/kcadm.sh"
        wrapper.write_text(f'#!/bin/sh\nexec sh {program} "$@" --config {config}\n')
        wrapper.chmod(0o755)
        for one in (sign_in, script):
            subprocess.run(["sh", "-ec", one], env=environment, check=True, timeout=120)
