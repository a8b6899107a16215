"""Each act of a person or an administrator, followed by each way to the SETs at the Receiver."""

import time
import uuid
from dataclasses import replace

import pytest
from acts import Browser
from daemon import ALL, WAYS
from realm import WRONG_PASSWORDS_MAX
from receiver import Told
from security_key import AAGUID

# The ways that have the same records.
NATIVE = ("http", "webhook")
# The types whose events tell a time and a reason.
TIMED = ("session-revoked", "session-established", "credential-change")


def user(person):
    return {"format": "iss_sub", "iss": person.keycloak.issuer, "sub": person.id}


def of_session(session, with_user=True):
    whole = {"format": "complex", "session": {"format": "opaque", "id": session.id}}
    return whole | ({"user": user(session.person)} if with_user else {})


def by(entity):
    return {"initiating_entity": entity}


def sign_out(person, how):
    """Signs out, and returns the events of the records and of the logout token."""
    session = person.sign_in()
    how(session)
    revoked = of_session(session)
    return {
        "native": [Told("session-revoked", revoked, by("user"))],
        "logout": [Told("session-revoked", revoked, {})],
    }


def signs_out_by_a_link(person):
    return sign_out(person, lambda session: session.sign_out())


def signs_out_by_the_page(person):
    return sign_out(person, lambda session: session.sign_out_by_page())


def signs_out_in_an_application(person):
    return sign_out(person, lambda session: session.sign_out_by_application())


def ends_another_session(person):
    other, own = person.sign_in(), person.sign_in()
    own.end(other)
    revoked = of_session(other)
    return {
        "native": [Told("session-revoked", revoked, by("user"))],
        "logout": [Told("session-revoked", revoked, {})],
    }


def password_changed(person, entity):
    members = {"credential_type": "password", "change_type": "update"} | by(entity)
    return Told("credential-change", user(person), members)


def changes_the_password(person):
    person.sign_in().change_password()
    return {"native": [password_changed(person, "user")]}


def changes_the_password_and_signs_out_elsewhere(person):
    """The webhook has another session id than the session, so it names none."""
    elsewhere, own = person.sign_in(), person.sign_in()
    own.change_password(sign_out_others=True)
    changed, revoked = password_changed(person, "user"), of_session(elsewhere)
    return {
        "native": [changed, Told("session-revoked", revoked, by("user"))],
        "webhook": [changed],
        "logout": [Told("session-revoked", revoked, {})],
        "rejected": {"webhook": "logout-of-user"},
        "scoped": [Told("session-revoked", user(person), by("user"))],
    }


def totp_changed(person, change, entity, **members):
    members |= {"credential_type": "app", "change_type": change} | by(entity)
    return Told("credential-change", user(person), members)


def adds_totp(person):
    person.sign_in().add_totp("phone")
    return {"native": [totp_changed(person, "create", "user")]}


def removes_totp(person):
    session = person.sign_in()
    session.add_totp("phone")
    session.remove_totp()
    removed = totp_changed(person, "delete", "user", friendly_name="phone")
    return {"native": [totp_changed(person, "create", "user"), removed]}


def adds_a_security_key(person):
    person.sign_in().add_security_key("key")
    members = {"credential_type": "fido2-roaming", "change_type": "create", "friendly_name": "key"}
    members |= {"fido2_aaguid": str(uuid.UUID(bytes=AAGUID))} | by("user")
    return {"native": [Told("credential-change", user(person), members)]}


def adds_recovery_codes(person):
    """CAEP has no value for them, so the name of Keycloak stays."""
    person.sign_in().add_recovery_codes()
    members = {"credential_type": "recovery-authn-codes", "change_type": "create"} | by("user")
    return {"native": [Told("credential-change", user(person), members)]}


def address_changed(person, new):
    old = {"format": "email", "email": person.email}
    return {"native": [Told("identifier-changed", old, {"new-value": new})]}


def changes_the_address_in_the_profile(person):
    new = f"new-{person.email}"
    person.sign_in().change_email(new)
    return address_changed(person, new)


def changes_the_address_by_its_action(person):
    new = f"new-{person.email}"
    person.keycloak.switch_action("UPDATE_EMAIL", True)
    person.sign_in().update_email(new)
    person.keycloak.switch_action("UPDATE_EMAIL", False)
    return address_changed(person, new)


def is_changed_otherwise(person):
    """Roles, groups and the rest of the profile are no security events."""
    role = {"name": f"role-{person.name}"}
    person.keycloak.realm("POST", "/roles", role)
    role = person.keycloak.realm("GET", f"/roles/{role['name']}").json()
    person.administer("POST", "/role-mappings/realm", [role])
    made = person.keycloak.realm("POST", "/groups", {"name": f"group-{person.name}"})
    person.administer("PUT", f"/groups/{made.headers['location'].rsplit('/', 1)[1]}")
    person.administer("PUT", "", {"lastName": "Holm", "email": f"other-{person.email}"})
    return {}


def enters_a_wrong_password(person):
    browser = Browser(person.keycloak)
    browser.authorize("portal")
    assert browser.submit(username=person.name, password="wrong") is None
    return {}


