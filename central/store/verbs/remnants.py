"""Remnants and sweeps: a part of the store."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from pilotage.proto.catalogue import Did, NotRight, RemnantState
from pilotage.proto.job_states import JobState

from ..catalogue import NewReplica
from ..data_jobs import folder_of
from ..records import End, NewJob, Owner, Swept
from ..remnants import (
    HELD_S,
    STORING_MAX,
    SWEEP_MAX,
    RemnantCount,
    RemnantRow,
    SweepRow,
    above,
    sweep_of_key,
)
from ..rules import pause_s
from .opened import Opened
from .session import Session, json_list

NOT_SAID = "its pilot has not said what became of it"


class RemnantVerbs(Opened):
    """The verbs of `store.remnants`."""

    @property
    def generation(self) -> str:
        raise NotImplementedError

    async def storing_after(self, after: int, *, limit: int) -> tuple[list[int], int | None]:
        rows = await self._reader.rows("storing_after", {"after": after, "limit": limit})
        ended = [row[0] for row in rows if row[1]]
        return ended, rows[-1][0] if len(rows) == limit else None

    async def look_at_storing(self, job_ids: Sequence[int]) -> int:
        if len(job_ids) > STORING_MAX:
            raise ValueError(f"{len(job_ids)} jobs are too many at a time: others would wait")
        look = partial(look_at_storing, job_ids=job_ids, generation=self.generation)
        return await self._writer.run(look, rows=2 * len(job_ids))

    async def is_remnant_due(self, storage: str, before: float) -> bool:
        given = {"storage": storage, "before": before}
        return await self._reader.one("is_remnant_due", given) is not None

    async def order_sweeps(
        self, storage: str, before: float, *, at: float, limit: int, most: int
    ) -> list[SweepRow]:
        if limit > SWEEP_MAX:
            raise ValueError(f"{limit} remnants are too many for a sweep: others would wait")
        order = partial(_order, storage=storage, before=before, at=at, limit=limit, most=most)
        made = set(await self._writer.run(order, rows=2 * limit))
        return [row for row in await self.sweeps() if row.sweep_id in made] if made else []

    async def sweeps(self) -> list[SweepRow]:
        return [_sweep(row) for row in await self._reader.rows("sweeps", {})]

    async def sweep_job(self, sweep_id: int, job_id: int) -> None:
        given = {"sweep_id": sweep_id, "job_id": job_id}
        await self._writer.run(lambda session: session.run("set_sweep_job", given))

    async def remnants_of_job(self, job_id: int) -> list[RemnantRow]:
        found = await self._reader.one("key_of_job", {"job_id": job_id})
        sweep_id = sweep_of_key(found[0]) if found is not None else None
        if sweep_id is None:
            return []
        rows = await self._reader.rows("remnants_of_sweep", {"sweep_id": sweep_id})
        return [_remnant(row) for row in rows]

    async def end_sweeps(
        self, ends: Sequence[tuple[int, str]], *, at: float, after_s: float
    ) -> None:
        end = partial(_end_all, ends=ends, at=at, after_s=after_s)
        await self._writer.run(end, rows=SWEEP_MAX * len(ends))

    async def remnants(
        self,
        *,
        community: str | None = None,
        storage: str | None = None,
        before: float,
        after: int,
        limit: int,
    ) -> list[RemnantRow]:
        given: dict[str, object] = {
            "community": community,
            "storage": storage,
            "before": before,
            "after": after,
            "limit": limit,
        }
        return [_remnant(row) for row in await self._reader.rows("remnants_after", given)]

    async def names_of_remnants(self, rows: Sequence[RemnantRow], before: float) -> dict[int, str]:
        return await self._moments.run(partial(_names, rows=rows, before=before))

    async def remnants_of_files(self, file_ids: Sequence[int]) -> list[RemnantRow]:
        rows = await self._reader.rows("remnants_of_files", {"ids": json_list(file_ids)})
        return [_remnant(row) for row in rows]

    async def remnant_counts(self) -> list[RemnantCount]:
        return [_count(row) for row in await self._reader.rows("counts_of_remnants", {})]

    async def forget_gone(self, before: float, *, limit: int) -> int:
        given = {"before": before, "limit": limit}
        return await self._writer.run(
            lambda session: session.run("forget_gone", given).rowcount, rows=limit
        )


# -- how they come ------------------------------------------------------------------------------


class Counting:
    """Adds up what changes of counts, to write each once."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(
            lambda: dict.fromkeys(("waiting", "waiting_bytes", "failing", "gone", "gone_bytes"), 0)
        )

    def add(self, storage: str, community: str, **more: int) -> None:
        sums = self._sums[storage, community]
        for name, count in more.items():
            sums[name] += count

    def less(self, row: RemnantRow) -> None:
        """A remnant is none any more."""
        size, failing = -row.bytes, -int(row.failures > 0)
        self.add(row.storage, row.community, waiting=-1, waiting_bytes=size, failing=failing)

    def write(self, session: Session) -> None:
        for storage, community in sorted(self._sums):  # in one order: nobody waits in a circle
            sums = self._sums[storage, community]
            if any(sums.values()):
                named = {"storage": storage, "community": community}
                session.run("add_to_remnants", {**named, **sums})


