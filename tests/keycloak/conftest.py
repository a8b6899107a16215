"""Starts a real Keycloak, the daemon and a Receiver, once for all tests."""

import ssl

import acts
import proxy
import pytest
import realm
import trustme
from daemon import Daemon
from keycloak import Keycloak
from processes import Receiver
from receiver import Inbox
from world import World


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


@pytest.fixture
def world(keycloak, daemon, inbox):
    return World(keycloak, daemon, inbox)