def is_locked_out_and_enabled(person):
    for _ in range(WRONG_PASSWORDS_MAX):
        enters_a_wrong_password(person)
    person.wait_until_disabled()
    person.administer("PUT", "", {"enabled": True})
    told = ["account-disabled", "account-enabled"]
    return {"native": [Told(name, user(person), {}) for name in told]}


def deletes_the_own_account(person):
    person.sign_in().delete_account()
    return {"native": [Told("account-purged", user(person), {})]}


def has_the_password_reset(person):
    person.administer("PUT", "/reset-password", {"type": "password", "value": "another password"})
    return {"native": [password_changed(person, "admin")]}


def loses_totp(person):
    """An administrator removes the credential."""
    person.sign_in().add_totp("phone")
    (otp,) = [one for one in person.credentials() if one["type"] == "otp"]
    person.administer("DELETE", f"/credentials/{otp['id']}")
    changes = [totp_changed(person, "create", "user"), totp_changed(person, "delete", "admin")]
    return {"native": changes}


def is_disabled_and_enabled(person):
    """Further changes of the account are none of its state. The session ends without a record."""
    person.sign_in()
    for change in [
        {"lastName": "Holm"},
        {"enabled": False},
        {"enabled": False, "lastName": "Berg"},
        {"enabled": True},
        {"enabled": True, "lastName": "Holm"},
    ]:
        person.administer("PUT", "", change)
    told = ["account-disabled", "account-enabled"]
    return {"native": [Told(name, user(person), {}) for name in told]}


def is_deleted(person):
    person.sign_in()
    person.administer("DELETE", "")
    return {"native": [Told("account-purged", user(person), {})]}


def is_signed_out_everywhere(person):
    """The records mean all sessions. Hence a source needs `scope = "user"` for them."""
    sessions = [person.sign_in(), person.sign_in()]
    person.administer("POST", "/logout")
    tokens = [Told("session-revoked", of_session(session), {}) for session in sessions]
    return {
        "native": [],
        "logout": tokens,
        "rejected": {way: "logout-by-admin" for way in NATIVE},
        "scoped": [Told("session-revoked", user(person), by("admin"))],
    }


def has_one_session_ended(person):
    """The administrator's record names the session alone, and the token names the user too."""
    session, _ = person.sign_in(), person.sign_in()
    person.keycloak.realm("DELETE", f"/sessions/{session.id}")
    return {
        "native": [Told("session-revoked", of_session(session, with_user=False), by("admin"))],
        "logout": [Told("session-revoked", of_session(session), {})],
    }


def is_signed_out_with_the_whole_realm(person):
    """The record names nobody, and Keycloak sends no logout token."""
    person.sign_in()
    person.keycloak.realm("POST", "/logout-all")
    return {"rejected": {way: "logout-of-realm" for way in NATIVE}}


ACTS = [
    enters_a_wrong_password,
    is_locked_out_and_enabled,
    deletes_the_own_account,
    signs_out_by_a_link,
    signs_out_by_the_page,
    signs_out_in_an_application,
    ends_another_session,
    changes_the_password,
    changes_the_password_and_signs_out_elsewhere,
    adds_totp,
    removes_totp,
    adds_a_security_key,
    adds_recovery_codes,
    changes_the_address_in_the_profile,
    changes_the_address_by_its_action,
    is_changed_otherwise,
    has_the_password_reset,
    loses_totp,
    is_disabled_and_enabled,
    is_deleted,
    is_signed_out_everywhere,
    has_one_session_ended,
    is_signed_out_with_the_whole_realm,
]


def expected_of(way, done):
    """Returns the events that one way tells of an act."""
    return done.get(way, done.get("native", []) if way in NATIVE else [])


def merged(done, person):
    """Returns the events of all ways together: each once, though several ways tell of it."""
    scoped, signed_in = done.get("scoped", []), [
        Told("session-established", of_session(session), {}) for session in person.sessions
    ]
    told = [one for way in WAYS for one in expected_of(way, done)]
    once = {str(one): one for one in map(without_initiator, [*told, *scoped, *signed_in])}
    return list(once.values())


def without_initiator(told):
    """Removes who ended a session, because a logout token does not say so and may come first."""
    if told.type != "session-revoked" or {"user", "session"} - told.subject.keys():
        return told
    return replace(told, members={})


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_an_act_gives_its_sets_by_each_way(act, world):
    world.begin()
    person, began = world.person(), int(time.time())
    done = act(person)
    world.settle()
    ended = time.time()
    for way, (_, source, _) in WAYS.items():
        expected = expected_of(way, done)
        told = world.inbox.take(way, len(expected))
        assert sorted(map(str, told)) == sorted(map(str, expected)), way
        assert all(began <= one.at <= ended for one in told if one.at is not None), told
        assert all(one.at and one.reason for one in told if one.type in TIMED), told
        rule = done.get("rejected", {}).get(way)
        assert world.rejected(way) == ([rule] if rule else []), way
        if rule:
            assert world.daemon.rejected(way, source)[0]["rule"] == rule

    expected = merged(done, person)
    told = world.inbox.take(ALL, len(expected))
    assert sorted(str(without_initiator(one)) for one in told) == sorted(map(str, expected))
