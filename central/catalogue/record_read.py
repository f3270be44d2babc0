"""Reads of the catalogue, on the readers' threads and connections. Each call sees one snapshot.

A query looks at the sets of metadata first. For each set, either all files fit, no file fits, or
the files' own values decide. Own values are looked up in `own_value`, or tested file by file.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from pilotage.proto.catalogue import (
    Condition,
    Did,
    FileState,
    KeyType,
    Metadata,
    Op,
    Query,
    ReplicaState,
    Value,
    test_of,
)

from ..store.engine import takes_long
from ..store.session import Session, json_list
from .record_datasets import dataset, dataset_of
from .record_interned import decode, value_of
from .record_sets import TEXT_END, CandidateSet, MetaSets, OwnCondition
from .record_types import (
    AVAILABLE,
    INPUT_FILES_MAX,
    DatasetRow,
    FileCursor,
    FileRow,
    FileRowPage,
    JobInput,
    KeyRow,
    ReplicaRow,
    UsageCount,
    UsageCounts,
)

OWN_IDS_FEW: Final = 200  # limit of the first lookup of an own value
OWN_IDS_MAX: Final = 5_000  # files of a set found by one own value; beyond, all files are tested
ROWS_LOOKED_MAX: Final = 50_000  # rows read for a page; then the page ends early
SETS_LOOKED_MAX: Final = 5_000
SOUGHT_MAX: Final = 100_000  # lookups of values in sets for a page; then the page ends early
SETS_TOGETHER: Final = 100  # sets in which one statement looks up own values
PAGE_READ: Final = 1_000  # files tested at a time
COUNTED_MAX: Final = 20_000  # files in a page of counts


class FileSearch:
    """One search: the files found, and how much work it has done so far."""

    def __init__(
        self, session: Session, sets: MetaSets, states: frozenset[FileState], limit: int
    ) -> None:
        self._session, self._sets, self._limit = session, sets, limit
        self._available = FileState.AVAILABLE in states
        others = sorted(state.value for state in states - {FileState.AVAILABLE})
        self._others = json_list(others) if others else ""
        self._states = {state.value for state in states}
        self._looked = self._sought = 0
        self.rows: list[Any] = []

    def in_sets(self, judged: Sequence[CandidateSet], after: FileCursor) -> FileCursor | None:
        """Search sets in order. Return where the next page starts, or None at the end."""
        start = bisect_left(judged, after.set_id, key=lambda one: one.set_id)
        for first in range(start, len(judged), SETS_TOGETHER):
            some = judged[first : first + SETS_TOGETHER]
            too_long = first - start >= SETS_LOOKED_MAX or self._sought >= SOUGHT_MAX
            if first > start and too_long:
                return FileCursor(some[0].set_id, 0)
            ids = self._ids_of(some)
            for one in some:
                begin = after.file_id if one.set_id == after.set_id else 0
                if len(self.rows) >= self._limit or self._over():
                    return FileCursor(one.set_id, begin)
                if one.set_id in ids and not ids[one.set_id]:
                    continue
                last = self._in_set(one, begin, ids.get(one.set_id))
                if last is not None:
                    return FileCursor(one.set_id, last)
        return None

    def _ids_of(self, judged: Sequence[CandidateSet]) -> dict[int, list[int]]:
        """Return, by set, the files that may fit according to an index over one own value.

        Sets without such an index are omitted. Sets with the same conditions are looked up
        together, because most of them have no such file.
        """
        alike: defaultdict[tuple[OwnCondition, ...], list[int]] = defaultdict(list)
        for one in judged:
            if any(own.ranges for own in one.own):
                alike[one.own].append(one.set_id)
        found: dict[int, list[int]] = {}
        for several, set_ids in alike.items():
            rows = self._fewest(several, set_ids)
            if rows is not None:
                found.update({set_id: [] for set_id in set_ids})
                for set_id, file_id in sorted(set(rows)):
                    found[set_id].append(file_id)
        return found

    def _fewest(self, several: Sequence[OwnCondition], set_ids: Sequence[int]) -> list[Any] | None:
        """Return (set, file) pairs for the rarest own value, or None if all have many files."""
        sets = json_list(set_ids)
        for most in (OWN_IDS_FEW, OWN_IDS_MAX):
            for own in several:
                rows: list[Any] = []
                for statement, low, high in own.ranges:
                    span = {"low": low, "high": high, "limit": most + 1}
                    given = {"sets": sets, "key_id": own.key_id, **span}
                    self._sought += len(set_ids)
                    rows += self._session.rows(f"{statement}_of_sets", given)
                    if len(rows) > most:
                        break
                if own.ranges and len(rows) <= most:
                    return rows
        return None

    def _over(self) -> bool:
        return self._looked >= ROWS_LOOKED_MAX

    def _in_set(self, judged: CandidateSet, after: int, ids: list[int] | None) -> int | None:
        """Search one set. Return the file after which to continue, or None at the set's end."""
        if judged.own:
            if ids is None and any(own.ranges for own in judged.own):  # few in this set alone?
                rows = self._fewest(judged.own, [judged.set_id])
                ids = None if rows is None else sorted({row[1] for row in rows})
            if ids is not None:
                return self._given([one for one in ids if one > after], judged)
        while True:
            want = PAGE_READ if judged.own else self._limit - len(self.rows)
            rows = self._page(judged.set_id, after, want)
            for row in rows:
                after = row[0]
                if not judged.own or _own_fits(row, judged.own):
                    self.rows.append(row)
                    if len(self.rows) >= self._limit:
                        return after
            if len(rows) < want:
                return None
            if self._over():
                return after

    def _page(self, set_id: int, after: int, limit: int) -> list[Any]:
        given: dict[str, object] = {"set_id": set_id, "after": after, "limit": limit}
        rows: list[Any] = []
        if self._available:
            rows = self._session.rows("files_of_set", given)
        if self._others:
            given["states"] = self._others
            rows += self._session.rows("files_of_set_otherwise", given)
            if self._available:
                rows = sorted(rows)[:limit]
        self._looked += len(rows)
        return rows

    def _given(self, ids: Sequence[int], judged: CandidateSet) -> int | None:
        for start in range(0, len(ids), PAGE_READ):
            some = ids[start : start + PAGE_READ]
            rows = {r[0]: r for r in self._session.rows("files_given", {"ids": json_list(some)})}
            self._looked += len(some)
            for file_id in some:
                row = rows[file_id]
                if row[6] in self._states and _own_fits(row, judged.own):
                    self.rows.append(row)
                    if len(self.rows) >= self._limit:
                        return file_id
            if self._over():
                return some[-1]
        return None

    def in_dataset(
        self, dataset_id: int, judged: Sequence[CandidateSet], after: int
    ) -> FileCursor | None:
        """Search the files of a dataset in order of id."""
        by_set = {one.set_id: one.own for one in judged}
        while True:
            given = {"dataset_id": dataset_id, "after": after, "limit": PAGE_READ}
            rows = self._session.rows("files_of_dataset", given)
            self._looked += len(rows)
            for row in rows:
                after = row[0]
                own = by_set.get(row[7])
                if own is None or row[6] not in self._states or not _own_fits(row, own):
                    continue
                self.rows.append(row)
                if len(self.rows) >= self._limit:
                    return FileCursor(0, after)
            if len(rows) < PAGE_READ:
                return None
            if self._over():
                return FileCursor(0, after)


