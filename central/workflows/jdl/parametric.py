"""Parametric jobs: the values of each sequence, and their places in the attributes.

The rules are those of `generateParametricJobs` in DIRAC 9.1: value i+1 is value i × factor + step,
and the first value has the type of the others. Here `%s`, `%(NAME)s` and `%n` are replaced at once,
so that a value that looks like one of them stays as it is.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.proto.decoding.complaints import short

from .errors import Mistakes
from .grammar import Attribute, Items, JdlValue, Section, Word

JOBS_MAX: Final = 100_000
COUNT: Final = "parameters"
_KINDS: Final = (COUNT, "parameterstart", "parameterstep", "parameterfactor")
_DEFAULTS: Final[Mapping[str, int | float]] = {
    "parameterstart": 1,
    "parameterstep": 0,
    "parameterfactor": 1,
}
_PLACE: Final = re.compile(r"%s|%n|%\(([A-Za-z0-9_]+)\)s")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")
_REAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

Number = int | float


def is_sequence(name: str) -> bool:
    """Return whether an attribute describes a sequence of parameters."""
    return name.lower().partition(".")[0] in _KINDS


@dataclass(frozen=True)
class Sequences:
    """The values of all sequences; a job without parameters is one job without sequences."""

    count: int = 1
    values: Mapping[str, Sequence[JdlValue]] | None = None  # the nameless one is ""

    @property
    def is_parametric(self) -> bool:
        """Whether there are sequences."""
        return self.values is not None

    def has_place(self, value: JdlValue) -> bool:
        """Return whether a value differs from job to job."""
        return self.values is not None and any(map(_PLACE.search, _texts(value)))

    def fill(self, value: JdlValue, number: int, mistakes: Mistakes) -> JdlValue:
        """Return a value with the parameters of job `number` (from 0 on) in their places."""
        if self.values is None:
            return value
        return _Filling(self.values, number, len(str(self.count - 1)), mistakes).filled(value)


def _texts(value: JdlValue) -> Iterable[str]:
    if isinstance(value, Word):
        yield value.text
    elif isinstance(value, Items):
        for one in value.items:
            yield from _texts(one)
    else:
        for inner in value.attributes:
            yield from _texts(inner.value)


@dataclass(frozen=True)
class _Filling:
    values: Mapping[str, Sequence[JdlValue]]
    number: int
    digits: int
    mistakes: Mistakes

    def filled(self, value: JdlValue) -> JdlValue:
        if isinstance(value, Word):
            return self._list_at(value) or self._word(value)
        if isinstance(value, Items):
            items: list[JdlValue] = []
            for one in value.items:
                spliced = self._list_at(one)
                items += spliced.items if spliced is not None else [self.filled(one)]
            return Items(tuple(items), value.at)
        inner = tuple(
            Attribute(one.name, self.filled(one.value), one.at) for one in value.attributes
        )
        return Section(inner, value.at)

    def _list_at(self, value: JdlValue) -> Items | None:
        """Return the list that a word alone stands for."""
        place = _PLACE.fullmatch(value.text) if isinstance(value, Word) else None
        if place is None or place[0] == "%n":
            return None
        found = self.values.get(place[1] or "")
        given = found[self.number] if found is not None else None
        return given if isinstance(given, Items) else None

    def _word(self, value: Word) -> Word:
        def put(place: re.Match[str]) -> str:
            if place[0] == "%n":
                return str(self.number).zfill(self.digits)
            found = self.values.get(place[1] or "")
            if found is None:
                known = ", ".join(f"%({name})s" if name else "%s" for name in self.values)
                self.mistakes.add(value.at, f"{place[0]} has no sequence: there is {known}")
                return place[0]
            given = found[self.number]
            if not isinstance(given, Word):
                why = f"{place[0]} is a list here, which can be only a whole value or a whole item"
                self.mistakes.add(value.at, why)
                return place[0]
            return given.text

        if "%" not in value.text:
            return value
        return Word(_PLACE.sub(put, value.text), value.at, value.quoted)


def sequences_of(attributes: Sequence[Attribute], mistakes: Mistakes) -> Sequences:
    """Return the sequences that these attributes describe; mistakes are noted."""
    before = mistakes.count
    given: dict[str, dict[str, Attribute]] = {}
    for one in attributes:
        if is_sequence(one.name):
            kind, _, name = one.name.partition(".")
            given.setdefault(name, {})[kind.lower()] = one
    if not given:
        _check_no_places(attributes, mistakes)
        return Sequences()
    if COUNT not in given.get("", {}):
        some = next(iter(next(iter(given.values())).values()))
        why = (
            f"{short(some.name)} without Parameters: there is one job for each value of"
            " Parameters, so add `Parameters = N;` with the number of jobs"
        )
        mistakes.add(some.at, why)
        return Sequences()
    lengths = {
        name: _length(kinds[COUNT], mistakes) for name, kinds in given.items() if COUNT in kinds
    }
    count = lengths[""]
    for name, length in lengths.items():
        if count and length and length != count:
            at, what = given[name][COUNT].at, f"Parameters.{short(name)}"
            mistakes.add(at, f"{what} has {length} values, but Parameters has {count}")
    if not count or mistakes.count > before:
        return Sequences()
    values: dict[str, Sequence[JdlValue]] = {}
    for name, kinds in given.items():
        listed = kinds[COUNT].value if COUNT in kinds else None
        if isinstance(listed, Items):
            values[name] = listed.items
            for kind, one in kinds.items():
                if kind != COUNT:
                    mistakes.add(one.at, f"{short(one.name)} has no effect on a list: remove it")
        else:
            values[name] = _computed(kinds, count, mistakes)
    return Sequences(count, values)


def _check_no_places(attributes: Sequence[Attribute], mistakes: Mistakes) -> None:
    """Refuse `%(X)s` in a job that is not parametric: DIRAC would run it as it is written."""
    for one in attributes:
        for text in _texts(one.value):
            place = re.search(r"%\(([A-Za-z0-9_]+)\)s", text)
            if place is not None:
                why = f"{place[0]} has no sequence: add `Parameters = N;` and Parameters.{place[1]}"
                mistakes.add(one.value.at, why)
                break


def _length(one: Attribute, mistakes: Mistakes) -> int:
    """Return the number of values; 0 if it is wrong, which is noted."""
    value, is_named = one.value, "." in one.name
    if isinstance(value, Items):
        found = len(value.items)
    elif is_named:
        right = '{"a", "b"}, or ParameterStart and ParameterStep with that name'
        mistakes.add(value.at, f"{short(one.name)}: expected a list: {right}")
        return 0
    elif isinstance(value, Word) and _WHOLE.fullmatch(value.text.strip()):
        found = int(value.text)
    else:
        mistakes.add(value.at, f"{short(one.name)}: expected a number of jobs or a list of values")
        return 0
    if not 1 <= found <= JOBS_MAX:
        why = f"{short(one.name)}: found {found} values, expected 1 to {JOBS_MAX}"
        mistakes.add(value.at, why)
        return 0
    return found


def _computed(kinds: Mapping[str, Attribute], count: int, mistakes: Mistakes) -> Sequence[JdlValue]:
    start, step, factor = (_number(kinds, kind, mistakes) for kind in _KINDS[1:])
    at = next(iter(kinds.values())).at
    try:
        return [Word(str(one), at) for one in numbers(count, start, step, factor)]
    except OverflowError:
        mistakes.add(at, f"its {count} values become too large: use a smaller ParameterFactor")
        return [Word("", at)] * count


def numbers(count: int, start: Number, step: Number, factor: Number) -> list[Number]:
    """Return the values of a sequence. Raises OverflowError if one has over 300 digits."""
    found = [start * type(factor)(1) + type(step)(0)]
    for _ in range(count - 1):
        found.append(found[-1] * factor + step)
        if abs(found[-1]) > 1e300:
            raise OverflowError
    return found


def _number(kinds: Mapping[str, Attribute], kind: str, mistakes: Mistakes) -> Number:
    one = kinds.get(kind)
    if one is None:
        return _DEFAULTS[kind]
    text = one.value.text.strip() if isinstance(one.value, Word) else ""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _REAL.fullmatch(text):
        return float(text)
    mistakes.add(one.value.at, f"{short(one.name)}: expected a number, as in 3 or 0.5")
    return _DEFAULTS[kind]
