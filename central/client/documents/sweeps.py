"""The parameters of sweeps: numbers of arrays, products of lists, and tables."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import chain, product
from math import prod
from pathlib import Path
from typing import Any, Final

from ..errors import BadJobFile
from ..submissions.job_shapes import ParameterSet
from .yaml_text import as_list, as_mapping

JOBS_MAX: Final = 1_000_000
NUMBERS: Final = "N, A-B, A-B:STEP or a list of these with commas"
_RANGE: Final = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMS: Final = "expected a list of mappings, a mapping of names to values, or a .csv file"
_VALUES: Final = "expected a list of values, {from: 0, to: 1, step: 0.1}, or numbers as in '1-10:2'"


class BadSweep(Exception):
    """Parameters are wrong: the place below `parameters`, and why."""

    def __init__(self, place: tuple[str | int, ...], why: str) -> None:
        super().__init__(why)
        self.place, self.why = place, why


def numbers_of(text: str) -> Sequence[int]:
    """Return the numbers of a text such as `1-10:3,20`. `N` alone in an array is another thing.

    Raises ValueError with the right form.
    """
    parts = [_range_of(part) for part in text.split(",")]
    count = sum(map(len, parts))
    if count > JOBS_MAX:
        raise ValueError(f"found {count} numbers, expected at most {JOBS_MAX}")
    found = parts[0] if len(parts) == 1 else tuple(chain.from_iterable(parts))
    if len(parts) > 1 and len(set(found)) < len(found):
        raise ValueError("a number comes twice")
    return found


def _range_of(text: str) -> range:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {NUMBERS}")
    first = int(match[1])
    last, step = int(match[2] or first), int(match[3] or 1)
    if last < first or step < 1:
        raise ValueError(f"expected {NUMBERS}, with A <= B and a step of 1 or more")
    return range(first, last + 1, step)


def parameters_of(found: Any, folder: Path) -> tuple[ParameterSet, ...]:
    """Return the parameters of each job. A table's path is relative to `folder`.

    Raises BadSweep, and BadJobFile for a table.
    """
    if isinstance(found, str) and found.endswith((".csv", ".tsv")):
        return _of_table(folder / found)
    named = as_mapping(found)
    if named:
        return _of_product(named)
    entries = as_list(found)
    if not entries:
        raise BadSweep((), _FORMS)
    for i, one in enumerate(entries):
        entry = as_mapping(one)
        if entry is None:
            raise BadSweep((i,), "expected a mapping of names to values")
        for key, value in entry.items():
            _check_value(value, (i, str(key)))
    return tuple(entries)


def _check_value(value: Any, place: tuple[str | int, ...]) -> None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise BadSweep(place, "expected text or a number (quote yes, no and dates)")


def _of_product(named: Mapping[str, Any]) -> tuple[ParameterSet, ...]:
    """Return all combinations; the last name varies fastest."""
    values = [_values(value, str(name)) for name, value in named.items()]
    count = prod(map(len, values))
    if count > JOBS_MAX:
        raise BadSweep((), f"found {count} combinations, expected at most {JOBS_MAX}")
    names = list(map(str, named))
    return tuple(dict(zip(names, one, strict=True)) for one in product(*values))


def _values(found: Any, name: str) -> Sequence[str | int | float]:
    several = as_list(found)
    if several:
        for i, one in enumerate(several):
            _check_value(one, (name, i))
        return several
    if isinstance(found, str) and _RANGE.match(found):
        try:
            return numbers_of(found)
        except ValueError as why:
            raise BadSweep((name,), str(why)) from None
    bounds = as_mapping(found)
    if bounds is not None and bounds.keys() <= {"from", "to", "step"} >= {"from", "to"}:
        return _steps(bounds, name)
    raise BadSweep((name,), _VALUES)


def _steps(bounds: Mapping[str, Any], name: str) -> Sequence[int | float]:
    """Return the values from `from` to `to`, which is one of them if the steps meet it."""
    numbers: list[Decimal] = []
    for key in ("from", "to", "step"):
        value = bounds.get(key, 1)
        try:
            number = Decimal(str(value)) if not isinstance(value, bool) else Decimal("nan")
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite():
            raise BadSweep((name, key), f"found {value!r}, expected a number")
        numbers.append(number)
    first, last, step = numbers
    if step <= 0 or last < first:
        raise BadSweep((name,), "expected from <= to, and a step above 0")
    count = int((last - first) / step) + 1
    if count > JOBS_MAX:
        raise BadSweep((name,), f"found {count} values, expected at most {JOBS_MAX}")
    found = (first + i * step for i in range(count))
    is_whole = first == int(first) and step == int(step)
    return [int(one) if is_whole else float(one) for one in found]


def _of_table(path: Path) -> tuple[ParameterSet, ...]:
    """Return the rows of a table. Values stay as they are written."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            return _rows(path, ((rows.line_num, row) for row in rows if row))
    except csv.Error as why:
        raise BadJobFile(str(path), None, "", f"wrong table: {why}") from None
    except (OSError, UnicodeDecodeError) as why:
        reason = why.strerror if isinstance(why, OSError) else "it is not UTF-8 text"
        raise BadJobFile(str(path), None, "", str(reason)) from None


def _rows(path: Path, rows: Iterable[tuple[int, list[str]]]) -> tuple[ParameterSet, ...]:
    found: list[ParameterSet] = []
    names: list[str] | None = None
    for line, row in rows:
        if names is None:
            names = [one.strip() for one in row]
            wrong = [one for one in names if not _NAME.fullmatch(one)]
            if wrong or len(set(names)) < len(names):
                why = f"found {wrong[0]!r}" if wrong else "a name comes twice"
                right = "the first line must have the names of the parameters"
                raise BadJobFile(str(path), line, "", f"{why}: {right}")
            continue
        if len(row) != len(names):
            why = f"found {len(row)} values, expected {len(names)}: {', '.join(names)}"
            raise BadJobFile(str(path), line, "", why)
        if len(found) == JOBS_MAX:
            raise BadJobFile(str(path), line, "", f"expected at most {JOBS_MAX} rows")
        found.append(dict(zip(names, row, strict=True)))
    if not found:
        raise BadJobFile(str(path), None, "", "expected a line of names, and at least one row")
    return tuple(found)
