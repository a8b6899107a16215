"""A proxy in front of the sources' listener, as operators have one: haproxy with TLS on both sides."""

import contextlib
import os
import socket

from processes import process, wait_for

# Without a daemon behind it, the proxy answers 503 at once.
CONFIGURATION = """
global
    maxconn 200
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout client 60s
    timeout server 30s
frontend sources
    bind 127.0.0.1:{port} ssl crt {certificate}
    default_backend ssfd
backend ssfd
    server ssfd 127.0.0.1:{behind} ssl verify required ca-file {roots} sni str(localhost) verifyhost localhost
"""


@contextlib.contextmanager
def started(folder, authority, port, behind):
    """Starts a proxy at one port of this machine for the port of the daemon behind it."""
    chain, key, roots = authority.write(folder)
    certificate = folder / "both.pem"
    certificate.write_text(chain.read_text() + key.read_text())
    file = folder / "haproxy.conf"
    places = {"port": port, "behind": behind, "certificate": certificate, "roots": roots}
    file.write_text(CONFIGURATION.format(**places))
    # Debian keeps haproxy where not every user looks for programs.
    environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    with process("haproxy", "-f", file, env=environment):
        wait_for("the proxy listens", lambda: socket.create_connection(("127.0.0.1", port)))
        yield