def _own_fits(row: Any, own: Sequence[OwnCondition]) -> bool:
    if not own:
        return True
    values: Metadata = decode(row[8]) if row[8] else {}
    return all(one.test(values.get(one.key)) for one in own)


# -- calls --------------------------------------------------------------------------------------


@takes_long
def find_files(
    session: Session,
    community: str,
    query: Query,
    *,
    states: frozenset[FileState] = AVAILABLE,
    after: FileCursor | None = None,
    limit: int,
) -> FileRowPage:
    """Return a page of files that match a query, in an order that is stable between pages.

    A file whose metadata change between two pages may come twice or not at all;
    `files_changed` lists such files.
    """
    community_id = community_id_of(session, community)
    if community_id is None or limit <= 0:
        return FileRowPage([], None)
    names = json_list(sorted({one.key for one in query.conditions}))
    rows = session.rows("keys_in_query", {"community_id": community_id, "keys": names})
    keys = {row[1]: (row[0], bool(row[3])) for row in rows}
    judged = session.shared(MetaSets).judged(session, community_id, query, keys)
    looking = FileSearch(session, session.shared(MetaSets), states, limit)
    begin = after or FileCursor()
    if query.dataset is None:
        place = looking.in_sets(judged, begin)
    else:
        there = dataset(session, community, query.dataset)
        if there is None:
            return FileRowPage([], None)
        place = looking.in_dataset(there.dataset_id, judged, begin.file_id)
    return FileRowPage(files_of(session, session.shared(MetaSets), looking.rows), place)


def community_id_of(session: Session, community: str) -> int | None:
    """Return the id of a community, or None if it has no files."""
    row = session.one("data_community", {"community": community})
    return None if row is None else int(row[0])


def files_of(session: Session, sets: MetaSets, rows: Sequence[Any]) -> list[FileRow]:
    """Return the records of these rows of files."""
    shared = sets.of(session, [row[7] for row in rows])
    return [_file(row, shared[row[7]]) for row in rows]


