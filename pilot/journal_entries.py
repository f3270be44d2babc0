"""What stands in the journal: enough for the next life of this pilot to speak for this one."""

from dataclasses import dataclass

from pilotage.proto.messages import Assignment, Report


@dataclass(frozen=True)
class Identity:
    """Who we are. The nonce is written before the first word, so that a repeated registration of
    a pilot that died in between is the same registration. So is the session that a life opens: a
    late copy of what it said names an older one than what the next life says."""

    nonce: str
    pilot: str = ""
    renewal_secret: str = ""
    session: int = 0  # the last one that was opened, or was to be; 0: not known
    renewal_nonce: str = ""  # of the use of the secret that is not answered; empty: not used yet


@dataclass(frozen=True)
class KeptAssignment:
    """An attempt that was taken on, and where: only there can it be seen dead."""

    boot_id: str
    pid_namespace: str
    assignment: Assignment
    guard: str = ""  # the word that all processes of its guard have in their environment


@dataclass(frozen=True)
class KeptEnded:
    """A last report; `at` is a reading of CLOCK_BOOTTIME of that boot."""

    boot_id: str
    at: float
    report: Report
