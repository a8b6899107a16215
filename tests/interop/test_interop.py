"""SSF 1.0 from the side of a Receiver in another language, with independent libraries."""

import json
import uuid

import pytest
from joserfc import jws
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
VERIFICATION = "https://schemas.openid.net/secevent/ssf/event-type/verification"
STREAM_UPDATED = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"


def publish(redis_server, provider, subject, **members):
    event = {"type": "caep:session-revoked", "sub_id": subject, **members}
    redis_server.xadd(f"ssf:events:{provider.name}", {"event": json.dumps(event)})


def verified(provider, compact):
    """Verifies a SET with the published keys of its issuer and returns its claims."""
    keys = provider.client.get(provider.metadata()["jwks_uri"]).raise_for_status().json()
    token = jws.deserialize_compact(compact, KeySet.import_key_set(keys), [provider.algorithm])
    header = token.headers()
    assert header["typ"] == "secevent+jwt" and header["alg"] == provider.algorithm
    assert [key["kid"] for key in keys["keys"]].count(header["kid"]) == 1
    claims = json.loads(token.payload)
    assert claims["iss"] == provider.issuer and claims["aud"] == "https://rx.example"
    assert not {"sub", "exp"} & claims.keys() and len(claims["events"]) == 1
    return claims


def new_subject():
    return {"format": "opaque", "id": f"u-{uuid.uuid4()}"}


def test_a_pushed_set_verifies(provider, receiver, redis_server):
    """PUSH-01, PUSH-02, SET-01..14, over HTTP/1.1 and HTTP/2."""
    delivery = {
        "method": "urn:ietf:rfc:8935",
        "endpoint_url": receiver.url,
        "authorization_header": "Bearer for-the-receiver",
    }
    stream = provider.create_stream([REVOKED], delivery=delivery)
    assert stream["events_delivered"] == [REVOKED]
    subject = new_subject()
    publish(redis_server, provider, subject, event={"reason_admin": {"en": "lost laptop"}}, txn="c-1")

    request = receiver.next()
    assert (request.method, request.path) == ("POST", "/in")
    assert request.headers["content-type"] == "application/secevent+jwt"
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"] == "Bearer for-the-receiver"
    claims = verified(provider, request.body.decode())
    assert (claims["sub_id"], claims["txn"]) == (subject, "c-1")
    assert claims["events"] == {REVOKED: {"reason_admin": {"en": "lost laptop"}}}


def test_the_daemon_speaks_the_protocol_of_the_receiver(daemon, receiver, redis_server, request):
    """PUSH-10: by ALPN (RFC 7301)."""
    provider = daemon.provider("ES256")
    delivery = {"method": "urn:ietf:rfc:8935", "endpoint_url": receiver.url}
    provider.create_stream([REVOKED], delivery=delivery)
    publish(redis_server, provider, new_subject())
    offered = request.node.callspec.params["receiver"]
    seen = receiver.next()
    assert seen.http_version == {"http/1.1": "1.1", "h2": "2"}[offered]
    assert "authorization" not in seen.headers


def test_a_polled_set_verifies_and_is_settled_once_acknowledged(provider, redis_server):
    """POLL-01, POLL-02, POLL-05, POLL-06."""
    stream = provider.create_stream([REVOKED])
    subjects = [new_subject() for _ in range(3)]
    for subject in subjects:
        publish(redis_server, provider, subject)
    sets = {}
    while len(sets) < len(subjects):
        sets |= provider.poll(stream, maxEvents=2)["sets"]
    claims = [verified(provider, compact) for compact in sets.values()]
    assert [one["jti"] for one in claims] == list(sets)
    assert [one["sub_id"] for one in claims] == subjects

    acknowledged = provider.poll(stream, ack=list(sets), maxEvents=0, returnImmediately=True)
    assert acknowledged["sets"] == {}
    assert provider.poll(stream, returnImmediately=True)["sets"] == {}


def test_a_verification_echoes_its_state(provider, receiver):
    """VER-01, VER-02, EVT-01, by push and by poll."""
    delivery = {"method": "urn:ietf:rfc:8935", "endpoint_url": receiver.url}
    pushed = provider.create_stream([REVOKED], delivery=delivery)
    polled = provider.create_stream([REVOKED])

    def next_set(stream):
        if stream is pushed:
            return receiver.next().body.decode()
        (compact,) = provider.poll(stream)["sets"].values()
        return compact

    for stream in (pushed, polled):
        ask = {"stream_id": stream["stream_id"], "state": "n-4411 \u00fc \"'"}
        answer = provider.client.post(provider.metadata()["verification_endpoint"], json=ask)
        assert (answer.status_code, answer.content) == (204, b"")
        claims = verified(provider, next_set(stream))
        assert claims["sub_id"] == {"format": "opaque", "id": stream["stream_id"]}
        assert claims["events"] == {VERIFICATION: {"state": ask["state"]}}


def test_a_changed_byte_does_not_verify(provider, redis_server):
    """SET-03: the signature covers the claims."""
    stream = provider.create_stream([REVOKED])
    publish(redis_server, provider, new_subject())
    (compact,) = provider.poll(stream)["sets"].values()
    header, payload, signature = compact.split(".")
    forged = ".".join([header, payload[:-2] + ("AA" if payload[-2:] != "AA" else "BB"), signature])
    with pytest.raises(BadSignatureError):
        verified(provider, forged)


def test_a_stream_is_managed_by_standard_http(provider):
    """CFG-01, CFG-08, CFG-10, CFG-11, CFG-15, STAT-01, STAT-02, SUBJ-01."""
    metadata, client = provider.metadata(), provider.client
    assert metadata["issuer"] == provider.issuer and metadata["spec_version"] == "1_0"
    streams = metadata["configuration_endpoint"]
    assert client.get(streams).json() == []
    stream = provider.create_stream([REVOKED], description="one")
    chosen = {"stream_id": stream["stream_id"]}
    assert client.get(streams, params=chosen).json() == stream
    assert client.get(streams).json() == [stream]

    patched = client.patch(streams, json=chosen | {"description": "two"})
    assert patched.json() == stream | {"description": "two"}
    replaced = client.put(streams, json=chosen | {"delivery": {"method": "urn:ietf:rfc:8936"}})
    assert replaced.status_code == 200 and "description" not in replaced.json()

    paused = chosen | {"status": "paused", "reason": "upgrade"}
    assert client.post(metadata["status_endpoint"], json=paused).json() == paused
    assert client.get(metadata["status_endpoint"], params=chosen).json() == paused

    subject = chosen | {"subject": new_subject()}
    assert client.post(metadata["add_subject_endpoint"], json=subject).status_code == 200
    assert client.post(metadata["remove_subject_endpoint"], json=subject).status_code == 204

    deleted = client.delete(streams, params=chosen)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert client.get(streams, params=chosen).status_code == 404


def test_a_document_is_cached_by_its_etag(provider):
    """META-12."""
    url = provider.metadata()["jwks_uri"]
    first = provider.client.get(url)
    again = provider.client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_request_without_a_valid_token_is_challenged(provider):
    """AUTH-02, AUTH-03."""
    streams = provider.metadata()["configuration_endpoint"]
    without = provider.client.get(streams, headers={"Authorization": ""})
    wrong = provider.client.get(streams, headers={"Authorization": "Bearer nobody"})
    assert (without.status_code, wrong.status_code) == (401, 401)
    assert wrong.headers["www-authenticate"].startswith("Bearer ")
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
