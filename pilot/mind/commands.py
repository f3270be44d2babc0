"""What the brain wants done: one small value per act, carried out by the agent in their order.

Pure.
"""

from dataclasses import dataclass, field
from typing import Union

from pilotage.proto.messages import Assignment, Beat, Report, Turn


@dataclass(frozen=True)
class SendTurn:
    """Send reports and at most one ask over HTTPS, and give the reply back to the brain."""

    turn: Turn
    timeout_s: float


@dataclass(frozen=True)
class SendBeat:
    """Send a beat over HTTPS, and give the reply back to the brain."""

    beat: Beat
    timeout_s: float


@dataclass(frozen=True)
class PublishBeat:
    """Send a beat over the bus; its answer comes on our `down` topic, or not at all."""

    beat: Beat


@dataclass(frozen=True)
class GoHome:
    """Say all that follows where we first went: whoever we went to since leads no more."""


@dataclass(frozen=True)
class LeaderIs:
    """Another process leads, at this URL: go there where nobody answers at the one we know."""

    url: str


@dataclass(frozen=True)
class KeepAssignment:
    """Write the assignment to the journal: durable before anything of it starts."""

    assignment: Assignment


@dataclass(frozen=True)
class KeepEnded:
    """Write the last report of an attempt to the journal: durable before it is sent."""

    report: Report
    at: float  # when it ended


@dataclass(frozen=True)
class Forget:
    """The attempt is over for us: remove it from the journal, and its folder."""

    attempt_id: int


@dataclass(frozen=True)
class Stage:
    """Bring the input of an attempt, then say `staged` or `staging_failed`."""

    assignment: Assignment


@dataclass(frozen=True)
class Abandon:
    """Stop bringing input, collecting or uploading for an attempt."""

    attempt_id: int


@dataclass(frozen=True)
class StartPayload:
    assignment: Assignment
    fence: float  # seconds of CLOCK_BOOTTIME


@dataclass(frozen=True)
class MoveFence:
    attempt_id: int
    fence: float


@dataclass(frozen=True)
class StopPayload:
    attempt_id: int
    grace_s: float  # 0: SIGKILL at once


@dataclass(frozen=True)
class Collect:
    """Upload what the payload left: its streams and, if wanted, its outputs; then `collected`.

    With `checkpoint` its checkpoint too; without, it goes only if the outputs fail the attempt.
    With `data` what it left for storages, once all else has gone well.
    """

    assignment: Assignment
    outputs: bool
    checkpoint: bool = False
    data: bool = False


@dataclass(frozen=True)
class UploadAgain:
    """The central does not have these blobs: upload them, then say `uploaded`."""

    attempt_id: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Follow:
    """These attempts, and no others, are watched by somebody: send their output live.

    Of `anew` from the beginning, whatever was sent: somebody has come who has not seen it.
    """

    attempt_ids: frozenset[int]
    anew: frozenset[int] = frozenset()


@dataclass(frozen=True)
class KillAll:
    """SIGKILL every payload at once."""


@dataclass(frozen=True)
class Exit:
    code: int
    why: str


@dataclass(frozen=True)
class Tell:
    """Write one line of the log; the events are those of `events.py`."""

    event: str
    facts: dict[str, object] = field(default_factory=dict[str, object])


Command = Union[
    SendTurn,
    SendBeat,
    PublishBeat,
    GoHome,
    LeaderIs,
    KeepAssignment,
    KeepEnded,
    Forget,
    Stage,
    Abandon,
    StartPayload,
    MoveFence,
    StopPayload,
    Collect,
    UploadAgain,
    Follow,
    KillAll,
    Exit,
    Tell,
]
