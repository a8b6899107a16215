"""The events that the tests expect at the Receiver."""

import json
from dataclasses import dataclass, field

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
# The types whose events tell a time and a reason.
TIMED = ("session-revoked", "session-established", "credential-change")
BY_USER, BY_ADMIN = {"initiating_entity": "user"}, {"initiating_entity": "admin"}


@dataclass
class Told:
    """An event as a Receiver learns of it: the last part of its type, its subject and its members."""

    type: str
    subject: dict
    members: dict
    at: int | None = field(default=None, compare=False)
    reason: str | None = field(default=None, compare=False)

    def __str__(self):
        return json.dumps([self.type, self.subject, self.members], sort_keys=True)


def lines(events):
    """Returns events as texts in an order of their own, because ways differ in theirs."""
    return sorted(map(str, events))


def of_user(person, event_type, **members):
    subject = {"format": "iss_sub", "iss": person.keycloak.issuer, "sub": person.id}
    return Told(event_type, subject, members)


def of_session(session, event_type, **members):
    user = of_user(session.person, event_type).subject
    opaque = {"format": "opaque", "id": session.id}
    return Told(event_type, {"format": "complex", "user": user, "session": opaque}, members)


def revoked(session, **members):
    return of_session(session, "session-revoked", **members)


def credential(person, credential_type, change_type, **members):
    kind = {"credential_type": credential_type, "change_type": change_type}
    return of_user(person, "credential-change", **kind, **members)
