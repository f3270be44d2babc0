"""What goes wrong in the year: bad files, storages that refuse, and a node that fails all jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pilotage.proto.messages import Assignment, How

Away = Mapping[str, Sequence[tuple[float, float]]]  # hours from the begin, by name

STORAGES: Final = ("disk-a", "disk-b")  # in the order in which outputs try them
# For 12 hours outputs fall back to the other storage. Then for 6 hours no storage takes anything.
STORAGES_AWAY: Final[Away] = {
    "disk-a": ((72.0, 84.0), (120.0, 126.0), (3_600.0, 3_624.0)),
    "disk-b": ((120.0, 126.0), (6_000.0, 6_048.0)),
}
BUS_AWAY: Final = ((96.0, 102.0), (4_800.0, 4_806.0))
HOLE: Final = ("PIC", "black-hole")  # a node more, on which every job fails at once
FAILS_S: Final = 0.01  # at once, which is told at the next tick
BAD_EXIT: Final = 3
HOLE_EXIT: Final = 1
_KINDS: Final = (".simtel.zst", ".DL1.h5", ".DL2.h5")
_OTHERS: Final = ("merged_", "applied_")


def is_bad(name: str, sha256: str, share: float) -> bool:
    """Return whether no program can read a file. Only events of single runs are bad."""
    name = name.rsplit("/", 1)[-1]
    if not name.endswith(_KINDS) or name.startswith(_OTHERS):
        return False
    return int(sha256[:8], 16) < share * 2**32


@dataclass
class Troubles:
    """What an attempt meets. Times are seconds since the begin; an hour takes a second."""

    bad: float  # share of files
    storages_away: Away = field(default_factory=lambda: STORAGES_AWAY)
    seen: dict[str, int] = field(default_factory=dict[str, int])

    def count(self, what: str) -> None:
        self.seen[what] = self.seen.get(what, 0) + 1

    def are_away(self, storage: str, at_s: float) -> bool:
        return any(first <= at_s < end for first, end in self.storages_away.get(storage, ()))

    def has_bad_input(self, given: Assignment) -> bool:
        inputs = given.data.inputs if given.data is not None else ()
        return any(is_bad(one.path, one.sha256, self.bad) for one in inputs)

    def not_fetched(self, given: Assignment, at_s: float) -> str:
        """Return which input cannot be fetched, and why; empty: all can."""
        for one in given.data.inputs if given.data is not None else ():
            where = {copy.storage for copy in one.copies}
            if all(self.are_away(name, at_s) for name in where):
                return f"{one.did}: {', '.join(sorted(where))}: 503"
        return ""

    def taken_by(self, given: Assignment, rule: int, at_s: float) -> str | None:
        """Return the first storage that takes an output, or None while all refuse."""
        assert given.data is not None
        tried = [one.storage for one in given.data.outputs[rule].storages]
        for place, name in enumerate(tried):
            if not self.are_away(name, at_s):
                if place:
                    self.count("fell back")
                return name
        return None


@dataclass(frozen=True)
class End:
    """How an attempt ends, if not well."""

    how: How
    exit_code: int | None = None
    detail: str = ""
