"""Reads and writes of the logs of pilots."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.ids import ID_MAX

from ..store.engine import takes_long, weighs
from ..store.session import Session, json_list

PARCELS_PRUNED_MAX: Final = 500  # parcels that one transaction deletes
PARCEL_BYTES: Final = 120  # of a parcel without its lines, with its index entries
JOB_BYTES: Final = 20  # of each job that a parcel is about


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class LogSource(_Record, frozen=True):
    """The source of a log. Host and batch id come from the pilot, the rest from its token."""

    pilot: str
    community: str
    site: str
    element: str
    host: str
    batch_id: str = ""


class LogLine(_Record, frozen=True, array_like=True):
    """One event of a pilot's log."""

    n: int  # increases from line to line of a pilot
    at: float  # wall clock of the central
    event: str
    text: str = ""
    warning: bool = False
    job: int = 0  # 0: about no job
    epoch: int = 0


class Parcel(_Record, frozen=True):
    """Lines that a pilot sent in one message."""

    parcel_id: int
    source: LogSource
    lines: tuple[LogLine, ...]


class LogSearch(_Record, frozen=True):
    """A search for parcels. Empty clauses match all parcels; all clauses must match."""

    community: str | None = None
    pilot: str = ""
    site: str = ""
    host: str = ""
    batch_id: str = ""
    job: int = 0  # parcels with a line about this job
    since: float = 0.0  # parcels that came at this time or later

    def fits(self, source: LogSource) -> bool:
        """Return whether a source matches the search."""
        return (
            self.community in (None, source.community)
            and self.pilot in ("", source.pilot)
            and self.site in ("", source.site)
            and self.host in ("", source.host)
            and self.batch_id in ("", source.batch_id)
        )


def jobs_of(lines: Sequence[LogLine]) -> list[int]:
    """Return the jobs that lines are about."""
    return sorted({line.job for line in lines if line.job})


OLDEST_AT_A_TIME: Final = 20  # parcels that one read returns to make room for a new one
ROWS_A_PARCEL: Final = 4
# The clauses by which a search finds its sources, the most selective first, with their statements.
_LEADS: Final = (
    ("pilot", "log_sources_of_pilot"),
    ("batch_id", "log_sources_of_batch"),
    ("host", "log_sources_of_host"),
    ("site", "log_sources_of_site"),
)

_lines: Final = msgspec.json.Decoder(tuple[LogLine, ...])


def _rows_of_parcel(*_: object, **__: object) -> int:
    return ROWS_A_PARCEL


def attempts_of_pilot(
    session: Session, pilot: str, attempt_ids: Sequence[int]
) -> Mapping[int, tuple[int, int]]:
    """Return (job, epoch) of those attempts that belonged to this pilot, by attempt id."""
    if not attempt_ids:
        return {}
    given = {"pilot": pilot, "ids": json_list(attempt_ids)}
    rows = session.rows("attempts_of_pilot", given)
    return {row[0]: (row[1], row[2]) for row in rows}


@weighs(_rows_of_parcel)
def keep_pilot_log(
    session: Session,
    source: LogSource,
    lines: Sequence[LogLine],
    *,
    at: float,
    bytes_max: int,
    packed: bytes = b"",
) -> int:
    """Store lines, ordered by number. Return the highest stored number of the pilot.

    Lines whose number is stored already are skipped. A pilot keeps about `bytes_max` at most: its
    oldest parcels are deleted. `packed` is the result of `pack` for the lines, which the caller
    computes to save time in the writer.
    """
    fields = msgspec.structs.asdict(source)
    session.run("insert_log_source", fields)
    source_id, last_n, taken = session.one("get_log_source", fields)
    new = [line for line in lines if line.n > last_n]
    if not new:
        return int(last_n)
    if not packed or len(new) < len(lines):
        packed = pack(new)
    jobs = jobs_of(new)
    size = PARCEL_BYTES + JOB_BYTES * len(jobs) + len(packed)
    _make_room(session, source_id, taken + size - bytes_max)
    parcel_id = session.reserve("parcel")
    session.run(
        "insert_log_parcel",
        {
            "parcel_id": parcel_id,
            "source_id": source_id,
            "community": source.community,
            "kept_at": at,
            "bytes": size,
            "jobs": json_list(jobs),
            "lines": packed,
        },
    )
    session.many("insert_log_job", [{"job_id": job, "parcel_id": parcel_id} for job in jobs])
    last_n = new[-1].n
    session.run("add_to_log_source", {"source_id": source_id, "last_n": last_n, "bytes": size})
    return last_n


