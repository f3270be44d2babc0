"""Ranges and sizes of all values that pilots send, beyond their types.

Stdlib only, so that a pilot can check a message before it sends it. The central runs `check` on
every message of a pilot right after decoding it. A text without its own rule is a `Name`.
"""

import re
from typing import Any, Final, get_type_hints

from .amounts import BadAmount, check_offered
from .ids import ID_MAX
from .messages import (
    Ask,
    Attempt,
    Beat,
    Benchmark,
    Hello,
    LogChunk,
    Node,
    Offer,
    Output,
    PayloadTokenRequest,
    PilotLine,
    PilotLog,
    Register,
    Report,
    TokenRequest,
    Turn,
    Undelivered,
    Usage,
)
from .storages import (
    META_BYTES_MAX,
    TOKEN_PATHS_MAX,
    BadCopy,
    Leftover,
    Published,
    Removed,
    StorageTokenRequest,
)

NAME_MAX: Final = 128  # ids, sites, hosts, tags
SECRET_MAX: Final = 512
TEXT_MAX: Final = 4_096  # sentences: details, application status
PATH_MAX: Final = 1_024
CHUNK_MAX: Final = 262_144  # characters of live output in one message
LINES_MAX: Final = 500  # of a pilot's own log in one message
REPORTS_MAX: Final = 256  # of one turn
HOLDING_MAX: Final = 4_096  # attempts that one pilot holds
OUTPUTS_MAX: Final = 1_000
TAGS_MAX: Final = 256  # and CVMFS repositories, groups, owners or types
JOBS_A_TURN_MAX: Final = 256
CORES_MAX: Final = 65_536
GPUS_MAX: Final = 1_024
MB_MAX: Final = 10**12  # an exabyte
SECONDS_MAX: Final = 10 * 366 * 86_400.0
WORK_MAX: Final = 1e15  # HS23 seconds


class OutOfRange(ValueError):
    """A field holds a value that no correct pilot sends. The whole message is ignored."""

    def __init__(self, field: str, value: Any, right: str) -> None:
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        super().__init__(f"{field}: found {shown}, expected {right}")
        self.field, self.value, self.right = field, value, right


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNPRINTABLE = re.compile("[\x00\ud800-\udfff]")
_SHA256 = re.compile("[0-9a-f]{64}")
_ADLER32 = re.compile("[0-9a-f]{8}")


def check(message: Any) -> None:
    """Raise OutOfRange for the first field of `message` that is out of range."""
    FIELDS(message, "")


class FieldRule:
    """The right values of a field. A call raises OutOfRange for any other value."""

    def __call__(self, value: Any, where: str) -> None:
        raise NotImplementedError


class Fields(FieldRule):
    """A message, with a rule for each of its fields."""

    def __call__(self, value: Any, where: str) -> None:
        prefix = where + "." if where else ""
        for name, rule in _RULES[type(value)]:
            rule(getattr(value, name), prefix + name)


class Whole(FieldRule):
    """A whole number from `low` to `high`."""

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def __call__(self, value: Any, where: str) -> None:
        if not self.low <= value <= self.high:
            raise OutOfRange(where, value, f"a whole number from {self.low} to {self.high}")


