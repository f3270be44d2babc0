"""The port of compute elements: what the factory asks of a batch system, whichever it is."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

_STAMP = re.compile("[a-z][a-z0-9-]{7,63}")
OUTPUT_MAX_BYTES = 65_536  # of each stream of a pilot


def is_stamp(text: str) -> bool:
    """Whether a text can be the stamp of a pilot."""
    return _STAMP.fullmatch(text) is not None


@dataclass(frozen=True)
class PilotRequest:
    """One pilot that is to be started.

    `stamp` names it at the element and in the central, from before it is submitted to its end: 8
    to 64 characters of a-z, 0-9 and `-`, the first a letter. `script` is a whole shell script that
    needs nothing beside it. It holds the pilot's one-use secret: no other user may read it.
    Raises ValueError for another stamp: it becomes part of paths and of commands.
    """

    stamp: str
    script: bytes = field(repr=False)
    cores: int = 1  # 0: a whole node
    memory_mb: int = 0  # of all cores together; 0: what the element gives
    wall_s: int = 0  # 0: what the element gives
    gpus: int = 0

    def __post_init__(self) -> None:
        if not is_stamp(self.stamp):
            raise ValueError(f"stamp: {self.stamp!r} is not of the form {_STAMP.pattern}")


class SlotState(str, enum.Enum):
    """Where a submitted pilot stands, by the word of its element, which may be late."""

    QUEUED = "queued"  # also: held while its files arrive
    RUNNING = "running"
    ENDED = "ended"  # by itself or by a signal; the exit code, where it is known, is beside it
    HELD = "held"  # it does not start before somebody does something
    GONE = "gone"  # the element knows nothing of it, or no more


@dataclass(frozen=True)
class Slot:
    """What an element says of one submitted pilot."""

    state: SlotState
    exit_code: int | None = None
    why: str = ""  # the element's own words


@dataclass(frozen=True)
class SubmitResult:
    """What became of each request, by its stamp. Of those in neither nobody knows: `find` them."""

    slots: dict[str, str]  # stamp → slot id, the element's own name of it
    refused: dict[str, str] = field(default_factory=dict[str, str])  # stamp → why


@dataclass(frozen=True)
class PilotOutput:
    """The streams of a pilot, each at most OUTPUT_MAX_BYTES from its end.

    An element that keeps one stream of both has all of it in `stdout`.
    """

    stdout: bytes = b""
    stderr: bytes = b""


class ComputeElement(Protocol):
    """Driver of one compute element.

    Every call is bulk and ends within the time-out that the driver was built with. A driver keeps
    no state of its own: after a restart the same calls give the same answers. All calls raise
    Unreachable, where it may have happened, and Denied, where it has not.
    """

    async def reach(self) -> None:
        """Do something small that needs the way, the credential and the right to come in."""
        ...

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Queue pilots. A stamp that was queued before may be queued again: `find` it first."""
        ...

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return the slot ids of those stamps that the element has, ended ones where it can."""
        ...

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return a Slot for every id that was asked about, GONE included."""
        ...

    async def cancel(self, slots: Sequence[str]) -> None:
        """End pilots, queued or running; of those that are gone nothing is said."""
        ...

    async def output(self, slot: str) -> PilotOutput:
        """Return what a pilot has printed: nothing of it where the element has it no more."""
        ...

    async def forget(self, slots: Sequence[str]) -> None:
        """Remove what the element keeps of pilots that have ended."""
        ...
