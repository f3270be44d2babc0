"""The commands of the brain: one small value for each action, carried out in order by the agent.

Pure.
"""

from dataclasses import dataclass, field
from typing import Union

from pilotage.proto.messages import Assignment, Beat, Report, Turn


@dataclass(frozen=True)
class SendTurn:
    """Send reports and at most one ask over HTTPS, and pass the reply to the brain."""

    turn: Turn
    timeout_s: float


@dataclass(frozen=True)
class SendBeat:
    """Send a heartbeat over HTTPS, and pass the reply to the brain."""

    beat: Beat
    timeout_s: float


@dataclass(frozen=True)
class PublishBeat:
    """Publish a heartbeat on the bus; an answer may come on the pilot's `down` topic."""

    beat: Beat


@dataclass(frozen=True)
class UseFirstAddress:
    """Send everything to the pilot's first address again, because the leader has changed."""


@dataclass(frozen=True)
class LeaderIs:
    """Use the new leader's URL if nobody answers at the known address."""

    url: str


@dataclass(frozen=True)
class KeepAssignment:
    """Write the assignment to the journal: durable before its payload starts."""

    assignment: Assignment


@dataclass(frozen=True)
class KeepEnded:
    """Write the last report of an attempt to the journal: durable before it is sent."""

    report: Report
    at: float  # when it ended


@dataclass(frozen=True)
class Forget:
    """Remove an attempt that is over from the journal, and its folder."""

    attempt_id: int


@dataclass(frozen=True)
class Stage:
    """Fetch the inputs of an attempt, then call `staged` or `staging_failed`."""

    assignment: Assignment


@dataclass(frozen=True)
class Abandon:
    """Stop fetching inputs, collecting or uploading for an attempt."""

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
    """Upload the payload's streams and, if wanted, its outputs; then call `collected`.

    With `checkpoint`, upload its checkpoint too; otherwise only if the outputs fail the attempt.
    With `data`, store its data files, if all else has succeeded.
    """

    assignment: Assignment
    outputs: bool
    checkpoint: bool = False
    data: bool = False


@dataclass(frozen=True)
class UploadAgain:
    """Upload these blobs again, because the central lacks them, then call `uploaded`."""

    attempt_id: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Follow:
    """Send the output of these attempts, and no others, live, because users watch them.

    For attempts in `anew`, start again from the beginning, because a new user watches.
    """

    attempt_ids: frozenset[int]
    anew: frozenset[int] = frozenset()


@dataclass(frozen=True)
class KillAll:
    """Send SIGKILL to every payload at once."""


@dataclass(frozen=True)
class Exit:
    code: int
    why: str


@dataclass(frozen=True)
class WriteLog:
    """Write one line of the log; the events are those of `events.py`."""

    event: str
    facts: dict[str, object] = field(default_factory=dict[str, object])


Command = Union[
    SendTurn,
    SendBeat,
    PublishBeat,
    UseFirstAddress,
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
    WriteLog,
]
