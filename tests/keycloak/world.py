"""Keycloak, the daemon and the Receiver together, and how far the senders have told of what happened."""

from collections import Counter
from dataclasses import dataclass

from acts import Person
from daemon import ALL, Daemon
from keycloak import Keycloak
from processes import wait_for
from receiver import Inbox

# The sources that the two senders of keycloak-events send to: directly, and through the proxy.
DIRECT = [("http", "keycloak"), ("webhook", "keycloak")]
PROXIED = [(ALL, "keycloak"), (ALL, "keycloak-webhook")]
# Seconds. The senders wait so long, or less, between the first repetitions of a request.
REPETITION = 120


@dataclass
class World:
    """Everything that a test acts with."""

    keycloak: Keycloak
    daemon: Daemon
    inbox: Inbox

    def person(self):
        return Person(self.keycloak).sign_up()

    def begin(self):
        """Forgets what came until now, and remembers how many records each sender has told of."""
        for provider in self.daemon.providers:
            self.inbox.take(provider, 0)
        saved = self.keycloak.saved()
        self._ahead = {sender: self._judged(*sender) - saved for sender in DIRECT + PROXIED}
        self._rejections_before = self._rejections()

    def rejected(self, provider):
        """Returns the rules by which a provider's sources rejected records since."""
        new = self._rejections() - self._rejections_before
        return [rule for (of, rule), times in new.items() if of == provider for _ in range(times)]

    def wait_for_rejections(self, provider, rules):
        wait_for(f"{provider} rejects by {rules}", lambda: self.rejected(provider) == rules)

    def _rejections(self):
        counted = self.daemon.series("ssfd_source_rules_total", outcome="rejected")
        return Counter({(one["provider"], one["rule"]): value for one, value in counted})

    def settle(self):
        """Waits until each sender has told of each record that the realm has saved since."""
        saved = self.keycloak.saved()
        for sender, ahead in self._ahead.items():
            self.wait_for_records(sender, saved + ahead)

    def wait_for_records(self, sender, number):
        """Waits until a sender has told of so many records since the daemon was started. There may be more,
        because the daemon's own client signs in for its polls.
        """

        def has_told():
            return number <= self._judged(*sender)

        wait_for(f"{sender} has told of {number} records", has_told, REPETITION)

    def refused(self, provider, source):
        """Returns how often a sender was refused a connection."""
        line = f"Sending exception to {self.daemon.source_url(provider, source)}: "
        return self.keycloak.log().count(line)

    def wait_for_refusals(self, sender, number):
        wait_for(f"{number} refusals of {sender}", lambda: number <= self.refused(*sender))

    def _judged(self, provider, source):
        return self.daemon.count("ssfd_source_records_total", provider=provider, source=source)
