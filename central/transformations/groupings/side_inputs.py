"""Side inputs: files that go to every group with which they have something in common. Pure."""

from collections.abc import Collection, Iterable, Sequence

from pilotage.proto.catalogue import Value
from pilotage.proto.documents.transformation import InputSpec

from ..grouping import Group, WaitingInput, values

_Alike = tuple[tuple[bool, Value], ...]


class SideInputs:
    """The side inputs that there are, by what they must have in common with a group."""

    def __init__(
        self,
        inputs: Sequence[InputSpec],
        shared: Iterable[WaitingInput],
        *,
        growing: Collection[int] = frozenset(),
    ) -> None:
        """Look at `shared`; `growing` are the inputs of which more may come, by number."""
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
        """Return those that a group gets, the newest, or all; None: some are not there yet."""
        found: list[WaitingInput] = []
        for i in self._specs:
            mine = self._fit(i, group)
            if not mine:
                return None
            found += mine
        return tuple(found)

    def lacking(self, groups: Sequence[Group]) -> int | None:
        """Return the input, by number, of which none of some groups has what it gets."""
        mine = (i for i in self._specs if not any(self._fit(i, one) for one in groups))
        return next(mine, None)

    def _fit(self, i: int, group: Group) -> list[WaitingInput]:
        """Return the files of an input that a group gets; none: it waits for some."""
        spec = self._specs[i]
        if not spec.count and i in self._growing:
            return []
        mine, *others = {_alike(one, spec.on) for one in group}
        fits = [] if others or mine is None else self._files[i].get(mine, [])
        return fits[-spec.count :] if len(fits) >= spec.count else []  # from -0 on: all


def _alike(file: WaitingInput, keys: Sequence[str]) -> _Alike | None:
    """Return what a file has as these keys, as it is compared: True is not 1. None: not all."""
    its = values(file, keys)
    return None if its is None else tuple((isinstance(one, bool), one) for one in its)
