"""The ways by which an act is lost while the daemon or Keycloak is away, and those by which it is not.

The senders reach the provider `all` through a proxy and the others directly. So while the daemon is stopped,
a sender gets the status 503 from the proxy, and is refused a connection otherwise.
"""

from daemon import ALL, WAYS
from events import BY_USER, credential, lines, of_user, revoked
from world import DIRECT, PROXIED


def act(session):
    """Lets a person change the password and sign out, and returns the events by the records."""
    session.change_password()
    session.sign_out()
    changed = credential(session.person, "password", "update", **BY_USER)
    return [changed, revoked(session, **BY_USER)]


def assert_told(world, provider, expected):
    told = world.inbox.take(provider, len(expected))
    assert lines(told) == lines(expected), provider


def assert_each_way_works(world, session=None):
    """Lets a person sign out. Whatever was lost before is not among the records that come now."""
    world.begin()
    session = session or world.person().sign_in()
    session.sign_out()
    world.settle()
    for way in WAYS:
        assert_told(world, way, [revoked(session, **({} if way == "logout" else BY_USER))])


def stop_daemon_and_act(world):
    """Stops the daemon and acts. Returns a session of before, and the events of the acts and the number of
    their records."""
    world.begin()
    session, other = world.person().sign_in(), world.person().sign_in()
    world.settle()
    world.inbox.take(ALL, 2)
    world.daemon.stop()
    before = world.keycloak.saved()
    refused = {sender: world.refused(*sender) for sender in DIRECT}
    expected = act(session)
    records = world.keycloak.saved() - before
    for sender, times in refused.items():
        world.wait_for_refusals(sender, times + records)
    return other, expected, records


def test_a_stop_of_the_daemon(world):
    """Senders that were refused a connection do not repeat it. Those that got 503 from a proxy do. A logout
    token is not repeated in either case."""
    _, expected, records = stop_daemon_and_act(world)
    world.daemon.start()
    for sender in PROXIED:
        world.wait_for_records(sender, records)
    for way in WAYS:
        assert_told(world, way, expected if way == "rest" else [])
    assert_told(world, ALL, expected)
    assert_each_way_works(world)


def test_an_act_that_is_repeated_late_does_not_undo_a_later_one(world):
    """Senders repeat each record at times of their own, so the first of two may come last. Then they tell of
    neither, and the poll tells of both."""
    world.begin()
    person = world.person()
    world.settle()
    world.daemon.stop()
    for enabled in (False, True):
        person.administer("PUT", "", {"enabled": enabled})
    world.daemon.start()
    for sender in PROXIED:
        world.wait_for_records(sender, 2)
    expected = [of_user(person, "account-disabled"), of_user(person, "account-enabled")]
    for provider in ("rest", ALL):
        assert world.inbox.take(provider, len(expected)) == expected


def test_a_stop_of_the_daemon_and_a_death_of_keycloak(world):
    """What waits in Keycloak dies with it, and its sessions do not."""
    survivor, expected, _ = stop_daemon_and_act(world)
    world.keycloak.kill()
    world.daemon.start()
    world.keycloak.start()
    assert_told(world, "rest", expected)
    assert_told(world, ALL, expected)
    assert_each_way_works(world, survivor)
