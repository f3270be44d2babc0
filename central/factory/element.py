"""The port of compute elements: the calls that the factory makes to any batch system."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

_STAMP = re.compile("[a-z][a-z0-9-]{7,63}")
OUTPUT_MAX_BYTES = 65_536  # of each stream of a pilot


def is_stamp(text: str) -> bool:
    """Return whether a text can be the stamp of a pilot."""
    return _STAMP.fullmatch(text) is not None


@dataclass(frozen=True)
class PilotRequest:
    """A request to start one pilot.

    `stamp` names the pilot at the element and in the central, from before its submission to its
    end. It has 8 to 64 characters of a-z, 0-9 and `-`, and begins with a letter. `script` is a
    whole shell script that needs no other file. It holds the pilot's one-use secret, so no other
    user may read it. Raises ValueError for a wrong stamp, because stamps become parts of paths and
    commands.
    """

    stamp: str
    script: bytes = field(repr=False)
    cores: int = 1  # 0: a whole node
    memory_mb: int = 0  # of all cores together; 0: the default of the element
    wall_s: int = 0  # 0: the default of the element
    gpus: int = 0

    def __post_init__(self) -> None:
        if not is_stamp(self.stamp):
            raise ValueError(f"stamp: {self.stamp!r} does not match {_STAMP.pattern}")


class SlotState(str, enum.Enum):
    """The state of a submitted pilot as its element reports it, possibly late."""

    QUEUED = "queued"  # also: held while its files arrive
    RUNNING = "running"
    ENDED = "ended"  # by itself or by a signal; with its exit code, if known
    HELD = "held"  # it does not start until an operator intervenes
    GONE = "gone"  # the element does not know it, or no longer


@dataclass(frozen=True)
class Slot:
    """An element's report on one submitted pilot."""

    state: SlotState
    exit_code: int | None = None
    why: str = ""  # the element's own words


@dataclass(frozen=True)
class SubmitResult:
    """The outcome of each request, by its stamp.

    The outcome of stamps in neither mapping is unknown: call `find`.
    """

    slots: dict[str, str]  # stamp → slot id, the element's name for it
    refused: dict[str, str] = field(default_factory=dict[str, str])  # stamp → why


@dataclass(frozen=True)
class PilotOutput:
    """The streams of a pilot, each the last OUTPUT_MAX_BYTES at most.

    An element that merges both streams has all of it in `stdout`.
    """

    stdout: bytes = b""
    stderr: bytes = b""


class ComputeElement(Protocol):
    """Driver of one compute element.

    Every call takes many pilots, and ends within the driver's timeout. A driver keeps no state:
    after a restart the same calls give the same answers. All calls raise ElementUnreachable if the
    call may have had its effect, and Denied if it had none.
    """

    async def reach(self) -> None:
        """Make a cheap call that tests connection, credential and rights."""
        ...

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        """Queue pilots. A stamp that is already queued may be queued twice: call `find` first."""
        ...

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        """Return the slot ids of the stamps that the element has, ended ones if it can."""
        ...

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        """Return a Slot for every given id; unknown ones are GONE."""
        ...

    async def cancel(self, slots: Sequence[str]) -> None:
        """End pilots, queued or running; ignore those that are gone."""
        ...

    async def output(self, slot: str) -> PilotOutput:
        """Return the output of a pilot; empty if the element no longer has it."""
        ...

    async def forget(self, slots: Sequence[str]) -> None:
        """Remove the files and records that the element keeps of ended pilots."""
        ...
