"""Sizes and times with a unit, as people type them: 4GB, 4GiB, 2h, 1d12h.

Fields hold plain numbers, and the end of a field's name is its unit: `memory_mb`, `wall_s`. A
letter with `i` counts in powers of 1,024, a letter without it in powers of 1,000; the `B` may be
left out.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from .ids import ID_MAX

_BYTES: Final = {
    **{"kmgtp"[i] + end: 1_000 ** (i + 1) for i in range(5) for end in ("", "b")},
    **{"kmgtp"[i] + "i" + end: 1_024 ** (i + 1) for i in range(5) for end in ("", "b")},
    "b": 1,
}
_SECONDS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER: Final = r"[0-9]{1,15}(?:[.][0-9]{1,9})?"
_SIZE: Final = re.compile(rf"({_NUMBER}) ?([A-Za-z]{{1,3}})")
_TIME: Final = re.compile(
    rf"({_NUMBER})[wdhms]|" + "".join(f"(?:([0-9]{{1,15}}){unit})?" for unit in _SECONDS)
)
_CLOCK: Final = re.compile(r"(?:([0-9]{1,3})-)?([0-9]{1,3}):([0-5][0-9]):([0-5][0-9])")
_PLAIN: Final = re.compile(_NUMBER)
_SHOWN_MAX: Final = 40


class BadQuantity(ValueError):
    """A text is no size or time. The message names the text and the right form."""


@dataclass(frozen=True)
class Unit:
    """The unit of a field: its name in messages, and what one of it is in bytes or seconds."""

    word: str
    factor: int
    is_time: bool
    example: str  # of a text that gives a whole number

    def read(self, text: str) -> int | float:
        """Return a text such as 4GB as a number of this unit. Raises BadQuantity."""
        found = (_seconds if self.is_time else _bytes)(text)
        if found is None:
            raise BadQuantity(f"found {_shown(text)}, expected {self._right(text)}")
        number = found / self.factor
        if number > ID_MAX:
            raise BadQuantity(f"found {_shown(text)}, expected at most {ID_MAX} {self.word}")
        return int(number) if number.denominator == 1 else float(number)

    def expected(self, found: object) -> str:
        """Return the message for a plain number in place of a number with a unit."""
        return f"found {found!r}, expected {self._right(str(found))}"

    def _right(self, text: str) -> str:
        right = "a time such as 2h or 1d12h" if self.is_time else "a size such as 4GB"
        if _PLAIN.fullmatch(text):
            return f"{right}; {text} {self.word} is {self.written(text)}"
        clock = _CLOCK.fullmatch(text) if self.is_time else None
        if clock is not None:
            parts = zip(clock.groups(default="0"), "dhms", strict=True)
            said = "".join(f"{int(part)}{unit}" for part, unit in parts if int(part)) or "0s"
            return f"{right}; {text} is {said}"
        return f"{right}; {self.example} is {self.read(self.example)} {self.word}"

    def written(self, number: int | float | str) -> str:
        """Return a number of this unit as people type it: 4GB, 90m."""
        said = Fraction(str(number)) * self.factor
        names = _TIMES_WRITTEN if self.is_time else _SIZES_WRITTEN
        for name, one in names.items():
            if said and (said / one).denominator == 1:
                return f"{said / one}{name}"
        return f"{number}{next(reversed(names))}" if said else "0"


_TIMES_WRITTEN: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SIZES_WRITTEN: Final = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 1_000, "B": 1}
_DAYS: Final = Unit("days", 86_400, True, "2w")
_S: Final = Unit("seconds", 1, True, "2h")
_BYTE: Final = Unit("bytes", 1, False, "4GB")
# The first matching end of a name counts. None: the number is no plain time or size.
_UNITS: Final[dict[str, Unit | None]] = {
    "_hs23_s": None,
    "_core_s": None,
    "_per_s": None,
    "_s": _S,
    "_days": _DAYS,
    "_mb": Unit("MB", 10**6, False, "4GB"),
    "_mb_a_pilot": Unit("MB", 10**6, False, "4GB"),
    "_gb": Unit("GB", 10**9, False, "4TB"),
    "_bytes": _BYTE,
    "_bytes_max": _BYTE,
}
# Fields without a short name: as options or keys, the short names mean other things.
_LONG_ONLY: Final = ("queue_s", "cpu_s", "for_s", "wait_s")


def unit_of(name: str) -> Unit | None:
    """Return the unit of a field; None if its number has no unit that people can type."""
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), None)


def short_name(name: str) -> str:
    """Return the name of a field without its unit; empty if it has no such name."""
    ends = (end for end, unit in _UNITS.items() if name.endswith(end) and unit is not None)
    end = next(ends, "")
    is_short = end and unit_of(name) is not None and name not in _LONG_ONLY
    return name[: -len(end)] if is_short else ""


def _bytes(text: str) -> Fraction | None:
    found = _SIZE.fullmatch(text)
    unit = _BYTES.get(found[2].lower()) if found else None
    return Fraction(found[1]) * unit if found and unit else None


def _seconds(text: str) -> Fraction | None:
    found = _TIME.fullmatch(text)
    if found is None or not text:
        return None
    if found[1]:
        return Fraction(found[1]) * _SECONDS[text[-1]]
    parts = zip(found.groups()[1:], _SECONDS.values(), strict=True)
    return Fraction(sum(int(part) * unit for part, unit in parts if part))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "...")