_STATES: Final = {state.value: state for state in FileState}
_NOTHING: Final[Metadata] = {}


def _file(row: Any, shared: Metadata) -> FileRow:
    own: Metadata = decode(row[8]) if row[8] else _NOTHING
    return FileRow(
        file_id=row[0],
        did=Did(row[1], row[2]),
        bytes=row[3],
        adler32="" if row[4] is None else f"{row[4]:08x}",
        sha256="" if row[5] is None else row[5].hex(),
        state=_STATES[row[6]],
        set_id=row[7],
        own=own,
        metadata={**shared, **own} if own else shared,
        owner_id=row[9],
        job_id=row[10],
        epoch=row[11],
        created_at=row[12],
        seq=row[13],
    )


def files_by_did(session: Session, community: str, dids: Sequence[Did]) -> list[FileRow | None]:
    """Return the file of each name in order, None for unknown names."""
    community_id = community_id_of(session, community)
    if community_id is None:
        return [None] * len(dids)
    names = json_list([[did.scope, did.name] for did in dids])
    rows = session.rows("files_by_name", {"community_id": community_id, "names": names})
    found = {one.did: one for one in files_of(session, session.shared(MetaSets), rows)}
    return [found.get(did) for did in dids]


def files_by_id(session: Session, file_ids: Sequence[int]) -> dict[int, FileRow]:
    """Return files by their ids. Unknown ids are omitted."""
    rows = session.rows("files_given", {"ids": json_list(file_ids)})
    return {one.file_id: one for one in files_of(session, session.shared(MetaSets), rows)}