def keep_removed(
    session: Session,
    community: str,
    removed: Sequence[tuple[int, Did, int, int, Sequence[NewReplica]]],
    at: float,
) -> None:
    """Note the copies of files that were removed now: (file, name, bytes, owner, copies)."""
    rows: list[dict[str, object]] = [
        {
            "storage": copy.storage,
            "path": copy.path,
            "community": community,
            "owner_id": owner_id,
            "group": did.scope.partition(".")[0],
            "file_id": file_id,
            "bytes": size,
            "since": at,
        }
        for file_id, did, size, owner_id, copies in removed
        for copy in copies
    ]
    _insert(session, rows)


def keep_storing(session: Session, first: int, jobs: Sequence[NewJob]) -> None:
    """Note where jobs with consecutive ids store."""
    rows = [(job_id, json_list(job.stores)) for job_id, job in enumerate(jobs, first) if job.stores]
    if rows:
        session.many("insert_storing", rows)


def look_at_storing(session: Session, job_ids: Sequence[int], generation: str) -> int:
    """Note the folders of attempts that do not count. See `store.remnants`."""
    given = {"ids": json_list(job_ids)}
    rows: list[dict[str, object]] = []
    for row in session.rows("storing_of", given):
        job_id, storages, seen, state, epoch, ended_at, community, group, owner_id = row
        counts = epoch if JobState(state) is JobState.DONE else 0
        for one in range(seen + 1, epoch + 1):
            if one == counts:
                continue
            of_attempt: list[dict[str, object]] = [
                {
                    "storage": storage,
                    "path": folder_of(community, generation, job_id, one),
                    "community": community,
                    "owner_id": owner_id,
                    "group": group,
                    "file_id": None,
                    "bytes": 0,
                    "since": ended_at,
                }
                for storage in msgspec.json.decode(storages, type=list[str])
            ]
            rows += of_attempt
        session.run("storing_seen", {"job_id": job_id, "epoch": epoch})
    _insert(session, rows)
    session.run("forget_storing", given)
    return len(rows)


def _insert(session: Session, rows: Sequence[dict[str, object]]) -> None:
    if not rows:
        return
    counting = Counting()
    first = session.reserve("remnant", len(rows))
    for row in rows:
        size = int(str(row["bytes"]))
        counting.add(str(row["storage"]), str(row["community"]), waiting=1, waiting_bytes=size)
    session.many("insert_remnant", [{"remnant_id": n, **row} for n, row in enumerate(rows, first)])
    counting.write(session)


def drop_waiting(session: Session, file_id: int, storage: str | None = None) -> None:
    """A file is there again, or a copy is gone by somebody's word: its bytes are left alone."""
    counting = Counting()
    for row in session.rows("waiting_remnants_of_file", {"file_id": file_id}):
        remnant = _remnant(row)
        if storage in (None, remnant.storage):
            session.run("remove_remnant", (remnant.remnant_id,))
            counting.less(remnant)
    counting.write(session)


# -- what may be named --------------------------------------------------------------------------


class Barred:
    """Which paths nothing may name, of those that somebody wants to."""

    def __init__(self, session: Session, copies: Iterable[NewReplica]) -> None:
        """Look at the paths; as long as this transaction lives none of them is marked."""
        paths: defaultdict[str, set[str]] = defaultdict(set)
        for copy in copies:
            paths[copy.storage].update(above(copy.path))
        self._found: dict[tuple[str, str], RemnantState] = {}
        if not paths:
            return
        session.names_paths()
        for storage, several in paths.items():
            if session.one("is_anything_marked", {"storage": storage}) is None:
                continue
            given = {"storage": storage, "paths": json_list(sorted(several))}
            for path, state in session.rows("marked_paths", given):
                self._found[storage, path] = RemnantState(state)

    def check(self, copy: NewReplica, field: str) -> None:
        """Raise NotRight where the bytes there go, or went a while ago."""
        if not self._found:
            return
        for path in above(copy.path):
            state = self._found.get((copy.storage, path))
            if state is not None:
                is_gone = state is RemnantState.GONE
                what = "were removed not long ago" if is_gone else "are being removed"
                right = f"another path: the bytes at {path!r} on {copy.storage} {what}"
                raise NotRight(field, copy.path, right)


# -- how they go --------------------------------------------------------------------------------


