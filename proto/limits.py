"""Ranges and sizes of everything that pilots send: what types alone do not say.

Stdlib only, so that a pilot can check what it is about to say. The central runs `check` on every
message of a pilot right after decoding it. The tables below are the whole rule.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from .ids import ID_MAX
from .messages import (
    Ask,
    Attempt,
    Beat,
    Hello,
    LogChunk,
    Node,
    Offer,
    Output,
    Register,
    Report,
    TokenRequest,
    Turn,
    Usage,
)

NAME_MAX: Final = 128  # ids, sites, hosts, tags
SECRET_MAX: Final = 512
TEXT_MAX: Final = 4_096  # sentences: details, application status
PATH_MAX: Final = 1_024
CHUNK_MAX: Final = 262_144  # characters of live output in one message
REPORTS_MAX: Final = 256  # of one turn
HOLDING_MAX: Final = 4_096  # attempts that one pilot holds
OUTPUTS_MAX: Final = 1_000
TAGS_MAX: Final = 1_024
JOBS_A_TURN_MAX: Final = 256
CORES_MAX: Final = 65_536
MB_MAX: Final = 10**12  # an exabyte
SECONDS_MAX: Final = 10 * 366 * 86_400.0
WORK_MAX: Final = 1e15  # HS23 seconds


class OutOfRange(ValueError):
    """A field holds what no honest pilot says. Nothing of the message was used."""

    def __init__(self, field: str, value: Any, right: str) -> None:
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        super().__init__(f"{field}: found {shown}, expected {right}")
        self.field, self.value, self.right = field, value, right


Rule = Callable[[Any, str], None]  # value and where it stands; raises OutOfRange

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00\ud800-\udfff]")
_SHA256 = re.compile("[0-9a-f]{64}")


def check(message: Any) -> None:
    """Raise OutOfRange for the first field of `message` that is out of range."""
    _check_fields(message, "")


def _check_fields(message: Any, where: str) -> None:
    prefix = where + "." if where else ""
    for name, rule in _RULES[type(message)]:
        rule(getattr(message, name), prefix + name)


def _whole(low: int, high: int) -> Rule:
    def rule(value: Any, where: str) -> None:
        if not low <= value <= high:
            raise OutOfRange(where, value, f"a whole number from {low} to {high}")

    return rule


def _number(low: float, high: float) -> Rule:
    def rule(value: Any, where: str) -> None:
        if not low <= value <= high:  # NaN fails this too
            raise OutOfRange(where, value, f"a number from {low:g} to {high:g}")

    return rule


def _name(longest: int = NAME_MAX, shortest: int = 0) -> Rule:
    def rule(value: Any, where: str) -> None:
        if not shortest <= len(value) <= longest or _CONTROL.search(value):
            right = f"{shortest} to {longest} characters, no control characters"
            raise OutOfRange(where, value, right)

    return rule


def _text(longest: int) -> Rule:
    def rule(value: Any, where: str) -> None:
        if len(value) > longest or _UNPRINTABLE.search(value):
            raise OutOfRange(where, value, f"at most {longest} characters, none of them NUL")

    return rule


def _hash(value: Any, where: str) -> None:
    if not _SHA256.fullmatch(value):
        raise OutOfRange(where, value, "64 lower-case hexadecimal digits")


def _path(value: Any, where: str) -> None:
    _name(PATH_MAX, 1)(value, where)
    if value.startswith("/") or ".." in value.split("/"):
        raise OutOfRange(where, value, "a relative path without '..'")


def _many(longest: int, item: Rule) -> Rule:
    def rule(value: Any, where: str) -> None:
        if len(value) > longest:
            raise OutOfRange(where, f"{len(value)} entries", f"at most {longest}")
        for index, one in enumerate(value):
            item(one, f"{where}[{index}]")

    return rule


def _maybe(rule: Rule) -> Rule:
    def checked(value: Any, where: str) -> None:
        if value is not None:
            rule(value, where)

    return checked


_ID = _whole(0, ID_MAX)
_CORES = _whole(0, CORES_MAX)
_MB = _whole(0, MB_MAX)
_DURATION = _number(0.0, SECONDS_MAX)
_GIVEN_NAME = _name(shortest=1)
_SECRET = _name(SECRET_MAX, 1)
_FREE = _text(TEXT_MAX)
_NAMES = _many(TAGS_MAX, _GIVEN_NAME)
_SESSION = {"gen": _GIVEN_NAME, "session": _ID}

TABLE: Final[dict[Any, dict[str, Rule]]] = {
    Attempt: {"job": _ID, "epoch": _ID},
    Node: {
        "host": _name(255),
        "os": _name(),
        "architecture": _name(),
        "architecture_level": _whole(1, 99),
        "glibc": _name(),
        "isolation": _name(),
        "containers": _many(16, _GIVEN_NAME),
        "cvmfs": _NAMES,
        "cpu_model": _name(256),
        "hs23_per_core": _number(0.0, 1e6),
        "python": _name(),
        "batch_system": _name(),
        "batch_id": _name(256),
    },
    Offer: {
        "cores": _CORES,
        "cores_free": _CORES,
        "memory_mb": _MB,
        "memory_free_mb": _MB,
        "wall_left_s": _DURATION,
        "scratch_free_mb": _MB,
        "scratch_mb": _MB,
        "gpus_free": _whole(0, 1_024),
        "gpu_model": _name(256),
        "gpu_memory_mb": _MB,
        "cpu_work_left_hs23_s": _number(0.0, WORK_MAX),
        "tags": _NAMES,
        "required_tags": _NAMES,
        "groups": _NAMES,
        "owners": _NAMES,
        "node": _maybe(_check_fields),
    },
    Register: {
        "secret": _SECRET,
        "nonce": _SECRET,
        "protocol": _name(16, 1),
        "node": _maybe(_check_fields),
    },
    Hello: {
        "pilot": _GIVEN_NAME,
        "renewal_secret": _SECRET,
        "nonce": _SECRET,
        "unanswered": _many(HOLDING_MAX, _check_fields),
        "protocol": _name(16, 1),
    },
    TokenRequest: {"pilot": _GIVEN_NAME, "renewal_secret": _SECRET},
    Ask: {
        "n": _ID,
        "offer": _check_fields,
        "holding": _many(HOLDING_MAX, _check_fields),
        "jobs_max": _whole(1, JOBS_A_TURN_MAX),
    },
    Usage: {
        "wall_s": _DURATION,
        "cpu_s": _number(0.0, SECONDS_MAX * CORES_MAX),
        "memory_peak_mb": _number(0.0, MB_MAX),
        "scratch_peak_mb": _number(0.0, MB_MAX),
        "bytes_in": _ID,
        "bytes_out": _ID,
        "frozen_s": _DURATION,
    },
    Output: {"name": _path, "sha256": _hash, "size_bytes": _ID},
    Report: {
        "job": _ID,
        "epoch": _ID,
        "attempt_id": _ID,
        "n": _ID,
        "exit_code": _maybe(_whole(-(2**31), 2**32 - 1)),
        "detail": _FREE,
        "status": _FREE,
        "isolation": _name(),
        "usage": _maybe(_check_fields),
        "outputs": _many(OUTPUTS_MAX, _check_fields),
        "ago_s": _DURATION,
    },
    Turn: {
        **_SESSION,
        "reports": _many(REPORTS_MAX, _check_fields),
        "ask": _maybe(_check_fields),
    },
    Beat: {
        **_SESSION,
        "n": _ID,
        "parked": _ID,
        "closed": _ID,
        "holding": _many(HOLDING_MAX, _check_fields),
    },
    LogChunk: {"job": _ID, "epoch": _ID, "offset": _ID, "text": _text(CHUNK_MAX)},
}
_RULES: Final = {kind: tuple(rules.items()) for kind, rules in TABLE.items()}