@takes_long
def files_like(
    session: Session, community: str, like: Did, *, after: str, limit: int
) -> tuple[list[FileRow], str | None]:
    """Return a page of files in order of name, and the name that begins the next page.

    The name in `like` is a pattern with `*` and `?`. Removed files are omitted.
    """
    fits = test_of(Condition("name", Op.LIKE, like.name))
    prefix = like.name.replace("?", "*").partition("*")[0]
    low, rows, following = max(after, prefix), list[Any](), None
    for _ in range(ROWS_LOOKED_MAX // PAGE_READ):
        found = session.rows(
            "files_of_names",
            {
                "community_id": community_id_of(session, community),
                "scope": like.scope,
                "low": low,
                "high": prefix + TEXT_END,
                "limit": PAGE_READ + 1,
            },
        )
        following = found[PAGE_READ][2] if len(found) > PAGE_READ else None
        for row in found[:PAGE_READ]:
            if row[6] == FileState.REMOVED.value or not fits(row[2]):
                continue
            if len(rows) == limit:
                return files_of(session, session.shared(MetaSets), rows), row[2]
            rows.append(row)
        if following is None:
            break
        low = following
    return files_of(session, session.shared(MetaSets), rows), following


@takes_long
def files_in(
    session: Session, dataset_id: int, *, after: int, limit: int
) -> tuple[list[FileRow], str | None]:
    """Return a page of the files of a dataset, and where the next page begins.

    Removed files are omitted, so that a page may be short.
    """
    given = {"dataset_id": dataset_id, "after": after, "limit": limit}
    rows = session.rows("files_of_dataset", given)
    present = [row for row in rows if row[6] != FileState.REMOVED.value]
    following = str(rows[-1][0]) if len(rows) == limit else None
    return files_of(session, session.shared(MetaSets), present), following


@takes_long
def usage_of_scopes(session: Session, community: str, scope: str, *, after: str) -> UsageCounts:
    """Return counts of a page of files: of one scope, or of all scopes if it is empty.

    `after` is empty, or the `next` of the page before.
    """
    community_id = community_id_of(session, community)
    begin, _, name = after.partition(":")
    asked = {"community_id": community_id, "scope": begin or scope}
    row = session.one("scope_from", asked)
    if row is None or scope and row[1] != scope:
        return UsageCounts([], None)
    scope_id, found = row
    given = {"scope_id": scope_id, "after": name if found == begin else "", "limit": COUNTED_MAX}
    rows, last = _counts(session.rows("usage_of_scope", given), found)
    if last:
        return UsageCounts(rows, f"{found}:{last}")
    # Scopes contain no blank: this one sorts before all that follow.
    return UsageCounts(rows, None if scope else f"{found} :")


@takes_long
def usage_of_dataset(session: Session, scope: str, dataset_id: int, *, after: int) -> UsageCounts:
    """Return counts of a page of the files of a dataset. `scope` is that of the dataset."""
    given = {"dataset_id": dataset_id, "after": after, "limit": COUNTED_MAX}
    rows, last = _counts(session.rows("usage_of_dataset", given), scope)
    return UsageCounts(rows, str(last) if last else None)


def _counts(rows: Sequence[Any], scope: str) -> tuple[list[UsageCount], Any]:
    """Return the counts of a page, and its last file if there may be more."""
    counts = [
        UsageCount(scope, storage, files, (int(mib or 0) << 20) + int(rest or 0))
        for storage, files, mib, rest, _, _ in rows
    ]
    _, _, _, _, looked, last = next(row for row in rows if not row[0])
    return counts, last if looked == COUNTED_MAX else None


@takes_long
def files_changed(session: Session, community: str, since: int, *, limit: int) -> list[FileRow]:
    """Return files with a `seq` above `since`, as they are now, in order of `seq`."""
    community_id = community_id_of(session, community)
    given = {"community_id": community_id, "since": since, "limit": limit}
    return files_of(session, session.shared(MetaSets), session.rows("files_changed", given))


def last_change(session: Session, community: str) -> int:
    """Return the greatest `seq` of a community, or 0 if it has no files."""
    given = {"community_id": community_id_of(session, community)}
    return int(session.one("last_change", given)[0] or 0)


def replicas_of(session: Session, file_ids: Sequence[int]) -> dict[int, list[ReplicaRow]]:
    """Return the copies of files by file id. Files without copies are omitted."""
    found: defaultdict[int, list[ReplicaRow]] = defaultdict(list)
    for row in session.rows("replicas_of_files", {"ids": json_list(file_ids)}):
        found[row[0]].append(
            ReplicaRow(
                file_id=row[0],
                storage=row[1],
                path=row[2],
                state=ReplicaState(row[3]),
                changed_at=row[4],
            )
        )
    return dict(found)


def datasets(
    session: Session, community: str, *, after: Did | None, limit: int
) -> list[DatasetRow]:
    """Return a page of datasets in order of scope and name."""
    given = {
        "community_id": community_id_of(session, community),
        "scope": after.scope if after else "",
        "name": after.name if after else "",
        "limit": limit,
    }
    return [dataset_of(row) for row in session.rows("datasets_after", given)]


def datasets_of(session: Session, file_ids: Sequence[int]) -> dict[int, list[Did]]:
    """Return the datasets of each file. Files without a dataset are omitted."""
    found: defaultdict[int, list[Did]] = defaultdict(list)
    for file_id, scope, name in session.rows("datasets_of_files", {"ids": json_list(file_ids)}):
        found[file_id].append(Did(scope, name))
    return dict(found)


@takes_long
def keys(session: Session, community: str) -> list[KeyRow]:
    """Return all metadata keys in order of name."""
    found: list[KeyRow] = []
    given = {"community_id": community_id_of(session, community)}
    for key_id, key, kind, is_own in session.rows("meta_keys", given):
        values: tuple[Value, ...] = ()
        if not is_own:
            rows = session.rows("meta_values", {"key_id": key_id})
            values = tuple(value_of(number, text, KeyType(kind)) for number, text in rows)
        found.append(KeyRow(key=key, type=KeyType(kind), is_own=bool(is_own), values=values))
    return found


def paths_of_community(
    session: Session, community: str, storage: str, paths: Sequence[str]
) -> set[str]:
    """Return which of these paths on a storage hold copies of files of a community."""
    given = {"community": community, "storage": storage, "paths": json_list(paths)}
    return {row[0] for row in session.rows("paths_of_community", given)}


def inputs_of_job(session: Session, job_id: int) -> list[JobInput]:
    """Return the input files of a job in order, each with the number of its input."""
    rows = session.rows("inputs_of_job", {"job_id": job_id})
    return [JobInput(row[0] // INPUT_FILES_MAX, row[1]) for row in rows]


def inputs_of_jobs(session: Session, job_ids: Sequence[int]) -> dict[int, list[int]]:
    """Return the ids of the files that each job reads, in the order of its inputs."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for job_id, file_id in session.rows("inputs_of_jobs", {"ids": json_list(job_ids)}):
        found[job_id].append(file_id)
    return dict(found)


def jobs_reading(session: Session, file_ids: Sequence[int], *, limit: int) -> list[tuple[int, int]]:
    """Return (file, job) pairs for jobs that have these files as inputs."""
    given = {"ids": json_list(file_ids), "limit": limit}
    return [(row[0], row[1]) for row in session.rows("jobs_reading", given)]


def files_of_jobs(session: Session, job_ids: Sequence[int], *, limit: int) -> list[FileRow]:
    """Return files that these jobs made."""
    given = {"ids": json_list(job_ids), "limit": limit}
    return files_of(session, session.shared(MetaSets), session.rows("files_of_jobs", given))
