"""Logs of pilots: a part of the store."""

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from pilotage.proto.ids import ID_MAX

from ..pilot_logs import JOB_BYTES, PARCEL_BYTES, LogLine, LogSearch, LogSource, Parcel, jobs_of
from .opened import Opened
from .session import Session, json_list

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


class PilotLogsVerbs(Opened):
    """The verbs of `store.pilot_logs`."""

    async def attempts_of_pilot(
        self, pilot: str, attempt_ids: Sequence[int]
    ) -> Mapping[int, tuple[int, int]]:
        if not attempt_ids:
            return {}
        given = {"pilot": pilot, "ids": json_list(attempt_ids)}
        rows = await self._reader.rows("attempts_of_pilot", given)
        return {row[0]: (row[1], row[2]) for row in rows}

    async def keep_pilot_log(
        self, source: LogSource, lines: Sequence[LogLine], *, at: float, bytes_max: int
    ) -> int:
        keep = partial(
            _keep, source=source, lines=lines, packed=_pack(lines), at=at, bytes_max=bytes_max
        )
        return await self._writer.run(keep, rows=ROWS_A_PARCEL)

    async def pilot_log(self, search: LogSearch, *, after: int, limit: int) -> list[Parcel]:
        return await self._found(search, "", after=after, before=ID_MAX, limit=limit)

    async def pilot_log_back(self, search: LogSearch, *, before: int, limit: int) -> list[Parcel]:
        found = await self._found(search, "_back", after=0, before=before, limit=limit)
        return found[::-1]

    async def pilot_log_end(self) -> int:
        return int((await self._reader.one("log_end", {}))[0])

    async def pilot_log_bytes(self) -> int:
        return int((await self._reader.one("log_bytes", {}))[0])

    async def prune_pilot_log(self, before: float, *, limit: int) -> int:
        return await self._writer.run(partial(_prune, before=before, limit=limit), rows=limit)

    async def _found(
        self, search: LogSearch, direction: str, *, after: int, before: int, limit: int
    ) -> list[Parcel]:
        """Return parcels in order of the id; with `_back` as direction the newest of them."""
        if search.since:
            first = await self._reader.one("first_log_since", {"since": search.since})
            if first is None:
                return []
            after = max(after, first[0] - 1)
        clauses: dict[str, object] = msgspec.structs.asdict(search)
        led = "job" if search.job else "all" if search.community is None else "community"
        for by, leads in _LEADS:
            if led in ("all", "community") and clauses[by]:
                led = "sources"
                rows = await self._reader.rows(leads, clauses)
                clauses["sources"] = json_list([row[0] for row in rows])
        span = {"after": after, "before": before, "limit": limit}
        rows = await self._reader.rows(f"log_of_{led}{direction}", {**clauses, **span})
        ids = json_list([row[0] for row in rows])
        return [_parcel(row) for row in await self._reader.rows("log_parcels_given", {"ids": ids})]


# -- on the writer's session --------------------------------------------------------------------


def _keep(
    session: Session,
    source: LogSource,
    lines: Sequence[LogLine],
    packed: bytes,
    at: float,
    bytes_max: int,
) -> int:
    fields = msgspec.structs.asdict(source)
    session.run("insert_log_source", fields)
    source_id, last_n, taken = session.one("get_log_source", fields)
    new = [line for line in lines if line.n > last_n]
    if not new:
        return int(last_n)
    if len(new) < len(lines):
        packed = _pack(new)
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


def _prune(session: Session, before: float, limit: int) -> int:
    old = session.rows("oldest_parcels", {"before": before, "limit": limit})
    _remove(session, old)
    session.run("remove_empty_log_sources", {"limit": limit})
    return len(old)


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


def _pack(lines: Sequence[LogLine]) -> bytes:
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
