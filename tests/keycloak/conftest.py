"""Starts a real Keycloak, the daemon and a Receiver, once for all tests."""

import ssl
from collections import Counter
from dataclasses import dataclass

import acts
import proxy
import pytest
import realm
import trustme
from acts import Person
from daemon import ALL, Daemon
from keycloak import Keycloak
from processes import Receiver, wait_for
from receiver import Inbox


class Authority(trustme.CA):
    """A certificate authority that Keycloak, the daemon and the Receiver trust."""

    def context(self):
        """Returns the TLS settings of a client."""
        context = ssl.create_default_context()
        self.configure_trust(context)
        return context

    def write(self, folder):
        """Writes a certificate for localhost, its key, and the roots, and returns the paths."""
        certificate, key, roots = (folder / name for name in ("chain.pem", "key.pem", "roots.pem"))
        own = self.issue_cert("localhost")
        own.private_key_pem.write_to_path(key)
        for number, part in enumerate(own.cert_chain_pems):
            part.write_to_path(certificate, append=0 < number)
        self.cert_pem.write_to_path(roots)
        return certificate, key, roots


@pytest.fixture(scope="session")
def authority():
    return Authority()


@pytest.fixture(scope="session")
def keycloak(authority):
    keycloak = Keycloak(authority)
    try:
        keycloak.start()
        yield keycloak
    finally:
        keycloak.kill()


@pytest.fixture(scope="session")
def daemon(tmp_path_factory, authority, keycloak):
    daemon = Daemon(tmp_path_factory.mktemp("ssfd"), authority, keycloak)
    realm.set_up(keycloak, daemon)
    daemon.configure()
    folder = tmp_path_factory.mktemp("proxy")
    with proxy.started(folder, authority, daemon.proxied_sources, daemon.sources):
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.kill()


@pytest.fixture(scope="session")
def inbox(authority, daemon, keycloak):
    """Creates a stream at each provider with a token of Keycloak."""
    with Receiver.started(authority, "h2") as endpoint:
        inbox = Inbox(endpoint, daemon)
        token = acts.client_token(keycloak, "acme-receiver", daemon.secret("receiver"))
        for provider in daemon.providers:
            made = inbox.create_stream(provider, token)
            assert made.status_code == 201, made.text
        yield inbox


# The sources that the two senders of keycloak-events send to.
SENDERS = [("http", "keycloak"), ("webhook", "keycloak"), (ALL, "keycloak"), (ALL, "keycloak-webhook")]


@dataclass
class World:
    """Everything that a test acts with."""

    keycloak: Keycloak
    daemon: Daemon
    inbox: Inbox

    def person(self):
        return Person(self.keycloak).sign_up()

    def begin(self):
        """Forgets what came until now, and remembers how many records each sender has told of."""
        for provider in self.daemon.providers:
            self.inbox.take(provider, 0)
        saved = self.keycloak.saved()
        self._ahead = {sender: self._judged(*sender) - saved for sender in SENDERS}
        self._rejections_before = self._rejections()

    def rejected(self, provider):
        """Returns the rules by which a provider's sources rejected records since."""
        new = self._rejections() - self._rejections_before
        return [rule for (of, rule), times in new.items() if of == provider for _ in range(times)]

    def _rejections(self):
        counted = self.daemon.series("ssfd_source_rules_total", outcome="rejected")
        return Counter({(one["provider"], one["rule"]): value for one, value in counted})

    def settle(self):
        """Waits until each sender has told of each record that the realm has saved since."""
        saved = self.keycloak.saved()
        for sender, ahead in self._ahead.items():
            is_judged = lambda: self._judged(*sender) == saved + ahead
            wait_for(f"{sender} have told of {saved} records", is_judged)

    def wait_for_records(self, sender, number):
        """Waits until a sender has told of so many records since the daemon was started."""
        patience = 120
        wait_for(f"{number} records of {sender}", lambda: self._judged(*sender) == number, patience)

    def refused(self, provider, source):
        """Returns how often a sender was refused a connection."""
        line = f"Sending exception to {self.daemon.source_url(provider, source)}: "
        return self.keycloak.log().count(line)

    def wait_for_refusals(self, sender, number):
        wait_for(f"{number} refusals of {sender}", lambda: self.refused(*sender) == number)

    def _judged(self, provider, source):
        return self.daemon.count("ssfd_source_records_total", provider=provider, source=source)


@pytest.fixture
def world(keycloak, daemon, inbox):
    return World(keycloak, daemon, inbox)
