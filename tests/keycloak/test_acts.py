"""Each act of a person or an administrator, followed by each way to the SETs at the Receiver.

An act returns the events that it gives, by the records of Keycloak (`native`) and by logout tokens
(`logout`). A way with events of its own is named. `rejected` has the rules that reject a record, by way, and
`scoped` the further events of sources with `scope = "user"`.
"""

import time
import uuid
from dataclasses import replace

import pytest
from acts import Browser
from daemon import ALL, WAYS
from events import BY_ADMIN, BY_USER, TIMED, Told, credential, lines, of_session, of_user, revoked
from realm import WRONG_PASSWORDS_MAX
from security_key import AAGUID

# The ways that have the same records.
NATIVE = ("http", "webhook", "rest")


def sign_out(session, how):
    how()
    return {"native": [revoked(session, **BY_USER)], "logout": [revoked(session)]}


def signs_out_by_a_link(person):
    session = person.sign_in()
    return sign_out(session, session.sign_out)


def signs_out_by_the_page(person):
    session = person.sign_in()
    return sign_out(session, session.sign_out_by_page)


def signs_out_in_an_application(person):
    session = person.sign_in()
    return sign_out(session, session.sign_out_by_application)


def ends_another_session(person):
    other, own = person.sign_in(), person.sign_in()
    return sign_out(other, lambda: own.end(other))


def changes_the_password(person):
    person.sign_in().change_password()
    return {"native": [credential(person, "password", "update", **BY_USER)]}


def changes_the_password_and_signs_out_elsewhere(person):
    """The webhook has another session id than the session, so it names none."""
    elsewhere, own = person.sign_in(), person.sign_in()
    own.change_password(sign_out_others=True)
    changed = credential(person, "password", "update", **BY_USER)
    return {
        "native": [changed, revoked(elsewhere, **BY_USER)],
        "webhook": [changed],
        "logout": [revoked(elsewhere)],
        "rejected": {"webhook": "logout-of-user"},
        "scoped": [of_user(person, "session-revoked", **BY_USER)],
    }


def adds_totp(person):
    person.sign_in().add_totp("phone")
    return {"native": [credential(person, "app", "create", **BY_USER)]}


def removes_totp(person):
    """Only the record of the removal has the name that the person gave."""
    session = person.sign_in()
    session.add_totp("phone")
    session.remove_totp()
    removed = credential(person, "app", "delete", friendly_name="phone", **BY_USER)
    return {"native": [credential(person, "app", "create", **BY_USER), removed]}


def adds_a_security_key(person):
    person.sign_in().add_security_key("key")
    key = {"friendly_name": "key", "fido2_aaguid": str(uuid.UUID(bytes=AAGUID))}
    return {"native": [credential(person, "fido2-roaming", "create", **key, **BY_USER)]}


def adds_recovery_codes(person):
    """CAEP has no value for them, so the name of Keycloak stays."""
    person.sign_in().add_recovery_codes()
    return {"native": [credential(person, "recovery-authn-codes", "create", **BY_USER)]}


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


def deletes_the_own_account(person):
    person.sign_in().delete_account()
    return {"native": [of_user(person, "account-purged")]}


def enters_a_wrong_password(person):
    browser = Browser(person.keycloak)
    browser.authorize("portal")
    assert browser.submit(username=person.name, password="wrong") is None
    return {}


def is_locked_out(person):
    for _ in range(WRONG_PASSWORDS_MAX):
        enters_a_wrong_password(person)
    person.wait_until_disabled()
    return {"native": [of_user(person, "account-disabled")]}


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
    return {"native": [of_user(person, "account-disabled"), of_user(person, "account-enabled")]}


def is_deleted(person):
    person.sign_in()
    person.administer("DELETE", "")
    return {"native": [of_user(person, "account-purged")]}


def has_the_password_reset(person):
    person.administer("PUT", "/reset-password", {"type": "password", "value": "another password"})
    return {"native": [credential(person, "password", "update", **BY_ADMIN)]}


