"""The columns of lists of jobs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cyclopts import Parameter

from pilotage.proto.api.jobs import JobView
from pilotage.proto.decoding.nearest_words import unknown

from ..exit_codes import UsageError
from ..options import option


@dataclass(frozen=True)
class Column:
    """A column: what its rows show, and what they are sorted by if that differs."""

    shown: Callable[[JobView], Any]
    is_number: bool = False  # or a time: a narrow terminal does not cut it
    sorted_by: Callable[[JobView], Any] | None = None


def _state(view: JobView) -> str:
    marks = " ".join(f"({mark.value})" for mark in view.marks)
    return f"{view.state.value} {marks}".rstrip()


def _time(text: str) -> str:
    """Return a time without year and seconds: 12-03 08:15."""
    return text.replace("T", " ")[5:16]


def _duration(seconds: float) -> str:
    """Return a duration in two parts at most: 45s, 12m30s, 3h05m, 2d04h."""
    whole = round(seconds)
    if not whole:
        return f"{seconds:.1f}s" if seconds else "-"
    for unit, size, part, below in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "m", 60),
        ("m", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // below:02}{part}"
    return f"{whole}s"


def _efficiency(view: JobView) -> float:
    """Return the used part of the cores, in percent; -1: unknown."""
    able = view.run_s * view.cores
    return 100 * view.cpu_s / able if able and view.cpu_s else -1.0


def _size(megabytes: float) -> str:
    return f"{megabytes:.0f}MB" if megabytes else "-"


COLUMNS: Final[dict[str, Column]] = {
    "id": Column(lambda one: one.id, True),
    "name": Column(lambda one: one.name or "-"),
    "state": Column(_state),
    "site": Column(lambda one: one.site or "-"),
    "host": Column(lambda one: one.host or "-"),
    "pilot": Column(lambda one: one.pilot or "-"),
    "owner": Column(lambda one: one.owner),
    "group": Column(lambda one: one.group),
    "type": Column(lambda one: one.type),
    "submission": Column(lambda one: one.submission, True),
    "priority": Column(lambda one: one.priority, True),
    "tries": Column(lambda one: one.epoch, True),
    "code": Column(lambda one: one.exit_code, True, lambda one: one.exit_code or 0),
    "submitted": Column(lambda one: _time(one.submitted_at), True, lambda one: one.submitted_at),
    "started": Column(lambda one: _time(one.started_at), True, lambda one: one.started_at),
    "ended": Column(lambda one: _time(one.ended_at), True, lambda one: one.ended_at),
    "run": Column(lambda one: _duration(one.run_s), True, lambda one: one.run_s),
    "cpu": Column(lambda one: _duration(one.cpu_s), True, lambda one: one.cpu_s),
    "efficiency": Column(
        lambda one: f"{_efficiency(one):.0f}%" if _efficiency(one) >= 0 else "-", True, _efficiency
    ),
    "cores": Column(lambda one: one.cores or "-", True, lambda one: one.cores),
    "memory": Column(lambda one: _size(one.memory_peak_mb), True, lambda one: one.memory_peak_mb),
    "given": Column(lambda one: _size(one.memory_mb), True, lambda one: one.memory_mb),
    "reason": Column(lambda one: one.reason or one.status),
}
OF_STATUS: Final = "id,name,state,site,owner,tries,code,submitted,reason"
OF_HISTORY: Final = "id,name,state,site,run,cpu,efficiency,memory,reason"


@Parameter(name="*")
@dataclass(frozen=True)
class ListOptions:
    """Options of lists of jobs."""

    columns: str = option("", f"Columns with commas. Known: {', '.join(COLUMNS)}.")
    sort: str = option("", "Sort by this column; --sort=-run: the longest first.")
    limit: int = option(50, "Show at most this many jobs; 0: all.")
    after: int = option(0, "Only jobs with a greater id.")


LIST = ListOptions()


@dataclass(frozen=True)
class JobTable:
    """The chosen columns and the order of a list."""

    names: tuple[str, ...]
    sort: str  # a column; empty: by id
    is_reverse: bool

    @property
    def headers(self) -> list[str]:
        return [f"{name}#" if COLUMNS[name].is_number else name for name in self.names]

    def rows(self, views: Iterable[JobView]) -> list[list[object]]:
        return [[COLUMNS[name].shown(view) for name in self.names] for view in views]

    def in_order(self, views: Sequence[JobView]) -> list[JobView]:
        """Return the jobs in the order of a column; equal ones in the order of their ids."""
        column = COLUMNS[self.sort]
        return sorted(views, key=column.sorted_by or column.shown, reverse=self.is_reverse)


def job_table(options: ListOptions, columns: str) -> JobTable:
    """Return the table that the options choose. Raises UsageError for an unknown column."""
    names = tuple(name.strip() for name in (options.columns or columns).split(",") if name.strip())
    is_reverse = options.sort.startswith("-")
    sort = options.sort.removeprefix("-")
    for place, given in (("--columns", names), ("--sort", (sort,) if sort else ())):
        for name in given:
            if name not in COLUMNS:
                raise UsageError(f"{place}: {unknown(name, COLUMNS, what='column')}")
    return JobTable(names, sort, is_reverse)
