"""The real daemon with real Redis and real TLS, as independent Receivers and publishers meet it."""

import pytest
import redis
import trustme

from scene import ALGORITHMS, Daemon, Receiver, free_port, start_redis


@pytest.fixture(scope="session")
def authority():
    """A certificate authority that the daemon and its Receivers trust for these runs."""
    return trustme.CA()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    port = free_port()
    with start_redis(tmp_path_factory.mktemp("redis"), port):
        yield redis.Redis(port=port)


@pytest.fixture(scope="session")
def daemon(tmp_path_factory, authority, redis_server):
    """One daemon with a provider for each algorithm."""
    folder = tmp_path_factory.mktemp("ssfd")
    port = redis_server.connection_pool.connection_kwargs["port"]
    with Daemon.started(folder, authority, port) as daemon:
        yield daemon


@pytest.fixture(params=ALGORITHMS)
def provider(request, daemon):
    """What a Receiver of one provider knows: its issuer and a token, and no more."""
    return daemon.provider(request.param)


@pytest.fixture(params=["http/1.1", "h2"])
def receiver(request, authority):
    """A push endpoint, by an HTTP server that offers one protocol only."""
    with Receiver.started(authority, request.param) as receiver:
        yield receiver
