"""The daemon beside Keycloak: its configuration from the pages, its process, and what it counts."""

import functools
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

import httpx
from pages import blocks, filled
from processes import BINARY, PATIENCE, free_port, wait_for


class Way(NamedTuple):
    """A way from Keycloak to the daemon."""

    page: str
    # The name of the source on that page.
    source: str
    # The recipe by which the Receiver is authorized.
    recipe: str


# Each way has a provider of its own, so that it is followed to the Receiver alone.
WAYS = {
    "http": Way("sources/keycloak-http.md", "keycloak", "jwt"),
    "webhook": Way("sources/keycloak-webhook.md", "keycloak", "introspection"),
    "rest": Way("sources/keycloak-rest.md", "keycloak-poll", "jwt"),
    "logout": Way("sources/logout-token.md", "logout", "introspection"),
}
# The provider of all ways together.
ALL = "all"
AUDIENCE = "https://rx.example"
SECRETS = {
    "keycloak": "the secret of both senders",
    "keycloak-poll": "the secret of the client that polls",
    "keycloak-secret": "the secret of the daemon's own client",
    "receiver": "the secret of the Receivers",
}


class Daemon:
    """One daemon with a provider for each way and one for all of them."""

    def __init__(self, folder: Path, authority, keycloak):
        self.folder, self._keycloak, self._running = folder, keycloak, None
        self.certificate, self.key, self.roots = authority.write(folder)
        self.config = folder / "ssfd.toml"
        self.public, self.internal = free_port(), free_port()
        self.sources, self.proxied_sources = free_port(), free_port()
        self.providers = [*WAYS, ALL]
        self.http = httpx.Client(verify=authority.context(), timeout=PATIENCE)
        for name in SECRETS:
            path = self._secret_file(name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(self.secret(name))

    def issuer(self, provider):
        return f"https://localhost:{self.public}/{provider}"

    def source_url(self, provider, source):
        """Returns the address of a source, which is behind a proxy for one provider."""
        port = self.proxied_sources if provider == ALL else self.sources
        return f"https://localhost:{port}/in/{provider}/{source}"

    @staticmethod
    def secret(name):
        return SECRETS[name]

    def _secret_file(self, name):
        return self.folder / "secrets" / name

    def configure(self):
        """Writes the configuration and makes the keys."""
        tables = [self._listeners(), self._recipe(ALL, "jwt")]
        for way, (page, source, recipe) in WAYS.items():
            tables += [self._source(page, way), self._recipe(way, recipe)]
            # Two pages call their source by the same name.
            other = "keycloak-webhook" if way == "webhook" else source
            table = self._source(page, ALL).replace(f".sources.{source}", f".sources.{other}")
            choices = 'scope = "user"\n' + ('enable = ["login"]\n' if way != "logout" else "")
            tables.append(table.replace("]\n", f"]\n{choices}", 1))
        self.config.write_text("\n".join(tables))
        for provider in self.providers:
            self.ssfd("keys", "generate", "--algorithm", "ES256", "--out", f"keys/{provider}.pem")

    def _listeners(self):
        tls = f'tls_certificate = "{self.certificate}"\ntls_key = "{self.key}"'
        providers = "".join(
            f'[providers.{name}]\nissuer = "{self.issuer(name)}"\n' for name in self.providers
        )
        return f"""
[log]
format = "json"
[public]
listen = "127.0.0.1:{self.public}"
{tls}
[internal]
listen = "127.0.0.1:{self.internal}"
[sources]
listen = "127.0.0.1:{self.sources}"
{tls}
[push]
allow_networks = ["127.0.0.0/8", "::1/128"]
{providers}"""

    def _source(self, page, provider):
        """Returns the table of a source as its page has it."""
        table = blocks(page, "toml")[0]
        names = {
            "providers.default": f"providers.{provider}",
            "https://login.corp.example": self._keycloak.url,
        }
        if provider == ALL and "portal" in table:
            names["portal"] = "wiki"
        if "[providers.default.sources.keycloak-poll.poll]" in table:
            # The recipe for Receivers calls another client by the same name. The default interval is for
            # people who wait less.
            names['client_id = "ssfd"'] = 'client_id = "ssfd-poll"'
            names['start = "24h"'] = 'start = "24h"\ninterval = "1s"'
        for path in re.findall(r"/etc/ssfd/secrets/[\w-]+", table):
            names[path] = str(self._secret_file(path.rsplit("/", 1)[1]))
        return filled(table, names)

    def _recipe(self, provider, kind):
        """Returns the table of a recipe for Receivers' tokens."""
        jwt, introspection = blocks("receive/authorization-servers.md", "toml")[:2]
        names = {
            "providers.default": f"providers.{provider}",
            "https://sso.example/realms/main": self._keycloak.issuer,
        }
        if kind == "jwt":
            return filled(jwt, names)
        names["credential:keycloak-secret"] = str(self._secret_file("keycloak-secret"))
        return filled(introspection, names)

    def ssfd(self, *arguments):
        (self.folder / "keys").mkdir(exist_ok=True)
        command = [BINARY, *arguments]
        ran = subprocess.run(
            command, cwd=self.folder, env=self._environment(), text=True, capture_output=True
        )
        assert ran.returncode == 0, f"ssfd {arguments}: {ran.stderr}"
        return ran.stdout

    def _environment(self):
        # The authority of this trial is among those that the system trusts.
        environment = os.environ | {"SSL_CERT_FILE": str(self.roots)}
        for name, way in WAYS.items():
            if way.recipe == "introspection":
                key = f"SSFD_PROVIDERS__{name.upper()}__OAUTH__INTROSPECTION__CACHE_FOR"
                environment[key] = "1s"
        return environment | {f"SSFD_PROVIDERS__{ALL.upper()}__OAUTH__CLIENT_CLAIM": "azp"}

    def start(self):
        with (self.folder / "ssfd.log").open("ab") as log:
            self._running = subprocess.Popen(
                [BINARY, "serve", "--config", str(self.config)],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        wait_for("the daemon is ready", self._is_ready)

    def _is_ready(self):
        assert self._running.poll() is None, f"ssfd ended, see {self.folder / 'ssfd.log'}"
        return self.http.get(f"http://127.0.0.1:{self.internal}/readyz").status_code == 200

    def stop(self):
        """Stops the daemon without the time in which it turns load balancers away."""
        if self._running is not None:
            self._running.send_signal(signal.SIGINT)
            assert self._running.wait(PATIENCE) == 0
            self._running = None

    def kill(self):
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            self._running = None

    def series(self, metric, **labels):
        """Returns the series of a metric that have these labels: the labels and the value of each."""
        text = self.http.get(f"http://127.0.0.1:{self.internal}/metrics").raise_for_status().text
        for line in text.splitlines():
            name, _, rest = line.partition("{")
            found = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            if name == metric and labels.items() <= found.items():
                yield found, int(float(line.rpartition(" ")[2]))

    def count(self, metric, **labels):
        """Returns the sum of the series that have these labels."""
        return sum(value for _, value in self.series(metric, **labels))

    def rejected(self, provider, source):
        """Returns the records that a source rejected, the youngest first, as an operator sees them."""
        command = ["sources", "rejected", f"{provider}/{source}", "--json"]
        shown = self.ssfd(*command, "--config", str(self.config), "--token", self._operator)
        return json.loads(shown)["rejected"]

    @functools.cached_property
    def _operator(self):
        return self.ssfd("tokens", "create", "operator", "--config", str(self.config)).strip()
