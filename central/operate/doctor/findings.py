"""Findings: the outcome of a check in one line, and what to do."""

import enum
from collections.abc import Iterable

import msgspec


class Severity(str, enum.Enum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"  # it works, but an operator should look
    FAULT = "fault"  # a guarantee is broken, or the central cannot start


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
    """Return whether a finding is a fault."""
    return any(one.level is Severity.FAULT for one in findings)
