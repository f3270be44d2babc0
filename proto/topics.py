"""Topics of the message bus, built and parsed here and nowhere else.

    pilotage/1/<community>/p/<pilot>/up/<kind>    a pilot speaks: beat, log, will
    pilotage/1/<community>/p/<pilot>/down         the central speaks to one pilot

A pilot may write only its own `up` and read only its own `down`.
"""

import enum
from typing import NamedTuple, Optional

ROOT = "pilotage/1"


class TopicKind(str, enum.Enum):
    """The kind of a message from a pilot on the bus."""

    BEAT = "beat"
    LOG = "log"
    WILL = "will"


class UpTopic(NamedTuple):
    """A parsed `up` topic."""

    community: str
    pilot: str
    kind: TopicKind


def up(community: str, pilot: str, kind: TopicKind) -> str:
    """Return the topic on which a pilot sends `kind`."""
    return f"{ROOT}/{community}/p/{pilot}/up/{kind.value}"


def down(community: str, pilot: str) -> str:
    """Return the topic on which a pilot receives messages of the central."""
    return f"{ROOT}/{community}/p/{pilot}/down"


def all_up() -> str:
    """Return the filter that matches all messages of all pilots."""
    return f"{ROOT}/+/p/+/up/+"


def parse_up(topic: str) -> Optional[UpTopic]:
    """Return the sender and kind of an `up` topic; None for any other topic."""
    parts = topic.split("/")
    if len(parts) != 7 or "/".join(parts[:2]) != ROOT or parts[3] != "p" or parts[5] != "up":
        return None
    try:
        return UpTopic(parts[2], parts[4], TopicKind(parts[6]))
    except ValueError:
        return None


def may_publish(pilot: str, community: str, topic: str) -> bool:
    """Return whether this pilot may write to `topic`: only to its own `up` topics."""
    parsed = parse_up(topic)
    return parsed is not None and parsed.pilot == pilot and parsed.community == community


def may_subscribe(pilot: str, community: str, topic_filter: str) -> bool:
    """Return whether this pilot may read a filter: only its own `down` topic, no wildcards."""
    return topic_filter == down(community, pilot)
