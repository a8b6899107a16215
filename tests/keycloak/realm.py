"""The set-up of the realm, step by step as the pages of the documentation say."""

import json
import os
import subprocess

from acts import CALLBACK
from keycloak import REALM
from pages import blocks, filled

# The client that each person signs in with, and a further application. Each tells another source of
# sign-outs.
CLIENTS = {"portal": "logout", "wiki": "all"}

WRONG_PASSWORDS_MAX = 3


def set_up(keycloak, daemon):
    """Creates the realm and connects it to the sources."""
    # An account is locked for good by the third wrong password.
    lock = {"bruteForceProtected": True, "permanentLockout": True, "failureFactor": WRONG_PASSWORDS_MAX}
    at_once = {"quickLoginCheckMilliSeconds": 0}
    keycloak.admin("POST", "", {"realm": REALM, "enabled": True} | lock | at_once)
    _let_people_delete_their_accounts(keycloak)
    _save_events(keycloak)
    _applications(keycloak, daemon)
    _http_sender(keycloak, daemon)
    _webhooks(keycloak, daemon)
    _poller(keycloak, daemon)
    _receivers(keycloak, daemon)


def _let_people_delete_their_accounts(keycloak):
    keycloak.switch_action("delete_account", True)
    (account,) = keycloak.realm("GET", "/clients", clientId="account").json()
    role = keycloak.realm("GET", f"/clients/{account['id']}/roles/delete-account").json()
    of_all = keycloak.realm("GET", "").json()["defaultRole"]
    keycloak.realm("POST", f"/roles-by-id/{of_all['id']}/composites", [role])


def _save_events(keycloak):
    """Lets the realm save each event (docs/sources/keycloak-rest.md, steps 1 and 2), and tell the senders."""
    config = keycloak.realm("GET", "/events/config").json()
    config |= {
        "eventsEnabled": True,
        "adminEventsEnabled": True,
        "adminEventsDetailsEnabled": True,
        "eventsListeners": [*config["eventsListeners"], "ext-event-http", "ext-event-webhook"],
    }
    keycloak.realm("PUT", "/events/config", config)


def _applications(keycloak, daemon):
    """Registers the clients with their logout URLs (docs/sources/logout-token.md)."""
    for name, provider in CLIENTS.items():
        logout = {
            "backchannel.logout.url": daemon.source_url(provider, "logout"),
            "backchannel.logout.session.required": "true",
            "post.logout.redirect.uris": "+",
        }
        client = {
            "clientId": name,
            "publicClient": True,
            "redirectUris": [CALLBACK],
            "frontchannelLogout": False,
            "attributes": logout,
        }
        keycloak.realm("POST", "/clients", client)


def _http_sender(keycloak, daemon):
    """Sets the attribute of the realm by `kcadm.sh`, for two targets (docs/sources/keycloak-http.md)."""
    (command,) = blocks("sources/keycloak-http.md", "sh")
    for number, provider in enumerate(["http", "all"]):
        names = {
            "https://sources.corp.example/in/default/keycloak": daemon.source_url(provider, "keycloak"),
            "<the secret>": daemon.secret("keycloak"),
            "ext-event-http.0": f"ext-event-http.{number}",
        }
        keycloak.kcadm(filled(command, names))


def _webhooks(keycloak, daemon):
    """Creates two webhooks by `curl` (docs/sources/keycloak-webhook.md)."""
    (command,) = blocks("sources/keycloak-webhook.md", "sh")
    for provider, source in [("webhook", "keycloak"), ("all", "keycloak-webhook")]:
        names = {
            "https://login.corp.example": keycloak.url,
            "https://sources.corp.example/in/default/keycloak": daemon.source_url(provider, source),
            "<the secret>": daemon.secret("keycloak"),
        }
        token = keycloak.administrator()["Authorization"].removeprefix("Bearer ")
        environment = os.environ | {"TOKEN": token, "CURL_CA_BUNDLE": str(daemon.roots)}
        script = filled(command, names).replace("curl -sS", "curl -sS --fail-with-body")
        subprocess.run(["sh", "-ec", script], env=environment, check=True, timeout=60)
    hooks = keycloak.http.get(f"{keycloak.issuer}/webhooks", headers=keycloak.administrator())
    assert len(hooks.json()) == 2, json.dumps(hooks.json())


def _poller(keycloak, daemon):
    """Registers the client of the polls (docs/sources/keycloak-rest.md, step 4)."""
    client = service_client("ssfd-poll", daemon.secret("keycloak-poll"))
    account = _service_account(keycloak, client)
    (management,) = keycloak.realm("GET", "/clients", clientId="realm-management").json()
    role = keycloak.realm("GET", f"/clients/{management['id']}/roles/view-events").json()
    path = f"/users/{account['id']}/role-mappings/clients/{management['id']}"
    keycloak.realm("POST", path, [role])


def service_client(name, secret, **members):
    """Returns a confidential client that has nothing but its own account."""
    flows = {"standardFlowEnabled": False, "directAccessGrantsEnabled": False}
    kind = {"publicClient": False, "serviceAccountsEnabled": True, "secret": secret}
    return {"clientId": name} | kind | flows | members


def _service_account(keycloak, client):
    made = keycloak.realm("POST", "/clients", client)
    path = made.headers["location"].split(f"/realms/{REALM}", 1)[1]
    return keycloak.realm("GET", f"{path}/service-account-user").json()


def _audience(name, **audience):
    """Returns a mapper that puts an audience into access tokens and into answers of introspection."""
    claims = {"access.token.claim": "true", "introspection.token.claim": "true"}
    config = {f"included.{kind}.audience": value for kind, value in audience.items()} | claims
    return {
        "name": name,
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": config,
    }


def _receivers(keycloak, daemon):
    """Registers the Receivers' clients (docs/receive/authorization-servers.md)."""
    keycloak.realm("POST", "/clients", service_client("ssfd", daemon.secret("keycloak-secret")))
    issuers = [_audience(name, custom=daemon.issuer(name)) for name in daemon.providers]
    asking = _audience("asking", client="ssfd")
    scope = {"protocol": "openid-connect", "attributes": {"include.in.token.scope": "true"}}
    keycloak.realm(
        "POST", "/client-scopes", {"name": "ssfd", "protocolMappers": [*issuers, asking]} | scope
    )
    for name in ("ssf.read", "ssf.manage"):
        keycloak.realm("POST", "/client-scopes", {"name": name} | scope)
    for name in ("acme-receiver", "unlisted-receiver"):
        add_receiver(keycloak, daemon, name)


def add_receiver(keycloak, daemon, name, **members):
    """Registers a client with the scopes of a Receiver."""
    client = service_client(
        name,
        daemon.secret("receiver"),
        attributes={"access.token.header.type.rfc9068": "true"},
        defaultClientScopes=["basic", "ssfd", "ssf.manage"],
    )
    keycloak.realm("POST", "/clients", client | members)
