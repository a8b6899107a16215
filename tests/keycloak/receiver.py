"""A Receiver with one push stream for each provider. It verifies each SET with the issuer's JWK Set."""

import contextlib
import json
import queue
from collections import defaultdict

from daemon import AUDIENCE
from events import CAEP, RISC, Told
from joserfc import jws
from joserfc.jwk import KeySet
from processes import PATIENCE, wait_for


class Inbox:
    """The SETs that arrived and that no test has taken yet, by provider."""

    def __init__(self, endpoint, daemon):
        self._endpoint, self._daemon = endpoint, daemon
        self._keys, self._waiting = {}, defaultdict(list)

    def create_stream(self, provider, token):
        """Creates a push stream with an access token, as a Receiver does, and returns the answer."""
        metadata = self.metadata(provider)
        body = {
            "events_requested": requested_events(),
            "delivery": {
                "method": "urn:ietf:rfc:8935",
                "endpoint_url": f"{self._endpoint.url}/{provider}",
            },
        }
        url, bearer = metadata["configuration_endpoint"], {"Authorization": f"Bearer {token}"}
        return self._daemon.http.post(url, json=body, headers=bearer)

    def metadata(self, provider):
        base = self._daemon.issuer(provider).removesuffix(f"/{provider}")
        url = f"{base}/.well-known/ssf-configuration/{provider}"
        return self._daemon.http.get(url).raise_for_status().json()

    def _key_set(self, provider):
        if provider not in self._keys:
            url = self.metadata(provider)["jwks_uri"]
            keys = self._daemon.http.get(url).raise_for_status().json()
            self._keys[provider] = KeySet.import_key_set(keys)
        return self._keys[provider]

    def _take(self, timeout):
        request = self._endpoint.next(timeout)
        provider = request.path.rsplit("/", 1)[1]
        assert request.headers["content-type"] == "application/secevent+jwt"
        token = jws.deserialize_compact(request.body, self._key_set(provider), ["ES256"])
        assert token.headers()["typ"] == "secevent+jwt"
        claims = json.loads(token.payload)
        assert claims["iss"] == self._daemon.issuer(provider) and claims["aud"] == AUDIENCE
        ((event_type, members),) = claims["events"].items()
        # The time and the text for administrators are no part of what an event says, and differ by way.
        at, reason = members.pop("event_timestamp", None), members.pop("reason_admin", {})
        name = event_type.removeprefix(CAEP).removeprefix(RISC)
        told = Told(name, claims["sub_id"], members, at, reason.get("en"))
        self._waiting[provider].append(told)

    def take(self, provider, least):
        """Returns all new events of a provider: at least so many, if they come in time, and all others."""
        with contextlib.suppress(queue.Empty):
            while len(self._waiting[provider]) < least:
                self._take(PATIENCE)

        def is_settled():
            appended = self._daemon.count("ssfd_sets_appended_total")
            return appended == self._daemon.count("ssfd_sets_delivered_total")

        wait_for("each SET is delivered", is_settled)
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(0)
        return self._waiting.pop(provider, [])


def requested_events():
    """Returns the types that the Receiver requests."""
    caep = ["session-revoked", "session-established", "credential-change"]
    risc = ["account-disabled", "account-enabled", "account-purged", "identifier-changed"]
    return [CAEP + name for name in caep] + [RISC + name for name in risc]
