"""Why attempts fail: thirteen classes in four families, and the evidence about a failure. Pure."""

import enum
import hashlib
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from .attempts import How, Why

STDERR_READ_BYTES: Final = 4_096  # the end of a stream, from which a fingerprint is made


class Family(str, enum.Enum):
    """A family of failures, by the people who must act on them."""

    PAYLOAD = "payload"  # the owner of the job
    INPUT = "input data"  # whoever keeps the files
    SITE = "site"  # an operator; the payload is not blamed
    LIMIT = "limit"  # the owner: the payload wants more than it was given


class FailureClass(str, enum.Enum):
    """The class of a failed attempt."""

    PREEMPTED = "preempted"
    NODE = "infra.node"
    STORAGE = "infra.storage"
    INTERNAL = "internal"
    UNKNOWN = "unknown"
    DATA = "infra.data"
    MISSING = "data.missing"
    MEMORY = "limit.memory"
    TIME = "limit.time"
    QUOTA = "limit.quota"
    PAYLOAD = "payload"
    OUTPUT = "payload.output"
    CONFIG = "config"


class ClassWording(NamedTuple):
    """The family of a class, and its explanation for users."""

    family: Family
    meaning: str


WORDS: Final[Mapping[FailureClass, ClassWording]] = {
    FailureClass.PREEMPTED: ClassWording(Family.SITE, "its pilot had to end, or was lost"),
    FailureClass.NODE: ClassWording(
        Family.SITE, "its node lacks software, an image or space, or cannot start processes"
    ),
    FailureClass.STORAGE: ClassWording(Family.SITE, "its outputs could not be stored anywhere"),
    FailureClass.INTERNAL: ClassWording(
        Family.SITE,
        "it was stale, or its report could not be read",
    ),
    FailureClass.UNKNOWN: ClassWording(Family.SITE, "the cause is unknown"),
    FailureClass.DATA: ClassWording(Family.INPUT, "its input could not be fetched this time"),
    FailureClass.MISSING: ClassWording(Family.INPUT, "an input has no good copy on any storage"),
    FailureClass.MEMORY: ClassWording(Family.LIMIT, "it needed more memory than it was given"),
    FailureClass.TIME: ClassWording(
        Family.LIMIT, "it needed more wall or CPU time than it had, or used no CPU for too long"
    ),
    FailureClass.QUOTA: ClassWording(
        Family.LIMIT, "its outputs exceed the quota of its owner, group or community"
    ),
    FailureClass.PAYLOAD: ClassWording(
        Family.PAYLOAD, "it failed by itself, or exceeded its limit of disk, output or processes"
    ),
    FailureClass.OUTPUT: ClassWording(
        Family.PAYLOAD, "it ended well, but its outputs are missing, too large or refused"
    ),
    FailureClass.CONFIG: ClassWording(
        Family.PAYLOAD, "it cannot run as described: no such command, unusable inputs"
    ),
}


class FailurePhase(str, enum.Enum):
    """The phase in which an attempt failed."""

    MATCH = "match"  # assigned to a pilot, but not begun
    SETUP = "setup"  # software, image or start of the first process
    STAGE_IN = "stage-in"
    RUN = "run"
    CHECK = "check"  # search for its outputs
    STAGE_OUT = "stage-out"
    REPORT = "report"
    GONE = "gone"  # unknown: its pilot fell silent


PHASES: Final[Mapping[How, FailurePhase]] = {
    How.EXITED: FailurePhase.RUN,
    How.SIGNALLED: FailurePhase.RUN,
    How.WALL: FailurePhase.RUN,
    How.CPU: FailurePhase.RUN,
    How.MEMORY: FailurePhase.RUN,
    How.SCRATCH: FailurePhase.RUN,
    How.STREAMS: FailurePhase.RUN,
    How.PROCESSES: FailurePhase.RUN,
    How.STALLED: FailurePhase.RUN,
    How.OUTPUT: FailurePhase.CHECK,
    How.QUOTA: FailurePhase.STAGE_OUT,
    How.NO_START: FailurePhase.SETUP,
    How.INPUT: FailurePhase.STAGE_IN,
    How.STORAGE: FailurePhase.STAGE_OUT,
    How.SOFTWARE: FailurePhase.SETUP,
    How.KILLED: FailurePhase.RUN,
    How.DRAINED: FailurePhase.RUN,
    How.CHECKPOINTED: FailurePhase.RUN,
    How.DECLINED: FailurePhase.MATCH,
    How.LOST: FailurePhase.GONE,
    How.STALE: FailurePhase.REPORT,
    How.UNREADABLE_REPORT: FailurePhase.REPORT,
    How.OTHER: FailurePhase.GONE,
}


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known about an attempt that has ended."""

    how: How | None  # None: its lease ended, and its pilot has not reported
    succeeded: bool = False
    wanted: Why | None = None  # a person or the central asked it to end
    costs: bool = False  # it counts as a failure of its job
    refused: bool = False  # it ended well, but the catalogue refused its outputs
    exit_code: int | None = None
    signal: int | None = None
    memory_peak_mb: float = 0.0
    memory_mb: int = 0  # that it was granted
    cpu_s: float = 0.0
    wall_s: float = 0.0
    wall_limit_s: float = 0.0
    detail: str = ""
    fingerprint: str = ""  # of the end of its standard error; empty: not read
    host: str = ""
    pilot: str = ""
    site: str = ""
    host_failed: int = 0  # other jobs that failed recently on that host

    @property
    def phase(self) -> FailurePhase:
        """Return how far the attempt had come."""
        return FailurePhase.GONE if self.how is None else PHASES[self.how]

    @property
    def cause(self) -> str:
        """Return a key that is equal for failures with the same cause."""
        code = self.exit_code if self.exit_code is not None else self.signal
        how = self.how.value if self.how is not None else "lease_over"
        return f"{how}/{'' if code is None else code}/{self.fingerprint or likeness(self.detail)}"


_VARIABLE: Final = (
    (re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{12,}\b"), "H"),
    (re.compile(r"\d+([.:]\d+)*"), "N"),
    (re.compile(r"(/[\w.+@%-]+)+/?"), "/P"),
    (re.compile(r"\s+"), " "),
)


def likeness(text: str) -> str:
    """Return a text without the parts that differ between attempts: numbers, paths, hashes."""
    for pattern, word in _VARIABLE:
        text = pattern.sub(word, text)
    return text.strip()[:200]


def fingerprint(stderr: bytes) -> str:
    """Return a short hash that is equal for two streams with similar ends; empty for an empty one.

    Only the last 4,096 bytes count, without numbers, paths and hashes.
    """
    text = likeness_of_end(stderr)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def likeness_of_end(stderr: bytes) -> str:
    """Return the last lines of a stream without the parts that differ between attempts."""
    text = stderr[-STDERR_READ_BYTES:].decode(errors="replace")
    lines = [likeness(line) for line in text.splitlines() if line.strip()]
    return "\n".join(lines[-20:])
