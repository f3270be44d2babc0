"""Checks the sizes of jobs with their parameters, without filling these in. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.job import JOB_NAME_MAX, Job
from pilotage.proto.problems import Code

from ...errors import Refused

FILLED_BYTES_MAX: Final = 1 << 20  # one job as JSON
# Limits of Linux for an argument and a path (MAX_ARG_STRLEN and PATH_MAX).
WORD_BYTES_MAX: Final = 131_071
PROGRAM_BYTES_MAX: Final = 4_096
_NUMBER_GROWS: Final = 24  # extra characters of a number: 1e9 is filled in as 1000000000.0

_CHARACTER_BYTES_MAX: Final = 4  # in UTF-8

_encode = msgspec.json.encode


def check_size(body: bytes, where: str) -> None:
    """Refuse a job, or an entry of parameters, that is too large as it was submitted."""
    if len(body) > FILLED_BYTES_MAX:
        raise Refused(
            Code.INVALID,
            f"{where} has {len(body)} bytes, the maximum is {FILLED_BYTES_MAX}: upload large data "
            f"as an input file; found {short(body[:100].decode(errors='replace'))}",
            field=where,
        )


def check_command(command: Sequence[str], where: str) -> None:
    """Refuse a program path or an argument that is too long for a node.

    Words with parameters are not checked again after filling. If one is too long then, the pilot
    fails that job.
    """
    for place, word in enumerate(command):
        most = WORD_BYTES_MAX if place else PROGRAM_BYTES_MAX
        if len(word) * _CHARACTER_BYTES_MAX <= most:
            continue
        size = len(word.encode())
        if size > most:
            field = f"{where}.command[{place}]"
            what = "an argument" if place else "the path of a program"
            raise Refused(
                Code.INVALID,
                f"{field} has {size} bytes, found {short(word)!r}; {what} can have at most {most}: "
                "pass longer data as an input file",
                field=field,
            )


def check_name(name: str, where: str) -> None:
    """Refuse a name that is too long with its parameters, because jobs are searched by name."""
    if len(name) > JOB_NAME_MAX:
        raise Refused(
            Code.INVALID,
            f"{where} makes a name of {len(name)} characters, {short(name)!r}: "
            f"the maximum is {JOB_NAME_MAX}",
            field=where,
        )


class FilledSizes:
    """The sizes of the jobs made from one template with parameters."""

    def __init__(self, template: Job, uses: Mapping[str, int]) -> None:
        """`uses` says how often the template contains each parameter."""
        self._uses, self._count = uses, sum(uses.values())
        encoded = _encode(template)
        check_size(encoded, "template")
        in_braces = sum((len(name) + 2) * count for name, count in uses.items())
        self._literal = len(encoded) - in_braces
        # No value is longer than its entry, so entries up to this size always fit.
        free = FILLED_BYTES_MAX - self._literal
        self.fits_max = free // self._count - _NUMBER_GROWS if self._count else FILLED_BYTES_MAX

    def at_most(self, entry: bytes) -> int:
        """Return an upper bound of the job's bytes, for checked parameters."""
        most = self._literal + self._count * (len(entry) + _NUMBER_GROWS)
        return min(most, FILLED_BYTES_MAX)

    def check(self, entry: bytes, given: Mapping[str, str | int | float], where: str) -> None:
        """Refuse parameters that would make the job too large."""
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
                f"{where}.{name} is used {self._uses[name]} times in the template, found "
                f"{short(str(given[name]))!r}: the job would have {size} bytes, the maximum is "
                f"{FILLED_BYTES_MAX}",
                field=f"{where}.{name}",
            )
