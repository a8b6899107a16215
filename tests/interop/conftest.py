"""Starts the real daemon with a real Redis and TLS, for independent Receivers and publishers."""

import pytest
import redis
import trustme

from processes import ALGORITHMS, Daemon, Receiver, free_port, start_redis


@pytest.fixture(scope="session")
def authority():
    """Returns a certificate authority that the daemon and its Receivers trust."""
    return trustme.CA()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """Starts the Redis that publishers write to."""
    port = free_port()
    with start_redis(tmp_path_factory.mktemp("redis"), port):
        yield redis.Redis(port=port)


@pytest.fixture(scope="session")
def daemon(tmp_path_factory, authority, redis_server):
    """Starts one daemon with a provider for each algorithm."""
    folder = tmp_path_factory.mktemp("ssfd")
    port = redis_server.connection_pool.connection_kwargs["port"]
    with Daemon.started(folder, authority, port) as daemon:
        yield daemon


@pytest.fixture(params=ALGORITHMS)
def provider(request, daemon):
    """Returns a provider as a Receiver knows it, by its issuer and a token alone."""
    return daemon.provider(request.param)


@pytest.fixture(params=["http/1.1", "h2"])
def receiver(request, authority):
    """Starts a push endpoint whose HTTP server offers only one protocol."""
    with Receiver.started(authority, request.param) as receiver:
        yield receiver
