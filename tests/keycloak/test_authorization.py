"""Keycloak as the authorization server of the Receivers, by both recipes of the documentation."""

import httpx
import pytest
from acts import Browser, client_token
from daemon import ALL, WAYS
from keycloak import KEYS
from processes import wait_for

# A provider of each recipe.
PROVIDERS = {
    recipe: next(name for name, way in WAYS.items() if way.recipe == recipe)
    for recipe in ("jwt", "introspection")
}


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return PROVIDERS[request.param]


def streams(world, provider, token):
    """Asks for the Receiver's streams, and returns the answer."""
    url = world.inbox.metadata(provider)["configuration_endpoint"]
    return world.daemon.http.get(url, headers={"Authorization": f"Bearer {token}"})


def own_token(world, client="acme-receiver"):
    return client_token(world.keycloak, client, world.daemon.secret("receiver"))


def test_a_receiver_manages_its_stream_with_its_own_token(world, provider):
    answer = streams(world, provider, own_token(world))
    assert answer.status_code == 200 and len(answer.json()) == 1, answer.text
    assert answer.json()[0]["delivery"]["endpoint_url"].endswith(f"/{provider}")


def test_a_token_without_the_scope_to_manage_only_reads(world, provider):
    scopes = ["basic", "service_account", "ssfd", "ssf.read"]
    with world.keycloak.changed_client("acme-receiver", scopes=scopes):
        token = own_token(world)
    assert streams(world, provider, token).status_code == 200
    made = world.inbox.create_stream(provider, token)
    assert made.status_code == 403, made.text


def test_a_client_that_is_not_listed_is_no_receiver(world, provider):
    answer = streams(world, provider, own_token(world, "unlisted-receiver"))
    assert answer.status_code == 403, answer.text
    assert "the client of this access token is not a Receiver" in answer.text


def test_a_person_gets_no_token_of_a_receivers_client(world):
    """The recipe switches the flows off by which people get tokens."""
    person = world.person()
    with pytest.raises(httpx.HTTPStatusError) as refused:
        person_token(world, person)
    assert refused.value.response.json()["error"] == "unauthorized_client"
    with pytest.raises(AssertionError, match="400"):
        Browser(world.keycloak).authorize("acme-receiver")


def person_token(world, person):
    """Asks for a token of a person by the client of the Receiver."""
    secret = world.daemon.secret("receiver")
    form = {"grant_type": "password", "username": person.name, "password": person.password}
    return client_token(world.keycloak, "acme-receiver", secret, scope="openid", **form)


def test_a_token_of_a_person_is_refused(world, provider):
    """Even if an administrator has switched such a flow on."""
    with world.keycloak.changed_client("acme-receiver", directAccessGrantsEnabled=True):
        token = person_token(world, world.person())
    answer = streams(world, provider, token)
    assert answer.status_code == 401, answer.text


def test_the_claim_azp_names_the_client_of_a_person_too(world):
    """The provider `all` reads the client from `azp`. So nothing but the flows keeps people out there."""
    with world.keycloak.changed_client("acme-receiver", directAccessGrantsEnabled=True):
        token = person_token(world, world.person())
    for own in (own_token(world), token):
        assert streams(world, ALL, own).status_code == 200


def test_a_token_for_another_audience_is_refused(world, provider):
    """The token of a client without the scope `ssfd`, and an application's token of a person."""
    scopes = ["basic", "service_account", "ssf.manage"]
    with world.keycloak.changed_client("acme-receiver", scopes=scopes):
        # Introspection answers by the scopes that the client has at that time.
        answer = streams(world, provider, own_token(world))
    assert answer.status_code == 401, answer.text
    session = world.person().sign_in()
    answer = streams(world, provider, session.tokens["portal"]["access_token"])
    assert answer.status_code == 401, answer.text


def test_introspection_notices_a_revocation(world):
    token = own_token(world)
    for provider in PROVIDERS.values():
        assert streams(world, provider, token).status_code == 200
    revoke = f"{world.keycloak.issuer}/protocol/openid-connect/revoke"
    who = ("acme-receiver", world.daemon.secret("receiver"))
    world.keycloak.http.post(revoke, auth=who, data={"token": token}).raise_for_status()
    wait_for(
        "the revoked token is refused",
        lambda: streams(world, PROVIDERS["introspection"], token).status_code == 401,
    )
    # The keys of the realm alone do not show it.
    assert streams(world, PROVIDERS["jwt"], token).status_code == 200


def test_new_keys_of_the_realm_are_taken_for_each_algorithm(world):
    for algorithm in KEYS:
        world.keycloak.add_key(algorithm, priority=200)
    for algorithm in KEYS:
        signed = {"access.token.signed.response.alg": algorithm}
        with world.keycloak.changed_client("acme-receiver", attributes=signed):
            token = own_token(world)
        wait_for(
            f"a token with {algorithm} is taken",
            lambda: streams(world, PROVIDERS["jwt"], token).status_code == 200,
        )