class Number(FieldRule):
    """A number from `low` to `high`."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, value: Any, where: str) -> None:
        if not self.low <= value <= self.high:  # NaN fails this too
            raise OutOfRange(where, value, f"a number from {self.low:g} to {self.high:g}")


class Name(FieldRule):
    """A text on one line, with a minimum and a maximum length."""

    def __init__(self, longest: int = NAME_MAX, shortest: int = 0) -> None:
        self.longest, self.shortest = longest, shortest

    def __call__(self, value: Any, where: str) -> None:
        if not self.shortest <= len(value) <= self.longest or _CONTROL.search(value):
            right = f"{self.shortest} to {self.longest} characters, no control characters"
            raise OutOfRange(where, value, right)


class Text(FieldRule):
    """A text of any number of lines, with a maximum length."""

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def __call__(self, value: Any, where: str) -> None:
        if len(value) > self.longest or _UNPRINTABLE.search(value):
            raise OutOfRange(where, value, f"at most {self.longest} characters, none of them NUL")


class Hash(FieldRule):
    """A SHA-256 as lower-case hexadecimal digits."""

    def __call__(self, value: Any, where: str) -> None:
        if not _SHA256.fullmatch(value):
            raise OutOfRange(where, value, "64 lower-case hexadecimal digits")


class Adler(FieldRule):
    """An Adler-32 as lower-case hexadecimal digits."""

    def __call__(self, value: Any, where: str) -> None:
        if not _ADLER32.fullmatch(value):
            raise OutOfRange(where, value, "8 lower-case hexadecimal digits")


class RelativePath(FieldRule):
    """A relative path that stays below its folder."""

    def __call__(self, value: Any, where: str) -> None:
        _PATH_NAME(value, where)
        if value.startswith("/") or ".." in value.split("/"):
            raise OutOfRange(where, value, "a relative path without '..'")


class ListRule(FieldRule):
    """A list with a maximum length and one rule for all entries."""

    def __init__(self, longest: int, item: FieldRule) -> None:
        self.longest, self.item = longest, item

    def __call__(self, value: Any, where: str) -> None:
        if len(value) > self.longest:
            raise OutOfRange(where, f"{len(value)} entries", f"at most {self.longest}")
        for index, one in enumerate(value):
            self.item(one, f"{where}[{index}]")


class Amounts(FieldRule):
    """Named amounts that a pilot offers."""

    def __call__(self, value: Any, where: str) -> None:
        try:
            check_offered(value)
        except BadAmount as why:
            raise OutOfRange(where, value, str(why)) from None


class OptionalRule(FieldRule):
    """None, or a value that another rule allows."""

    def __init__(self, rule: FieldRule) -> None:
        self.rule = rule

    def __call__(self, value: Any, where: str) -> None:
        if value is not None:
            self.rule(value, where)


FIELDS: Final = Fields()
_PATH_NAME = Name(PATH_MAX, 1)
_ID = Whole(0, ID_MAX)
_CORES = Whole(0, CORES_MAX)
_MB = Whole(0, MB_MAX)
_DURATION = Number(0.0, SECONDS_MAX)
_GIVEN_NAME = Name(shortest=1)
_SECRET = Name(SECRET_MAX, 1)
_FREE = Text(TEXT_MAX)
_NAMES = ListRule(TAGS_MAX, _GIVEN_NAME)
_SESSION = {"gen": _GIVEN_NAME, "session": _ID}

_OWN: Final[dict[Any, dict[str, FieldRule]]] = {
    Attempt: {"job": _ID, "epoch": _ID},
    Benchmark: {
        "method": _GIVEN_NAME,
        "score": Number(0.0, 1e6),
        "integer_per_s": Number(0.0, 1e15),
        "float_per_s": Number(0.0, 1e15),
        "memory_mb_per_s": Number(0.0, 1e15),
    },
    Node: {
        "host": Name(255),
        "architecture_level": Whole(1, 99),
        "containers": ListRule(16, _GIVEN_NAME),
        "cvmfs": _NAMES,
        "cpu_model": Name(256),
        "hs23_per_core": Number(0.0, 1e6),
        "batch_id": Name(256),
        "benchmark": OptionalRule(FIELDS),
    },
    Offer: {
        "cores": _CORES,
        "cores_free": _CORES,
        "memory_mb": _MB,
        "memory_free_mb": _MB,
        "wall_left_s": _DURATION,
        "scratch_free_mb": _MB,
        "scratch_mb": _MB,
        "gpus_free": Whole(0, GPUS_MAX),
        "gpu_model": Name(256),
        "gpu_memory_mb": _MB,
        "cpu_work_left_hs23_s": Number(0.0, WORK_MAX),
        "tags": _NAMES,
        "required_tags": _NAMES,
        "groups": _NAMES,
        "owners": _NAMES,
        "types": _NAMES,
        "gpus": Whole(0, GPUS_MAX),
        "node": OptionalRule(FIELDS),
        "amounts": Amounts(),
        "amounts_free": Amounts(),
    },
    Register: {
        "secret": _SECRET,
        "nonce": _SECRET,
        "protocol": Name(16, 1),
        "node": OptionalRule(FIELDS),
    },
    Hello: {
        "pilot": _GIVEN_NAME,
        "renewal_secret": _SECRET,
        "nonce": _SECRET,
        "unanswered": ListRule(HOLDING_MAX, FIELDS),
        "protocol": Name(16, 1),
        "session": _ID,
        "renewal_nonce": Name(SECRET_MAX),
    },
    TokenRequest: {
        "pilot": _GIVEN_NAME,
        "renewal_secret": _SECRET,
        "nonce": Name(SECRET_MAX),
    },
    Ask: {
        "n": _ID,
        "offer": FIELDS,
        "holding": ListRule(HOLDING_MAX, FIELDS),
        "jobs_max": Whole(1, JOBS_A_TURN_MAX),
    },
    Usage: {
        "wall_s": _DURATION,
        "cpu_s": Number(0.0, SECONDS_MAX * CORES_MAX),
        "memory_peak_mb": Number(0.0, MB_MAX),
        "scratch_peak_mb": Number(0.0, MB_MAX),
        "bytes_in": _ID,
        "bytes_out": _ID,
        "frozen_s": _DURATION,
    },
    Output: {"name": RelativePath(), "sha256": Hash(), "size_bytes": _ID, "of_bytes": _ID},
    Published: {
        "rule": Whole(0, OUTPUTS_MAX),
        "name": RelativePath(),
        "storage": _GIVEN_NAME,
        "path": RelativePath(),
        "size_bytes": _ID,
        "adler32": Adler(),
        "sha256": Hash(),
        "metadata": Text(META_BYTES_MAX),
    },
    BadCopy: {
        "did": Name(PATH_MAX, 1),
        "storage": _GIVEN_NAME,
        "path": RelativePath(),
        "why": _FREE,
    },
    Removed: {"remnant": _ID, "why": _FREE},
    Leftover: {"storage": _GIVEN_NAME, "path": RelativePath()},
    StorageTokenRequest: {
        "job": Whole(0, ID_MAX),
        "epoch": Whole(0, ID_MAX),
        "storage": _GIVEN_NAME,
        "paths": ListRule(TOKEN_PATHS_MAX, RelativePath()),
        "sha256": Text(64),
    },
    Report: {
        "job": _ID,
        "epoch": _ID,
        "attempt_id": _ID,
        "n": _ID,
        "exit_code": OptionalRule(Whole(-(2**31), 2**32 - 1)),
        "detail": _FREE,
        "status": _FREE,
        "image": _FREE,
        "usage": OptionalRule(FIELDS),
        "outputs": ListRule(OUTPUTS_MAX, FIELDS),
        "ago_s": _DURATION,
        "published": ListRule(OUTPUTS_MAX, FIELDS),
        "bad_copies": ListRule(OUTPUTS_MAX, FIELDS),
        "removed": ListRule(OUTPUTS_MAX, FIELDS),
        "leftovers": ListRule(OUTPUTS_MAX, FIELDS),
    },
    Turn: {
        **_SESSION,
        "reports": ListRule(REPORTS_MAX, FIELDS),
        "ask": OptionalRule(FIELDS),
    },
    Beat: {
        **_SESSION,
        "n": _ID,
        "parked": _ID,
        "closed": _ID,
        "holding": ListRule(HOLDING_MAX, FIELDS),
        "undelivered": ListRule(HOLDING_MAX, FIELDS),
    },
    Undelivered: {"job": _ID, "epoch": _ID, "for_s": _DURATION, "why": _FREE},
    LogChunk: {"job": _ID, "epoch": _ID, "offset": _ID, "text": Text(CHUNK_MAX), "size": _ID},
    PayloadTokenRequest: {"job": _ID, "epoch": _ID, "name": Name(32, 1)},
    PilotLine: {
        "n": _ID,
        "ago_s": _DURATION,
        "event": Name(64, 1),
        "text": _FREE,
        "attempt_id": _ID,
    },
    PilotLog: {**_SESSION, "lines": ListRule(LINES_MAX, FIELDS)},
}


def _of_texts(kind: Any) -> dict[str, FieldRule]:
    return {name: Name() for name, hint in get_type_hints(kind).items() if hint is str}


TABLE: Final = {kind: {**_of_texts(kind), **rules} for kind, rules in _OWN.items()}
_RULES: Final = {kind: tuple(rules.items()) for kind, rules in TABLE.items()}
