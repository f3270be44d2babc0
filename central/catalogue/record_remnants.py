"""Remnants, and the sweeps that remove them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import msgspec

from pilotage.proto.catalogue import (
    BYTES_MAX,
    PUT_FOLDER,
    BadCatalogueField,
    Did,
    RemnantState,
)
from pilotage.proto.job_states import JobState

from ..identity.record_types import Owner
from ..store.engine import takes_long, weighs
from ..store.session import Session, json_list
from .publications import folder_of
from .record_types import NewReplica
from .remnants import (
    AWAY_S,
    HELD_S,
    LOOKED_MAX,
    NAMES_MAX,
    STORING_MAX,
    SWEEP_MAX,
    UNREGISTERED,
    RemnantCount,
    RemnantPlace,
    RemnantRow,
    SweepResult,
    SweepRow,
    above,
    held_for,
    pause_s,
    sweep_of_key,
)

NOT_SAID = "its pilot did not report the outcome"


def storing_after(session: Session, after: int, *, limit: int) -> tuple[list[int], int | None]:
    """Look at a page of jobs that may have left bytes, with ids greater than `after`.

    Return the jobs that have ended or are deleted, and the id to continue after (None: the end).
    """
    rows = session.rows("storing_after", {"after": after, "limit": limit})
    ended = [row[0] for row in rows if row[1]]
    return ended, rows[-1][0] if len(rows) == limit else None


def is_remnant_due(session: Session, storage: str, before: float) -> bool:
    """Return whether `order_sweeps` would find a remnant."""
    given = {"storage": storage, "before": before}
    return session.one("is_remnant_due", given) is not None


@weighs(2)
def order_sweeps(
    session: Session,
    storage: str,
    before: float,
    *,
    at: float,
    limit: int,
    most: int,
    any_path: bool = False,
    kept: str = "",
) -> list[SweepRow]:
    """Assign remnants of a storage that were due at `before` to new sweeps, oldest first.

    Some remnants are held for HELD_S instead: those whose path, or a path below it, belongs to a
    file on any storage, and those for which `held_for` gives a reason.
    `limit` is at most SWEEP_MAX. Each sweep has one owner and group. At most `most` sweeps are
    made.
    """
    if limit > SWEEP_MAX:
        raise ValueError(f"{limit} remnants are too many for one sweep; at most {SWEEP_MAX}")
    session.marks_paths()
    given = {"storage": storage, "before": before, "limit": limit}
    sweeps: dict[tuple[str, int, str], int] = {}
    names = _Names(session, before)
    for row in [_remnant(one) for one in session.rows("due_remnants", given)]:
        if names.looked >= LOOKED_MAX:  # end the transaction soon; the rest stays due
            break
        why = held_for(row, any_path=any_path, kept=kept) or _lies(names.of(row))
        if why:
            held = {"remnant_id": row.remnant_id, "due_from": before + HELD_S}
            session.run("hold_remnant", {**held, "why": why})
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
    made = set(sweeps.values())
    return [row for row in open_sweeps(session) if row.sweep_id in made] if made else []


def storages_of_copies(session: Session) -> list[str]:
    """Return the storages on which the catalogue has copies."""
    return [row[0] for row in session.rows("storages_of_copies", {})]


def open_sweeps(session: Session) -> list[SweepRow]:
    """Return the sweeps that have not ended."""
    return [_sweep(row) for row in session.rows("sweeps", {})]


def sweep_job(session: Session, sweep_id: int, job_id: int) -> None:
    """Note which job carries out a sweep."""
    given = {"sweep_id": sweep_id, "job_id": job_id}
    session.run("set_sweep_job", given)


def remnants_of_job(session: Session, job_id: int) -> list[RemnantRow]:
    """Return the remnants that a sweep job has to remove; its submission's key names the sweep.

    Remnants with the fewest failures come first, so that permanent failures delay no others.
    """
    found = session.one("key_of_job", {"job_id": job_id})
    sweep_id = sweep_of_key(found[0]) if found is not None else None
    return [] if sweep_id is None else remnants_of_open_sweep(session, sweep_id)


def remnants_of_open_sweep(session: Session, sweep_id: int) -> list[RemnantRow]:
    """Return the remnants that a sweep has to remove; those with the fewest failures first."""
    rows = session.rows("remnants_of_sweep", {"sweep_id": sweep_id})
    return [_remnant(row) for row in rows]


@weighs(SWEEP_MAX)
def end_sweeps(
    session: Session, ends: Sequence[tuple[int, str]], *, at: float, after_s: float
) -> list[int]:
    """End sweeps given as (id, why they failed). Return the ids of those that were still open.

    A sweep may have ended already with the result of its job. Remnants that it did not remove
    are due again after their pause. `after_s` is the time that remnants wait.
    """
    swept = SweepResult(gone=(), after_s=after_s)
    return [
        sweep_id for sweep_id, why in ends if end_marked(session, sweep_id, swept, at=at, why=why)
    ]


def remnants(
    session: Session,
    *,
    community: str | None = None,
    storage: str | None = None,
    before: float,
    after: int,
    limit: int,
) -> list[RemnantRow]:
    """Return a page of remnants that are not gone and are due at `before`, in order of id."""
    given: dict[str, object] = {
        "community": community,
        "storage": storage,
        "before": before,
        "after": after,
        "limit": limit,
    }
    return [_remnant(row) for row in session.rows("remnants_after", given)]


@takes_long
def names_of_remnants(
    session: Session, rows: Sequence[RemnantRow], before: float
) -> dict[int, str]:
    """Return, by remnant id, the name of a file at a remnant's path or below it (empty: no file).

    The first remnant is always checked. Once LOOKED_MAX rows of files were read, the others are
    omitted.
    """
    names = _Names(session, before)
    found: dict[int, str] = {}
    for row in rows:
        if names.looked >= LOOKED_MAX:  # other reads wait for this thread
            break
        found[row.remnant_id] = names.of(row)
    return found


def remnants_of_files(session: Session, file_ids: Sequence[int]) -> list[RemnantRow]:
    """Return the remnants of these files in order of id."""
    rows = session.rows("remnants_of_files", {"ids": json_list(file_ids)})
    return [_remnant(row) for row in rows]


def remnant_counts(session: Session) -> list[RemnantCount]:
    """Return the counts of remnants by storage and community."""
    return [_count(row) for row in session.rows("counts_of_remnants", {})]


def forget_gone(session: Session, before: float, *, limit: int) -> int:
    """Delete up to `limit` records of remnants that were gone at `before`. Return their number."""
    given = {"before": before, "limit": limit}
    return session.run("forget_gone", given).rowcount


# -- how remnants arise -------------------------------------------------------------------------


class CountChanges:
    """Sums of changes of the counters, to be written once, at the end of a transaction.

    A transaction that has locked a counter therefore never waits for the files of another one.
    """

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(
            lambda: dict.fromkeys(("waiting", "waiting_bytes", "failing", "gone", "gone_bytes"), 0)
        )

    def add(self, storage: str, community: str, **more: int) -> None:
        sums = self._sums[storage, community]
        for name, count in more.items():
            sums[name] += count

    def less(self, row: RemnantRow) -> None:
        """Count a remnant as removed from the waiting ones."""
        size, failing = -row.bytes, -int(row.failures > 0)
        self.add(row.storage, row.community, waiting=-1, waiting_bytes=size, failing=failing)

    def write(self, session: Session) -> None:
        for storage, community in sorted(self._sums):  # always in one order: no deadlocks
            sums = self._sums[storage, community]
            if any(sums.values()):
                for name in ("waiting_bytes", "gone_bytes"):  # users may claim any size of a file
                    sums[name] = max(-BYTES_MAX, min(sums[name], BYTES_MAX))
                named = {"storage": storage, "community": community}
                session.run("add_to_remnants", {**named, **sums})


def keep_removed(
    session: Session,
    community: str,
    removed: Sequence[tuple[int, Did, int, int, Sequence[NewReplica]]],
    at: float,
    counting: CountChanges,
) -> None:
    """Note the copies of files that were just removed: (file, name, bytes, owner, copies)."""
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
    _insert(session, rows, counting)


@weighs(2)
def look_at_storing(session: Session, job_ids: Sequence[int]) -> int:
    """Note the folders that ended jobs have left: one for each attempt that does not count.

    The caller makes sure that no result of these attempts can be accepted any more. Return the
    number of new remnants. Raises ValueError for more than STORING_MAX jobs.
    """
    if len(job_ids) > STORING_MAX:
        raise ValueError(f"{len(job_ids)} jobs are too many for one call; at most {STORING_MAX}")
    given = {"ids": json_list(job_ids)}
    rows: list[dict[str, object]] = []
    looked_at: list[dict[str, object]] = []
    earlier = session.rows("earlier_generations", {})
    counted = {(row[0], row[1]) for row in session.rows("counted_epochs", given)}
    for row in session.rows("storing_of", given):
        job_id, storages, seen, state, epoch, ended_at, community, group, owner_id = row
        if JobState(state) is JobState.DONE:
            counted.add((job_id, epoch))
        # After a restore, an attempt may have run under this generation or under an earlier one.
        names = [session.generation, *(name for name, below in earlier if job_id < below)]
        epochs = [one for one in range(seen + 1, epoch + 1) if (job_id, one) not in counted]
        for one, name in product(epochs, names):
            of_attempt: list[dict[str, object]] = [
                {
                    "storage": storage,
                    "path": folder_of(community, name, job_id, one),
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
        looked_at.append({"job_id": job_id, "epoch": epoch})
    session.many("storing_seen", looked_at)
    counting = CountChanges()
    _insert(session, rows, counting)
    counting.write(session)
    session.run("forget_storing", given)
    return len(rows)


def add_folder(session: Session, place: RemnantPlace, *, at: float) -> None:
    """Note a folder without entries of the catalogue, in which nobody stores any more."""
    _add(session, [place], None, at)


def add_leftovers(session: Session, places: Sequence[RemnantPlace], *, at: float) -> None:
    """Note files that failed uploads may have left. Their sizes are unknown."""
    _add(session, places, UNREGISTERED, at)


def begin_uploads(session: Session, places: Sequence[RemnantPlace], *, at: float) -> None:
    """Note files that a person is about to upload to one storage.

    `end_uploads` drops those that are registered. The others are removed as those of failed ones.
    """
    known = {one.path for one in _uploads(session, places[0].storage, [one.path for one in places])}
    add_leftovers(session, [one for one in places if one.path not in known], at=at)


def end_uploads(session: Session, copies: Iterable[NewReplica], counting: CountChanges) -> None:
    """Drop what `begin_uploads` has noted about copies that a file names now."""
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for copy in copies:
        if copy.path.split("/")[1:2] == [PUT_FOLDER]:
            paths[copy.storage].append(copy.path)
    for storage, some in sorted(paths.items()):
        for remnant in _uploads(session, storage, some):
            if session.run("remove_remnant", (remnant.remnant_id,)).rowcount:
                counting.less(remnant)


def _uploads(session: Session, storage: str, paths: Sequence[str]) -> list[RemnantRow]:
    given = {"storage": storage, "paths": json_list(paths)}
    return [_remnant(row) for row in session.rows("uploads_at", given)]


def _add(session: Session, places: Sequence[RemnantPlace], file_id: int | None, at: float) -> None:
    counting = CountChanges()
    rows: list[dict[str, object]] = [
        {**msgspec.structs.asdict(one), "file_id": file_id, "bytes": 0, "since": at}
        for one in places
    ]
    _insert(session, rows, counting)
    counting.write(session)


def _insert(session: Session, rows: Sequence[dict[str, object]], counting: CountChanges) -> None:
    if not rows:
        return
    first = session.reserve("remnant", len(rows))
    for row in rows:
        size = int(str(row["bytes"]))
        counting.add(str(row["storage"]), str(row["community"]), waiting=1, waiting_bytes=size)
    session.many("insert_remnant", [{"remnant_id": n, **row} for n, row in enumerate(rows, first)])


def drop_waiting(
    session: Session, file_id: int, copies: Iterable[NewReplica], counting: CountChanges
) -> None:
    """Drop waiting remnants that are copies of the file again; its other remnants stay."""
    places = {(copy.storage, copy.path) for copy in copies}
    for remnant in _of_file(session, file_id):
        place = (remnant.storage, remnant.path)
        if remnant.state is not RemnantState.WAITING or place not in places:
            continue
        if session.run("remove_remnant", (remnant.remnant_id,)).rowcount:
            counting.less(remnant)


def give_up(
    session: Session,
    file_id: int,
    storage: str,
    path: str | None,
    at: float,
    counting: CountChanges,
) -> bool:
    """Drop the remnants of a copy that somebody declared gone. Return whether there were any.

    Without a path, that means all remnants of the file on the storage. If a sweep has tried to
    remove a remnant, its path stays barred for a while, as after a removal. Remnants of an open
    sweep are left to it.
    """
    found = False
    for remnant in _of_file(session, file_id):
        if remnant.storage != storage or path not in (None, remnant.path):
            continue
        if remnant.state is RemnantState.WAITING:
            done = session.run("remove_remnant", (remnant.remnant_id,))
        elif remnant.state is RemnantState.GONE or remnant.sweep_id is not None:
            continue
        else:
            done = session.run("give_up_remnant", {"remnant_id": remnant.remnant_id, "at": at})
        if done.rowcount:
            counting.less(remnant)
            found = True
    return found


def keep_replaced(
    session: Session,
    community: str,
    replaced: Sequence[tuple[int, Did, int, int, Sequence[NewReplica]]],
    at: float,
    counting: CountChanges,
) -> None:
    """Note the old copies of files that got another path on a storage, each place once."""
    left: list[tuple[int, Did, int, int, Sequence[NewReplica]]] = []
    for file_id, did, size, owner_id, copies in replaced:
        known = {
            (one.storage, one.path)
            for one in _of_file(session, file_id)
            if one.state is not RemnantState.GONE
        }
        new = [copy for copy in copies if (copy.storage, copy.path) not in known]
        left.append((file_id, did, size, owner_id, new))
    keep_removed(session, community, left, at, counting)


def _of_file(session: Session, file_id: int) -> list[RemnantRow]:
    return [_remnant(row) for row in session.rows("remnants_of_files", {"ids": f"[{file_id}]"})]


# -- which paths may be named -------------------------------------------------------------------


class _Mark(NamedTuple):
    storage: str
    state: RemnantState
    is_folder: bool


class BarredPaths:
    """Paths that must not be named now, among those that a registration wants to name."""

    def __init__(self, session: Session, copies: Iterable[NewReplica]) -> None:
        """Look up the paths. Nobody can mark them for removal before this transaction ends."""
        paths: set[str] = set()
        for copy in copies:
            paths.update(above(copy.path))
        self._found: dict[str, _Mark] = {}  # by path, on any storage
        if not paths:
            return
        session.names_paths()
        for (storage,) in session.rows("storages_marked", {}):
            given = {"storage": storage, "paths": json_list(sorted(paths))}
            for path, state, is_folder in session.rows("marked_paths", given):
                if is_folder or path not in self._found:
                    self._found[path] = _Mark(storage, RemnantState(state), bool(is_folder))

    def check(self, copy: NewReplica, field: str) -> None:
        """Raise BadCatalogueField if the bytes there are being removed, or recently were.

        Paths below a file's path are not barred: storages do not remove a folder as a file.
        """
        if not self._found:
            return
        for path in above(copy.path):
            mark = self._found.get(path)
            if mark is not None and (mark.is_folder or path == copy.path):
                is_gone = mark.state is RemnantState.GONE
                what = "were removed a short time ago" if is_gone else "are being removed"
                right = f"another path: the bytes at {path!r} on {mark.storage} {what}"
                raise BadCatalogueField(field, copy.path, right)


# -- how sweeps end -----------------------------------------------------------------------------


class _Names:
    """Files at the paths of remnants, or below them, on any storage. Each path is read once."""

    def __init__(self, session: Session, before: float) -> None:
        self._session, self._before = session, before
        self._storages = [row[0] for row in session.rows("storages_of_copies", {})]
        self._found: dict[str, str] = {}  # by path
        self.looked = 0  # rows read so far

    def of(self, row: RemnantRow) -> str:
        """Return the name of a file that holds a remnant, or an empty text.

        Only NAMES_MAX files are read. If there are more, one of the others may hold the remnant,
        so it is held.
        """
        found = self._found.get(row.path)
        if found is None:
            found = self._found[row.path] = self._look(row.path)
        return found

    def _look(self, path: str) -> str:
        more = ""
        for storage in self._storages:
            given = {"storage": storage, "path": path, "before": self._before}
            rows = self._session.rows("names_of_path", given)
            self.looked += 1 + len(rows)
            for scope, name, holds in rows:
                if holds:
                    return f"{scope}:{name}"
            if len(rows) > NAMES_MAX:
                more = f"{rows[0][0]}:{rows[0][1]}, one of more than {NAMES_MAX},"
        return more


def _lies(named: str) -> str:
    return f"{named} uses this path" if named else ""


def end_marked(
    session: Session, sweep_id: int, swept: SweepResult, *, at: float, why: str = NOT_SAID
) -> bool:
    """End a sweep: close removed remnants, and set the others aside. Return whether it was open.

    A remnant that was not tried has not failed. It is due at once if the sweep removed any other.
    """
    gone, failed, untried = set(swept.gone), dict(swept.failed), dict(swept.untried)
    counting = CountChanges()
    files: list[int] = []
    rows = [_remnant(row) for row in session.rows("remnants_of_sweep", {"sweep_id": sweep_id})]
    went = any(row.remnant_id in gone for row in rows)
    for row in rows:
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
        is_failure = row.remnant_id not in untried
        pause = pause_s(row.failures + 1) if is_failure else 0.0 if went else AWAY_S
        said = {**untried, **failed}.get(row.remnant_id, why)[:500]
        set_aside = {"due_from": at + pause - swept.after_s, "why": said, "more": int(is_failure)}
        session.run("remnant_failed", {**given, **set_aside})
        if is_failure and not row.failures:
            counting.add(row.storage, row.community, failing=1)
    was_there = session.run("remove_sweep", {"sweep_id": sweep_id}).rowcount == 1
    _lose(session, files)
    counting.write(session)
    return was_there


def _lose(session: Session, file_ids: Sequence[int]) -> None:
    """Mark files Lost that lost a copy and now have bad copies only."""
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
