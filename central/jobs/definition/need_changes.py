"""Changes of the needs of jobs that are stored already. Pure.

A class of jobs holds the needs that count, so a change gives a job another class. The description
of the job stays as it was submitted.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.problems import Code
from pilotage.proto.quantities import unit_of

from ...decode import decode
from ...errors import Refused
from .checks import check
from .normal_form import normal_needs
from .software import needs_of

_encode = msgspec.json.encode
SCALED: Final = tuple(name for name in Need.__struct_fields__ if unit_of(name) is not None)
# The needs of a job with files were adapted to their places when it was submitted.
OF_FILES: Final = ("sites", "tags")
_MEMORY: Final = ("memory_mb", "memory_per_core_mb")


class NeedChange:
    """New values and factors for fields of each need of a job."""

    def __init__(self, needs: Mapping[str, Any], times: Mapping[str, float]) -> None:
        """Raises Refused, which names the wrong field."""
        if needs:
            decode(_encode(needs), Need, where="$.needs")
        for name in times:
            where = f"$.times.{name}"
            if name not in SCALED:
                said = unknown(name, SCALED)
                raise Refused(Code.INVALID, f"{where}: {said}", field=where)
            if name in needs:
                why = f"{where}: give either a value or a factor of {name}"
                raise Refused(Code.INVALID, why, field=where)
        self.needs, self.times = dict(needs), dict(times)
        if "memory_mb" in times:  # both parts of the memory grow
            for name in _MEMORY:
                if name not in needs:
                    self.times.setdefault(name, times["memory_mb"])

    def __bool__(self) -> bool:
        return bool(self.needs or self.times)

    def __str__(self) -> str:
        """Return the change as in `memory_mb=8000, wall_s x2`."""
        parts = [f"{name}={_shown(value)}" for name, value in self.needs.items()]
        return ", ".join(parts + [f"{name} x{by:g}" for name, by in self.times.items()])

    def applied(self, job: Job, needs: tuple[Need, ...]) -> tuple[Need, ...]:
        """Return the changed needs of a job that now has `needs`, in normal form.

        `job` is its description, with or without its parameters. Raises Refused.
        """
        steered = [name for name in OF_FILES if name in self.needs or name in self.times]
        if job.data is not None and steered:
            why = f"{steered[0]}: its files decide this: kill it and submit it again"
            raise Refused(Code.INVALID, why)
        new = tuple(map(self._of, needs))
        if "tags" in self.needs:
            check(msgspec.structs.replace(job, needs=new), "job")
            return normal_needs(needs_of(msgspec.structs.replace(job, needs=new)))
        plain = tuple(msgspec.structs.replace(need, tags="") for need in new)
        check(msgspec.structs.replace(job, needs=plain), "job")
        return normal_needs(new)

    def _of(self, need: Need) -> Need:
        found = {**msgspec.to_builtins(need), **self.needs}
        for name, by in self.times.items():
            found[name] = math.ceil(getattr(need, name) * by)
        if "memory_mb" in self.times and not (need.memory_mb or need.memory_per_core_mb):
            why = "memory_mb: it asks for no memory, which has no multiple: give a size"
            raise Refused(Code.INVALID, why)
        return decode(_encode(found), Need, where="needs")


def current(job: Job, needs: tuple[Need, ...]) -> Job:
    """Return a stored job with the needs of its class, if they were changed.

    Unchanged fields stay as they were submitted.
    """
    submitted = normal_needs(needs_of(job))
    if submitted == needs:
        return job
    if len(submitted) != len(needs):  # its files allow only some of them
        return msgspec.structs.replace(job, needs=needs)
    kept = OF_FILES if job.data is not None else ()
    made: list[Need] = []
    for own, before, now in zip(job.needs, submitted, needs, strict=True):
        changed = {
            name: getattr(now, name)
            for name in Need.__struct_fields__
            if name not in kept and getattr(now, name) != getattr(before, name)
        }
        made.append(msgspec.structs.replace(own, **changed))
    return msgspec.structs.replace(job, needs=tuple(made))


def _shown(value: object) -> str:
    return value if isinstance(value, str) else _encode(value).decode()
