"""Jobs as a table: for pandas, polars and notebooks. Neither library is needed to import this."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from html import escape
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, cast

import msgspec

from pilotage.proto.api.jobs import JobView

from ..errors import MissingPackage

_TIMES: Final = ("submitted_at", "started_at", "ended_at")
_LIBRARIES: Final = ("pandas", "polars")
_SHOWN: Final = ("id", "name", "state", "site", "exit_code", "submitted_at", "run_s", "reason")
_ROWS_SHOWN: Final = 20  # in a notebook


class JobTable(list[JobView]):
    """A list of jobs that also shows as a table."""

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns: times in UTC, enums as texts, and the run time `run_s`."""
        found: dict[str, list[Any]] = {
            name: [_plain(name, getattr(view, name)) for view in self]
            for name in JobView.__struct_fields__
        }
        pairs = zip(found["started_at"], found["ended_at"], strict=True)
        found["run_s"] = [(b - a).total_seconds() if a and b else None for a, b in pairs]
        return found

    def to_frame(self, library: str = "") -> Any:
        """Return a DataFrame of `pandas` or `polars` (default: the first that is installed).

        Raises MissingPackage.
        """
        if library not in ("", *_LIBRARIES):
            raise ValueError(f"library: found {library!r}, expected pandas or polars")
        wanted = [library] if library else _LIBRARIES
        there = [one for one in wanted if find_spec(one) is not None]
        if not there:
            raise MissingPackage(f"to_frame needs {' or '.join(wanted)}: run `pip install pandas`")
        frames, columns = import_module(there[0]), self.columns()
        if there[0] == "polars":
            overrides: dict[str, Any] = {name: frames.Datetime("us", "UTC") for name in _TIMES}
            return frames.DataFrame(columns, schema_overrides=overrides)
        frame = frames.DataFrame(columns)
        for name in _TIMES:
            frame[name] = frames.to_datetime(frame[name], utc=True)
        return frame.astype({"exit_code": "Int64", "run_s": "float64"})

    def _repr_html_(self) -> str:
        columns = JobTable(self[:_ROWS_SHOWN]).columns()
        more = f"<p>… of {len(self)} jobs</p>" if len(self) > _ROWS_SHOWN else ""
        return html_of({name: columns[name] for name in _SHOWN}) + more


def html_of(columns: Mapping[str, Sequence[object]]) -> str:
    """Return columns as a table of HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    rows = [
        "".join(f"<td>{'' if value is None else escape(str(value))}</td>" for value in row)
        for row in zip(*columns.values(), strict=True)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _plain(name: str, value: object) -> object:
    if name in _TIMES:
        return msgspec.convert(value, datetime) if value else None
    if isinstance(value, tuple):
        return ", ".join(str(_plain("", one)) for one in cast(tuple[object, ...], value))
    return value.value if isinstance(value, Enum) else value
