"""Side inputs: files that every matching group gets. Pure."""

from collections.abc import Collection, Iterable, Sequence

from pilotage.proto.catalogue import Value
from pilotage.proto.documents.transformation import InputSpec

from ..grouping import Group, WaitingInput, values

_Alike = tuple[tuple[bool, Value], ...]


class SideInputs:
    """The available side inputs, by the values that they share with a group."""

    def __init__(
        self,
        inputs: Sequence[InputSpec],
        shared: Iterable[WaitingInput],
        *,
        growing: Collection[int] = frozenset(),
    ) -> None:
        """Index `shared`; `growing` are the numbers of inputs whose files may still come."""
        self._growing = growing
        self._specs = {i: one for i, one in enumerate(inputs) if one.use == "shared"}
        self._files: dict[int, dict[_Alike, list[WaitingInput]]] = {i: {} for i in self._specs}
        for one in shared if self._specs else ():
            mine = _alike(one, self._specs[one.input_no].on)
            if mine is not None:
                self._files[one.input_no].setdefault(mine, []).append(one)
        for by_value in self._files.values():
            for several in by_value.values():
                several.sort(key=lambda one: one.file_id)

    def of(self, group: Group) -> tuple[WaitingInput, ...] | None:
        """Return the side inputs of a group, the newest or all; None: some are missing yet."""
        found: list[WaitingInput] = []
        for i in self._specs:
            mine = self._fit(i, group)
            if not mine:
                return None
            found += mine
        return tuple(found)

    def lacking(self, groups: Sequence[Group]) -> int | None:
        """Return an input that lacks files for every group; None: some group has all files."""
        mine = (i for i in self._specs if not any(self._fit(i, one) for one in groups))
        return next(mine, None)

    def _fit(self, i: int, group: Group) -> list[WaitingInput]:
        """Return the files of an input that a group gets; none: it waits."""
        spec = self._specs[i]
        if not spec.count and i in self._growing:
            return []
        mine, *others = {_alike(one, spec.on) for one in group}
        fits = [] if others or mine is None else self._files[i].get(mine, [])
        return fits[-spec.count :] if len(fits) >= spec.count else []  # from -0 on: all


def _alike(file: WaitingInput, keys: Sequence[str]) -> _Alike | None:
    """Return a file's values of these keys for comparing: True is not 1. None: it lacks one."""
    its = values(file, keys)
    return None if its is None else tuple((isinstance(one, bool), one) for one in its)
