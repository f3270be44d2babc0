"""Topics of the message bus, built and parsed here and nowhere else.

    pilotage/1/<community>/p/<pilot>/up/<kind>    a pilot speaks: beat, log, will
    pilotage/1/<community>/p/<pilot>/down         the central speaks to one pilot

A pilot may write only its own `up` and read only its own `down`.
"""

import enum
from typing import NamedTuple, Optional

ROOT = "pilotage/1"


class TopicKind(str, enum.Enum):
    """What a pilot says over the bus."""

    BEAT = "beat"
    LOG = "log"
    WILL = "will"


class UpTopic(NamedTuple):
    """A parsed `up` topic."""

    community: str
    pilot: str
    kind: TopicKind


def up(community: str, pilot: str, kind: TopicKind) -> str:
    """Return the topic on which a pilot says `kind`."""
    return f"{ROOT}/{community}/p/{pilot}/up/{kind.value}"


def down(community: str, pilot: str) -> str:
    """Return the topic on which a pilot hears the central."""
    return f"{ROOT}/{community}/p/{pilot}/down"


def all_up() -> str:
    """Return the filter that matches whatever any pilot says."""
    return f"{ROOT}/+/p/+/up/+"


def parse_up(topic: str) -> Optional[UpTopic]:
    """Return who said what, or None for a topic that is not a pilot's `up`."""
    parts = topic.split("/")
    if len(parts) != 7 or "/".join(parts[:2]) != ROOT or parts[3] != "p" or parts[5] != "up":
        return None
    try:
        return UpTopic(parts[2], parts[4], TopicKind(parts[6]))
    except ValueError:
        return None


def may_publish(pilot: str, community: str, topic: str) -> bool:
    """Say whether this pilot may write to `topic`: its own `up` alone."""
    parsed = parse_up(topic)
    return parsed is not None and parsed.pilot == pilot and parsed.community == community


def may_subscribe(pilot: str, community: str, topic_filter: str) -> bool:
    """Say whether this pilot may read `topic_filter`: its own `down` alone, no wildcard."""
    return topic_filter == down(community, pilot)
