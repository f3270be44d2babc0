"""Finds the transformations that take a file. Pure.

Files of one production share most metadata. So each set of shared metadata is judged once for all
transformations, and only the file's own keys remain to be tested.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.proto.catalogue import Did, Query, ValueTest
from pilotage.proto.transformation_states import InputState

from ..catalogue.record_types import FileRow

SETS_MAX: Final = 20_000  # cached judgements

_Judged = list[tuple["WantedInput", tuple[tuple[str, ValueTest], ...]]]


@dataclass(frozen=True)
class WantedInput:
    """One input of one transformation: the files it takes, and their first state."""

    transformation_id: int
    input_no: int
    community: str
    query: Query
    state: InputState
    from_id: int = 0  # the transformation whose outputs they are; 0: any
    files_max: int = 0  # only the first files; 0: all


class InputIndex:
    """The inputs of all transformations that take files now."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[WantedInput, ...]] = {}
        self._plain: dict[str, dict[int, list[WantedInput]]] = {}  # by community, transformation
        self._lying: dict[tuple[str, Did], dict[int, list[WantedInput]]] = {}  # by dataset
        self._judged: dict[tuple[str, int], _Judged] = {}

    def put(self, transformation_id: int, wanted: Sequence[WantedInput]) -> None:
        """Add the inputs of a transformation, so that it gets files."""
        self.drop(transformation_id)
        self._of[transformation_id] = tuple(wanted)
        for one in wanted:
            if one.query.dataset is None:
                here = self._plain.setdefault(one.community, {})
                self._judged.clear()
            else:
                here = self._lying.setdefault((one.community, one.query.dataset), {})
            here.setdefault(transformation_id, []).append(one)

    def drop(self, transformation_id: int) -> None:
        """Remove the inputs of a transformation, so that it gets no more files."""
        for one in self._of.pop(transformation_id, ()):
            if one.query.dataset is None:
                self._plain[one.community].pop(transformation_id, None)
                self._judged.clear()
            else:
                place = (one.community, one.query.dataset)
                self._lying.get(place, {}).pop(transformation_id, None)
                if not self._lying.get(place):
                    self._lying.pop(place, None)

    def communities(self) -> set[str]:
        """Return the communities whose files are checked."""
        return {one.community for several in self._of.values() for one in several}

    def asks_for_datasets(self, community: str) -> bool:
        """Return whether the datasets of files matter."""
        return any(place[0] == community for place in self._lying)

    def of(self, transformation_id: int) -> tuple[WantedInput, ...]:
        return self._of.get(transformation_id, ())

    def takers(self, community: str, file: FileRow, datasets: Iterable[Did]) -> list[WantedInput]:
        """Return the inputs that take a file."""
        found = [
            one
            for one, rest in self._judgement(community, file)
            if all(test(file.own.get(key)) for key, test in rest)
        ]
        for dataset in datasets:
            for several in self._lying.get((community, dataset), {}).values():
                found += [one for one in several if one.query.meets(file.metadata)]
        return found

    def _judgement(self, community: str, file: FileRow) -> _Judged:
        """Return the inputs that the file's set of metadata does not exclude."""
        plain = self._plain.get(community)
        if not plain:
            return []
        known = self._judged.get((community, file.set_id))
        if known is None:
            if len(self._judged) >= SETS_MAX:
                self._judged.clear()
            known = [
                (one, rest)
                for several in plain.values()
                for one in several
                if (rest := _rest(one.query, file)) is not None
            ]
            self._judged[community, file.set_id] = known
        return known


def _rest(query: Query, file: FileRow) -> tuple[tuple[str, ValueTest], ...] | None:
    """Return the remaining tests for files of this set; None: no file of it fits."""
    rest: list[tuple[str, ValueTest]] = []
    for key, test in query.tests():
        if key in file.metadata and key not in file.own:
            if not test(file.metadata[key]):
                return None
        else:  # other files of this set may have their own value
            rest.append((key, test))
    return tuple(rest)
