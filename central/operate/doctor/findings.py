"""What a check of an installation says: one line, and what to do about it."""

import enum
from collections.abc import Iterable

import msgspec


class Severity(str, enum.Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, and somebody should look
    FAULT = "fault"  # a promise does not hold, or the central does not start


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one check."""

    check: str
    level: Severity
    said: str
    do: str = ""


def ok(check: str, said: str) -> Finding:
    return Finding(check=check, level=Severity.OK, said=said)


def warning(check: str, said: str, do: str) -> Finding:
    return Finding(check=check, level=Severity.WARNING, said=said, do=do)


def fault(check: str, said: str, do: str) -> Finding:
    return Finding(check=check, level=Severity.FAULT, said=said, do=do)


def at_fault(findings: Iterable[Finding]) -> bool:
    """Say whether anything must be mended."""
    return any(one.level is Severity.FAULT for one in findings)
