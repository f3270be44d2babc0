"""Writes what a notification says: the subject, the text, and the JSON of webhooks. Pure.

Names and reasons come from users and payloads. In a message they are one line of printable text.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.api.notifications import NotifyEvent

from ..store.records import Record

LINE_MAX: Final = 200
OTHERS_SHOWN: Final = 20
_HAPPENED: Final = {
    NotifyEvent.END: "has ended",
    NotifyEvent.FAIL: "has failures",
    NotifyEvent.HALF: "is half done",
}


class Cause(Record, frozen=True, kw_only=True):
    """A reason of failures, with the number of jobs and an example."""

    text: str
    count: int
    job: int = 0


class Notification(Record, frozen=True, kw_only=True):
    """What happened, as it is stored until it is sent."""

    kind: str  # submission or production
    id: int
    name: str
    community: str
    event: NotifyEvent
    at: float
    counts: Mapping[str, int]
    causes: tuple[Cause, ...] = ()

    @property
    def title(self) -> str:
        """Return the notification in one line."""
        name = f" {line(self.name)}" if self.name else ""
        counts = ", ".join(f"{number} {state}" for state, number in self.counts.items())
        tail = f": {counts}" if counts else ""
        return f"{self.kind} {self.id}{name} {_HAPPENED[self.event]}{tail}"

    @property
    def command(self) -> str:
        """Return the command that shows more."""
        if self.kind == "production":
            return f"pilotage prod show {self.id}"
        state = " --state Failed" if self.causes else ""
        return f"pilotage status --submission {self.id}{state}"

    def link(self, url: str) -> str:
        """Return the address of more; `url` is that of the central, or empty."""
        if not url:
            return ""
        path = (
            f"productions/{self.id}" if self.kind == "production" else f"jobs?submission={self.id}"
        )
        return f"{url.rstrip('/')}/v1/{path}"


def line(text: str, most: int = LINE_MAX) -> str:
    """Return a text as one line of printable characters."""
    words = "".join(
        " " if one.isspace() else one
        for one in text
        if one.isspace() or unicodedata.category(one)[0] != "C"
    )
    short = " ".join(words.split())
    return short if len(short) <= most else f"{short[: most - 1]}…"


def subject(told: Sequence[Notification]) -> str:
    """Return the subject of a message: the title of the first notification, and how many follow."""
    others = f" (and {len(told) - 1} others)" if len(told) > 1 else ""
    return f"[pilotage] {told[0].title}{others}"


def text(told: Sequence[Notification], url: str) -> str:
    """Return the text of a message."""
    first, *others = told
    lines = [f"{first.title[0].upper()}{first.title[1:]}.", ""]
    lines += [f"{number:>8} {state}" for state, number in first.counts.items()]
    if first.causes:
        lines += ["", "Causes of failures:"]
        lines += [_cause(one) for one in first.causes]
    lines += ["", f"More: {first.command}"]
    if url:
        lines.append(f"Link: {first.link(url)}")
    if others:
        lines += ["", f"And {len(others)} others:"]
        lines += [f"  {one.title}" for one in others[:OTHERS_SHOWN]]
        if len(others) > OTHERS_SHOWN:
            lines.append("  …")
    lines += ["", "You asked for this message; `pilotage notify` shows and changes that.", ""]
    return "\n".join(lines)


def as_json(told: Sequence[Notification], url: str, delivery: str) -> bytes:
    """Return the body of a webhook. `text` is what chat programs show."""
    first, *others = told
    return msgspec.json.encode(
        {
            "delivery": delivery,
            "text": subject(told),
            **_fields(first, url),
            "causes": [
                {"text": line(one.text), "count": one.count, "job": one.job or None}
                for one in first.causes
            ],
            "others": [_fields(one, url) for one in others],
        }
    )


def _fields(one: Notification, url: str) -> dict[str, object]:
    return {
        "event": one.event,
        "kind": one.kind,
        "id": one.id,
        "name": one.name,
        "community": one.community,
        "at": one.at,
        "counts": one.counts,
        "command": one.command,
        "link": one.link(url),
    }


def _cause(one: Cause) -> str:
    example = f" (job {one.job})" if one.job else ""
    return f"{one.count:>8} {line(one.text)}{example}"
