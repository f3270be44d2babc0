"""The entries of the journal: enough for the pilot's next process to continue for this one."""

from dataclasses import dataclass

from pilotage.proto.messages import Assignment, Report


@dataclass(frozen=True)
class Identity:
    """The pilot's identity.

    The nonce is written before the first request, so that a registration repeated after a crash is
    the same registration. The session of each process is written too, so that a late copy of its
    messages has an older session than the messages of the next process.
    """

    nonce: str
    pilot: str = ""
    renewal_secret: str = ""
    session: int = 0  # the last session that was opened, or requested; 0: unknown
    renewal_nonce: str = ""  # of the unanswered use of the secret; empty: not used yet


@dataclass(frozen=True)
class KeptAssignment:
    """An accepted attempt, and where it runs: only there can it be seen dead."""

    boot_id: str
    pid_namespace: str
    assignment: Assignment
    guard: str = ""  # the mark in the environment of all processes of its guard


@dataclass(frozen=True)
class KeptEnded:
    """A last report; `at` is a reading of CLOCK_BOOTTIME of that boot."""

    boot_id: str
    at: float
    report: Report