@takes_long
def pilot_log(session: Session, search: LogSearch, *, after: int, limit: int) -> list[Parcel]:
    """Return parcels with an id greater than `after`, ordered by id."""
    return _found(session, search, "", after=after, before=ID_MAX, limit=limit)


@takes_long
def pilot_log_back(session: Session, search: LogSearch, *, before: int, limit: int) -> list[Parcel]:
    """Return parcels with an id less than `before`, the newest first."""
    found = _found(session, search, "_back", after=0, before=before, limit=limit)
    return found[::-1]


def pilot_log_end(session: Session) -> int:
    """Return the highest parcel id so far, even if that parcel is deleted."""
    return int((session.one("log_end", {}))[0])


def pilot_log_bytes(session: Session) -> int:
    """Return the size of all parcels in bytes."""
    return int((session.one("log_bytes", {}))[0])


def prune_pilot_log(session: Session, before: float, *, limit: int) -> int:
    """Delete some of the oldest parcels that came before a time. Return how many.

    The source of a deleted pilot is deleted with its last parcel.
    """
    old = session.rows("oldest_parcels", {"before": before, "limit": limit})
    _remove(session, old)
    session.run("remove_empty_log_sources", {"limit": limit})
    return len(old)


def _found(
    session: Session, search: LogSearch, direction: str, *, after: int, before: int, limit: int
) -> list[Parcel]:
    """Return parcels ordered by id. With the direction `_back`, return the newest ones."""
    if search.since:
        first = session.one("first_log_since", {"since": search.since})
        if first is None:
            return []
        after = max(after, first[0] - 1)
    clauses: dict[str, object] = msgspec.structs.asdict(search)
    led = "job" if search.job else "all" if search.community is None else "community"
    for by, leads in _LEADS:
        if led in ("all", "community") and clauses[by]:
            led = "sources"
            rows = session.rows(leads, clauses)
            clauses["sources"] = json_list([row[0] for row in rows])
    span = {"after": after, "before": before, "limit": limit}
    rows = session.rows(f"log_of_{led}{direction}", {**clauses, **span})
    ids = json_list([row[0] for row in rows])
    return [_parcel(row) for row in session.rows("log_parcels_given", {"ids": ids})]


def _make_room(session: Session, source_id: int, wanted: int) -> None:
    """Delete the oldest parcels of a pilot until `wanted` bytes are free or none is left."""
    while wanted > 0:
        fields = {"source_id": source_id, "limit": OLDEST_AT_A_TIME}
        oldest = session.rows("oldest_parcels_of_source", fields)
        if not oldest:
            return
        gone: list[Any] = []
        for row in oldest:
            if wanted > 0:
                gone.append(row)
                wanted -= row[2]
        _remove(session, gone)


def _remove(session: Session, rows: Sequence[Any]) -> None:
    """Delete parcels, given as rows (id, source, bytes)."""
    given = {"parcels": json_list([row[0] for row in rows])}
    session.run("remove_jobs_of_parcels", given)
    session.run("remove_parcels", given)
    less: Counter[int] = Counter()
    for _, source_id, size in rows:
        less[source_id] += size
    session.many(
        "lessen_log_source",
        [{"source_id": source_id, "bytes": size} for source_id, size in less.items()],
    )


def pack(lines: Sequence[LogLine]) -> bytes:
    """Return lines as they are stored: JSON compressed with zlib."""
    return zlib.compress(msgspec.json.encode(lines))


def _parcel(row: Any) -> Parcel:
    return Parcel(
        parcel_id=row[0],
        source=LogSource(
            pilot=row[1],
            community=row[2],
            site=row[3],
            element=row[4],
            host=row[5],
            batch_id=row[6],
        ),
        lines=_lines.decode(zlib.decompress(row[7])),
    )
