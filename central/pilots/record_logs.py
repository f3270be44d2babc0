"""Logs of pilots."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.ids import ID_MAX

from ..store.engine import takes_long, weighs
from ..store.session import Session, json_list

PARCELS_PRUNED_MAX: Final = 500  # that go in one transaction
PARCEL_BYTES: Final = 120  # what a parcel takes beside its lines, its place in indexes included
JOB_BYTES: Final = 20  # what each job takes that it is about


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class LogSource(_Record, frozen=True):
    """Who says something. Host and batch id are the pilot's word, the rest is its token's."""

    pilot: str
    community: str
    site: str
    element: str
    host: str
    batch_id: str = ""


class LogLine(_Record, frozen=True, array_like=True):
    """One event of a pilot's log."""

    n: int  # grows from line to line of a pilot
    at: float  # wall clock of the central
    event: str
    text: str = ""
    warning: bool = False
    job: int = 0  # 0: about none
    epoch: int = 0


class Parcel(_Record, frozen=True):
    """Lines that came together."""

    parcel_id: int
    source: LogSource
    lines: tuple[LogLine, ...]


class LogSearch(_Record, frozen=True):
    """Which parcels. Empty clauses hold for all; of several all must hold."""

    community: str | None = None
    pilot: str = ""
    site: str = ""
    host: str = ""
    batch_id: str = ""
    job: int = 0  # parcels in which a line is about it
    since: float = 0.0  # parcels that came then or later

    def fits(self, source: LogSource) -> bool:
        """Whether a source is one of those that are looked for."""
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


OLDEST_AT_A_TIME: Final = 20  # parcels that make room for one
ROWS_A_PARCEL: Final = 4
# What a search is led by, the rarest first, and the statement that finds such sources.
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
    """Return (job, epoch) of those of the attempts that were this pilot's."""
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
    """Keep lines, in order of their numbers; return the highest number that is kept.

    Lines whose numbers are not above those of before are left out: they came already. Of one
    pilot at most about `bytes_max` stay: the oldest parcels make room. `packed` is what `pack`
    gives for the lines: the writer has no time for that.
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
    """Return parcels with an id greater than `after`, in order of the id."""
    return _found(session, search, "", after=after, before=ID_MAX, limit=limit)


@takes_long
def pilot_log_back(session: Session, search: LogSearch, *, before: int, limit: int) -> list[Parcel]:
    """Return parcels with an id less than `before`, the newest first."""
    found = _found(session, search, "_back", after=0, before=before, limit=limit)
    return found[::-1]


def pilot_log_end(session: Session) -> int:
    """Return the highest id that a parcel has had."""
    return int((session.one("log_end", {}))[0])


def pilot_log_bytes(session: Session) -> int:
    """Return what all parcels take."""
    return int((session.one("log_bytes", {}))[0])


def prune_pilot_log(session: Session, before: float, *, limit: int) -> int:
    """Remove some of the oldest parcels that came before; return how many.

    With the last one of a pilot that is gone goes what is known of its source.
    """
    old = session.rows("oldest_parcels", {"before": before, "limit": limit})
    _remove(session, old)
    session.run("remove_empty_log_sources", {"limit": limit})
    return len(old)


def _found(
    session: Session, search: LogSearch, direction: str, *, after: int, before: int, limit: int
) -> list[Parcel]:
    """Return parcels in order of the id; with `_back` as direction the newest of them."""
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
    """Remove the oldest parcels of a pilot until so many bytes are free, or none is left."""
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
    """Remove parcels, given as (id, source, bytes)."""
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
    """Return lines as they are kept: JSON, compressed by zlib."""
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
