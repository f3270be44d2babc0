"""Side inputs: files that go to every group with which they have something in common. Pure."""

from collections.abc import Iterable, Sequence

from pilotage.proto.catalogue import Value
from pilotage.proto.transformation import InputSpec

from .grouping import File, Group, values

_Alike = tuple[tuple[bool, Value], ...]


class Beside:
    """The side inputs that there are, by what they must have in common with a group."""

    def __init__(self, inputs: Sequence[InputSpec], shared: Iterable[File]) -> None:
        self._specs = {i: one for i, one in enumerate(inputs) if one.use == "shared"}
        self._files: dict[int, dict[_Alike, list[File]]] = {i: {} for i in self._specs}
        for one in shared if self._specs else ():
            mine = _alike(one, self._specs[one.input_no].on)
            if mine is not None:
                self._files[one.input_no].setdefault(mine, []).append(one)
        for by_value in self._files.values():
            for several in by_value.values():
                several.sort(key=lambda one: one.file_id)

    def of(self, group: Group) -> tuple[File, ...] | None:
        """Return those that a group gets, the newest; None: some are not there yet."""
        if not self._specs:
            return ()
        found: list[File] = []
        for i, spec in self._specs.items():
            mine, *others = {_alike(one, spec.on) for one in group}
            fits = [] if others or mine is None else self._files[i].get(mine, [])
            if len(fits) < spec.count:
                return None
            found += fits[-spec.count :]
        return tuple(found)


def _alike(file: File, keys: Sequence[str]) -> _Alike | None:
    """Return what a file has as these keys, as it is compared: True is not 1. None: not all."""
    its = values(file, keys)
    return None if its is None else tuple((isinstance(one, bool), one) for one in its)
