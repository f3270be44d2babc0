"""Logins of the embedded broker, and the topics of each. They are kept in memory only.

The central makes long random passwords, so one round of SHA-256 protects them as well as a slow
hash. Checking takes the same time for unknown users and for wrong passwords.
"""

import hashlib
import hmac
from typing import NamedTuple

from pilotage.proto import topics

from .errors import BadName


class PilotLogin(NamedTuple):
    """A pilot's login. The user name is the pilot's id."""

    community: str
    pilot: str
    digest: bytes


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode()).digest()


def check_names(community: str, pilot: str) -> None:
    """Raise BadName if this pilot could share topics with others."""
    own = topics.parse_up(topics.up(community, pilot, topics.TopicKind.BEAT))
    if own is None or not community or not pilot or any(mark in community + pilot for mark in "+#"):
        raise BadName(community, pilot)


class Logins:
    """The valid logins: one for each pilot, and the central's own."""

    def __init__(self, central: str, password: str) -> None:
        self._central = central
        self._central_digest = _digest(password)
        self._pilots: dict[str, PilotLogin] = {}

    def add(self, community: str, pilot: str, password: str) -> None:
        """Add or replace the login of this pilot. Raises BadName."""
        check_names(community, pilot)
        if pilot == self._central:
            raise BadName(community, pilot)
        self._pilots[pilot] = PilotLogin(community, pilot, _digest(password))

    def remove(self, community: str, pilot: str) -> bool:
        """Remove the login. Return whether it existed."""
        login = self._pilots.get(pilot)
        if login is None or login.community != community:
            return False
        del self._pilots[pilot]
        return True

    def knows(self, user: str, password: str) -> bool:
        """Return whether this is a valid user with the right password."""
        login = self._pilots.get(user)
        known = login is not None or user == self._central
        kept = login.digest if login is not None else self._central_digest
        return hmac.compare_digest(_digest(password), kept) and known

    def may_publish(self, user: str, topic: str) -> bool:
        """Return whether `user` may publish to `topic`. The central may publish anywhere."""
        login = self._pilots.get(user)
        if login is None:
            return user == self._central
        return topics.may_publish(login.pilot, login.community, topic)

    def may_read(self, user: str, topic_filter: str) -> bool:
        """Return whether `user` may subscribe to, or receive, `topic_filter`."""
        login = self._pilots.get(user)
        if login is None:
            return user == self._central
        return topics.may_subscribe(login.pilot, login.community, topic_filter)