def _order(
    session: Session, *, storage: str, before: float, at: float, limit: int, most: int
) -> list[int]:
    """Mark what is due and unnamed; return the sweeps that have it."""
    session.marks_paths()
    given = {"storage": storage, "before": before, "limit": limit}
    sweeps: dict[tuple[str, int, str], int] = {}
    for row in [_remnant(one) for one in session.rows("due_remnants", given)]:
        named = _named(session, row, before)
        if named:
            held = {"remnant_id": row.remnant_id, "due_from": before + HELD_S}
            session.run("hold_remnant", {**held, "why": f"{named} lies there"})
            continue
        whose = (row.community, row.owner_id, row.group)
        if whose not in sweeps:
            if len(sweeps) == most:
                continue
            sweeps[whose] = session.reserve("sweep")
            session.run(
                "insert_sweep",
                {
                    "sweep_id": sweeps[whose],
                    "storage": storage,
                    "community": row.community,
                    "owner_id": row.owner_id,
                    "group": row.group,
                    "made_at": at,
                },
            )
        session.run("mark_remnant", {"remnant_id": row.remnant_id, "sweep_id": sweeps[whose]})
    return list(sweeps.values())


def _named(session: Session, row: RemnantRow, before: float) -> str:
    """Return the name of a file that lies at a remnant's path or below; empty: none does."""
    given = {"storage": row.storage, "path": row.path, "before": before}
    found = session.one("names_of_path", given)
    return "" if found is None else f"{found[0]}:{found[1]}"


def _names(session: Session, *, rows: Sequence[RemnantRow], before: float) -> dict[int, str]:
    found = {row.remnant_id: _named(session, row, before) for row in rows}
    return {remnant_id: name for remnant_id, name in found.items() if name}


def sweep_with_result(session: Session, end: End, write: Callable[[End], bool]) -> bool:
    """Write a result with what became of its remnants; return whether it won."""
    assert end.swept is not None
    if not write(end):
        return False
    found = session.one("key_of_job", {"job_id": end.job_id})
    sweep_id = sweep_of_key(found[0]) if found is not None else None
    if sweep_id is not None:
        _end(session, sweep_id, end.swept, at=end.at)
    return True


def _end_all(
    session: Session, *, ends: Sequence[tuple[int, str]], at: float, after_s: float
) -> None:
    for sweep_id, why in ends:
        _end(session, sweep_id, Swept(gone=(), after_s=after_s), at=at, why=why)


def _end(session: Session, sweep_id: int, swept: Swept, *, at: float, why: str = NOT_SAID) -> None:
    """End a sweep: forget what is gone, set aside for a while what is not."""
    gone, failed = set(swept.gone), dict(swept.failed)
    counting = Counting()
    files: list[int] = []
    for row in map(_remnant, session.rows("remnants_of_sweep", {"sweep_id": sweep_id})):
        given = {"remnant_id": row.remnant_id, "sweep_id": sweep_id}
        if row.remnant_id in gone:
            session.run("remnant_gone", {**given, "at": at})
            if row.file_id is not None:
                copy = {"file_id": row.file_id, "storage": row.storage, "path": row.path}
                session.run("forget_copy", copy)
                files.append(row.file_id)
            counting.less(row)
            counting.add(row.storage, row.community, gone=1, gone_bytes=row.bytes)
            continue
        due_from = at + pause_s(row.failures + 1) - swept.after_s
        said = failed.get(row.remnant_id, why)[:500]
        session.run("remnant_failed", {**given, "due_from": due_from, "why": said})
        if not row.failures:
            counting.add(row.storage, row.community, failing=1)
    counting.write(session)
    session.run("remove_sweep", {"sweep_id": sweep_id})
    _lose(session, files)


def _lose(session: Session, file_ids: Sequence[int]) -> None:
    """Settle files that somebody has registered again elsewhere while a copy of theirs went."""
    if not file_ids:
        return
    for (file_id,) in session.rows("lost_now", {"ids": json_list(file_ids)}):
        session.run("lose_file", {"file_id": file_id, "seq": session.reserve("file_change")})


# -- rows ---------------------------------------------------------------------------------------


def _remnant(row: Any) -> RemnantRow:
    return RemnantRow(
        remnant_id=row[0],
        storage=row[1],
        path=row[2],
        community=row[3],
        owner_id=row[4],
        group=row[5],
        file_id=row[6],
        bytes=row[7],
        since=row[8],
        state=RemnantState(row[9]),
        failures=row[10],
        why=row[11],
        sweep_id=row[12],
        gone_at=row[13],
    )


def _sweep(row: Any) -> SweepRow:
    return SweepRow(
        sweep_id=row[0],
        storage=row[1],
        community=row[2],
        owner=Owner(owner_id=row[3], community=row[2], issuer=row[4], subject=row[5], name=row[6]),
        group=row[7],
        made_at=row[8],
        job_id=row[9],
    )


def _count(row: Any) -> RemnantCount:
    return RemnantCount(
        storage=row[0],
        community=row[1],
        waiting=row[2],
        waiting_bytes=row[3],
        failing=row[4],
        gone=row[5],
        gone_bytes=row[6],
        sweeping=row[7],
    )