def loses_totp(person):
    """An administrator removes the credential."""
    person.sign_in().add_totp("phone")
    (otp,) = [one for one in person.credentials() if one["type"] == "otp"]
    person.administer("DELETE", f"/credentials/{otp['id']}")
    added = credential(person, "app", "create", **BY_USER)
    return {"native": [added, credential(person, "app", "delete", **BY_ADMIN)]}


def is_changed_otherwise(person):
    """Roles, groups and the rest of the profile are no security events."""
    person.keycloak.realm("POST", "/roles", {"name": person.name})
    role = person.keycloak.realm("GET", f"/roles/{person.name}").json()
    person.administer("POST", "/role-mappings/realm", [role])
    made = person.keycloak.realm("POST", "/groups", {"name": person.name})
    person.administer("PUT", f"/groups/{made.headers['location'].rsplit('/', 1)[1]}")
    person.administer("PUT", "", {"lastName": "Holm", "email": f"other-{person.email}"})
    return {}


def is_signed_out_everywhere(person):
    """The records mean all sessions. Hence a source needs `scope = "user"` for them."""
    sessions = [person.sign_in(), person.sign_in()]
    person.administer("POST", "/logout")
    return {
        "logout": [revoked(session) for session in sessions],
        "rejected": {way: "logout-by-admin" for way in NATIVE},
        "scoped": [of_user(person, "session-revoked", **BY_ADMIN)],
    }


def has_one_session_ended(person):
    """The administrator's record names the session alone, and the token names the user too."""
    session, _ = person.sign_in(), person.sign_in()
    person.keycloak.realm("DELETE", f"/sessions/{session.id}")
    alone = revoked(session, **BY_ADMIN)
    del alone.subject["user"]
    return {"native": [alone], "logout": [revoked(session)]}


def is_signed_out_with_the_whole_realm(person):
    """The record names nobody, and Keycloak sends no logout token."""
    person.sign_in()
    person.keycloak.realm("POST", "/logout-all")
    return {"rejected": {way: "logout-of-realm" for way in NATIVE}}


ACTS = [
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
    deletes_the_own_account,
    enters_a_wrong_password,
    is_locked_out,
    is_disabled_and_enabled,
    is_deleted,
    has_the_password_reset,
    loses_totp,
    is_changed_otherwise,
    is_signed_out_everywhere,
    has_one_session_ended,
    is_signed_out_with_the_whole_realm,
]


def expected_of(way, done):
    """Returns the events that one way tells of an act."""
    return done.get(way, done.get("native", []) if way in NATIVE else [])


def expected_of_all(done, person):
    """Returns the events of all ways together: each once, though several ways tell of it."""
    told = [one for way in WAYS for one in expected_of(way, done)] + done.get("scoped", [])
    told += [of_session(session, "session-established") for session in person.sessions]
    once = {str(one): one for one in map(without_initiator, told)}
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
    for way in WAYS:
        expected = expected_of(way, done)
        told = world.inbox.take(way, len(expected))
        assert lines(told) == lines(expected), way
        assert all(began <= one.at <= ended for one in told if one.at is not None), told
        assert all(one.at and one.reason for one in told if one.type in TIMED), told
        rule = done.get("rejected", {}).get(way)
        world.wait_for_rejections(way, [rule] if rule else [])
        if rule:
            assert world.daemon.rejected(way, WAYS[way].source)[0]["rule"] == rule

    expected = expected_of_all(done, person)
    told = world.inbox.take(ALL, len(expected))
    assert lines(map(without_initiator, told)) == lines(expected)


def test_a_logout_token_with_a_new_key_of_the_realm_is_believed(world):
    world.begin()
    session = world.person().sign_in()
    world.keycloak.add_key("RS256", priority=300)
    session.sign_out()
    assert lines(world.inbox.take("logout", 1)) == lines([revoked(session)])
