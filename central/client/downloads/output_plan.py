"""The plan of a download: the outputs of jobs, and the local path of each. Pure."""

import string
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, NamedTuple

from pilotage.proto.api.outputs import JobOutputs
from pilotage.proto.job_states import FINAL

from ..errors import FilesClash, Invalid
from ..files import clash_in, inside

EACH_JOB: Final = "{job}/{name}"  # the default: a folder for each job
_WORDS: Final = ("job", "index", "name")
_WILD: Final = frozenset("*?[")


class WantedOutput(NamedTuple):
    """An output to fetch, and its path in the target folder."""

    job: int
    name: str
    size: int
    sha256: str
    place: str
    ended_at: str

    def __str__(self) -> str:
        return f"output {self.name} of job {self.job}"


class OutputPlan:
    """Collects the wanted outputs of jobs, one job after another."""

    def __init__(self, names: Iterable[str], template: str) -> None:
        """`names` are names or patterns; none means all. Raises Invalid."""
        several = [names] if isinstance(names, str) else list(dict.fromkeys(names))
        self._fitting = [name_pattern(one) for one in several]
        self._template, self._fields = template, _fields_of(template)
        self.wanted: list[WantedOutput] = []
        self.unfinished: list[int] = []  # jobs that have not ended
        self.empty: list[int] = []  # jobs that kept no such output
        self.seen: set[int] = set()

    def add(self, job: JobOutputs) -> None:
        """Add the wanted outputs of a job. Raises Invalid or UnsafeName for a wrong place."""
        view = job.view
        self.seen.add(view.id)
        if view.state not in FINAL:
            self.unfinished.append(view.id)
            return
        kept = {one.name: one for one in job.outputs}
        chosen = [
            one
            for one in kept.values()
            if not self._fitting or any(fits(one.name) for fits in self._fitting)
        ]
        if not chosen:
            self.empty.append(view.id)
        for one in chosen:
            place = self._place(job, one.name)
            self.wanted.append(
                WantedOutput(view.id, one.name, one.size_bytes, one.sha256, place, view.ended_at)
            )

    def _place(self, job: JobOutputs, name: str) -> str:
        inside(Path(), name)  # also a template must not make a safe path of an unsafe name
        values: dict[str, object] = {
            "index": job.index,
            **job.parameters,
            "job": job.view.id,
            "name": name,
        }
        for one in self._fields:
            if one not in values:
                known = ", ".join(f"{{{word}}}" for word in values)
                why = f"job {job.view.id} has no parameter {{{one}}}: its names are {known}"
                raise _bad_template(self._template, why)
        place = self._template.format_map(values)
        return inside(Path(), place).as_posix()

    def check(self, where: Path) -> None:
        """Raise FilesClash if two outputs have the same place."""
        clash = clash_in((str(one), one.place) for one in self.wanted)
        if clash is not None:
            raise FilesClash(
                f"{clash[0]} and {clash[1]} clash in {where}; nothing was fetched: add a "
                "parameter, {job} or {name} to their names (--name, in Python template=), or fetch "
                "them one by one into different folders"
            )


def is_pattern(name: str) -> bool:
    """Return whether a name of an output is a pattern."""
    return not _WILD.isdisjoint(name)


def name_pattern(pattern: str) -> Callable[[str], bool]:
    """Return whether a name fits: it is equal, or fits as in `outputs` of a job.

    `*`, `?` and `[…]` stay inside one part of a path, `**` spans folders.
    """
    parts = pattern.split("/")
    return lambda name: name == pattern or _fits(name.split("/"), parts)


def _fits(names: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not names
    if patterns[0] == "**":
        if len(patterns) == 1:
            return bool(names)
        return any(_fits(names[at:], patterns[1:]) for at in range(len(names)))
    return bool(names) and fnmatchcase(names[0], patterns[0]) and _fits(names[1:], patterns[1:])


def _fields_of(template: str) -> list[str]:
    """Return the names in braces. Raises Invalid."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as why:
        raise _bad_template(template, f"{why}; write literal braces as {{{{ and }}}}") from None
    fields = list[str]()
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if spec or conversion or not name.isidentifier():
            known = ", ".join(f"{{{word}}}" for word in _WORDS)
            expected = f"{{{name}}} is not {known} or the name of a parameter"
            raise _bad_template(template, expected)
        fields.append(name)
    return fields


def _bad_template(template: str, why: str) -> Invalid:
    return Invalid("invalid", f"the name {template!r}: {why}", "template")
