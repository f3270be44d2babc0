"""How large a job may be, its parameters in place; known without filling them in. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.job import JOB_NAME_MAX, Job
from pilotage.proto.problems import Code

from ...errors import Refused

FILLED_BYTES_MAX: Final = 1 << 20  # of one job as JSON
# A node starts no program with more, and no path is longer (Linux: MAX_ARG_STRLEN and PATH_MAX).
WORD_BYTES_MAX: Final = 131_071
PROGRAM_BYTES_MAX: Final = 4_096
_NUMBER_GROWS: Final = 24  # characters that a number may gain: 1e9 is filled in as 1000000000.0

_CHARACTER_BYTES_MAX: Final = 4  # in UTF-8

_encode = msgspec.json.encode


def check_size(body: bytes, where: str) -> None:
    """Refuse a job, or an entry of parameters, that is too large as it was sent."""
    if len(body) > FILLED_BYTES_MAX:
        raise Refused(
            Code.INVALID,
            f"{where} has {len(body)} bytes, found {short(body[:100].decode(errors='replace'))}; "
            f"at most {FILLED_BYTES_MAX} are right: upload what is large as an input",
            field=where,
        )


def check_command(command: Sequence[str], where: str) -> None:
    """Refuse a word that no node can start a program with, or by.

    What parameters make of a word is not looked at: a pilot says so of the one job.
    """
    for place, word in enumerate(command):
        most = WORD_BYTES_MAX if place else PROGRAM_BYTES_MAX
        if len(word) * _CHARACTER_BYTES_MAX <= most:
            continue
        size = len(word.encode())
        if size > most:
            field = f"{where}.command[{place}]"
            what = "a word of a command" if place else "the program, a path,"
            raise Refused(
                Code.INVALID,
                f"{field} has {size} bytes, found {short(word)!r}; {what} has at most {most}: "
                "send what is longer as an input",
                field=field,
            )


def check_name(name: str, where: str) -> None:
    """Refuse a name that parameters have made too long: jobs are found by theirs."""
    if len(name) > JOB_NAME_MAX:
        raise Refused(
            Code.INVALID,
            f"{where} makes a name of {len(name)} characters, {short(name)!r}: "
            f"at most {JOB_NAME_MAX} are right",
            field=where,
        )


class FilledSizes:
    """The sizes of the jobs that parameters make of one template."""

    def __init__(self, template: Job, uses: Mapping[str, int]) -> None:
        """`uses`: how often each parameter stands in the template."""
        self._uses, self._count = uses, sum(uses.values())
        encoded = _encode(template)
        check_size(encoded, "template")
        in_braces = sum((len(name) + 2) * count for name, count in uses.items())
        self._literal = len(encoded) - in_braces
        # No value is longer than its entry, so that an entry up to here fits without a look at it.
        free = FILLED_BYTES_MAX - self._literal
        self.fits_max = free // self._count - _NUMBER_GROWS if self._count else FILLED_BYTES_MAX

    def at_most(self, entry: bytes) -> int:
        """Return a bound on the bytes of the job, for parameters that were checked."""
        most = self._literal + self._count * (len(entry) + _NUMBER_GROWS)
        return min(most, FILLED_BYTES_MAX)

    def check(self, entry: bytes, given: Mapping[str, str | int | float], where: str) -> None:
        """Refuse the parameters with which the job would be too large."""
        check_size(entry, where)
        takes = {
            name: count * (len(_encode(str(given[name]))) - 2)  # without the quotes
            for name, count in self._uses.items()
        }
        size = self._literal + sum(takes.values())
        if size > FILLED_BYTES_MAX:
            name = max(takes, key=lambda one: takes[one])
            raise Refused(
                Code.INVALID,
                f"{where}.{name} stands {self._uses[name]} times in the template, found "
                f"{short(str(given[name]))!r}: the job would have {size} bytes, at most "
                f"{FILLED_BYTES_MAX} are right",
                field=f"{where}.{name}",
            )
