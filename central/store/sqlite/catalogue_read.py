"""What is read of the catalogue: on threads and connections of their own, each call in one moment.

A query looks at the sets of metadata first. Of each it is certain whether its files fit, cannot
fit, or fit by their own values: those are looked up in `own_value`, or tested file by file.
"""

import threading
from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from pilotage.proto.catalogue import (
    Condition,
    Did,
    FileState,
    KeyType,
    Metadata,
    Op,
    Query,
    ReplicaState,
    Test,
    Value,
    test_of,
)

from ..catalogue import FileRow, Found, KeyRow, Place, ReplicaRow
from .catalogue_change import dataset, dataset_of
from .catalogue_interned import columns, decode, value_of
from .session import Session, json_list

SETS_READ: Final = 5_000  # at a time
JUDGED_MAX: Final = 64  # queries whose judgements of sets are kept
OWN_IDS_MAX: Final = 5_000  # files of a set that are found by one own value; beyond, all are tested
ROWS_LOOKED_MAX: Final = 50_000  # a page that has looked at so many files is short
SETS_LOOKED_MAX: Final = 5_000
PAGE_READ: Final = 1_000  # files that are tested at a time
TEXT_END: Final = "\U0010ffff"


class Own(NamedTuple):
    """A condition on a key that files may have as their own."""

    key: str
    key_id: int
    test: Test
    ranges: tuple[tuple[str, Any, Any], ...]  # statement, low, high; none: no index helps


class Judged(NamedTuple):
    """A set whose files may fit: all of them, or those for which `own` says so."""

    set_id: int
    own: tuple[Own, ...]


class MetaSets:
    """The sets of metadata in memory, and which of them meet which query. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: defaultdict[int, list[int]] = defaultdict(list)  # by community, in order
        self._metadata: dict[int, Metadata] = {}
        self._judged: OrderedDict[object, tuple[int, list[Judged]]] = OrderedDict()

    def of(self, session: Session, set_ids: Sequence[int]) -> dict[int, Metadata]:
        """Return the metadata of sets."""
        with self._lock:
            missing = [one for one in set_ids if one not in self._metadata]
            if missing:
                ids = json_list(sorted(set(missing)))
                for row in session.rows("meta_sets_given", {"ids": ids}):
                    self._metadata[row[0]] = decode(row[1])
            return {one: self._metadata[one] for one in set_ids}

    def judged(
        self, session: Session, community_id: int, query: Query, keys: dict[str, Any]
    ) -> list[Judged]:
        """Return the sets that may meet a query, in order; each set is judged once."""
        known = (community_id, query_key(query), tuple(sorted(keys.items())))
        with self._lock:
            self._refresh(session, community_id)
            ids = self._ids[community_id]
            seen, found = self._judged.get(known, (0, []))
            if seen < len(ids):
                judge = Judge(query, keys)
                found = found + [
                    Judged(set_id, own)
                    for set_id in ids[seen:]
                    if (own := judge(self._metadata[set_id])) is not None
                ]
                self._judged[known] = (len(ids), found)
                while len(self._judged) > JUDGED_MAX:
                    self._judged.popitem(last=False)
            self._judged.move_to_end(known)
            return found

    def _refresh(self, session: Session, community_id: int) -> None:
        ids = self._ids[community_id]
        while True:
            given = {
                "community_id": community_id,
                "after": ids[-1] if ids else 0,
                "limit": SETS_READ,
            }
            rows = session.rows("meta_sets_after", given)
            for set_id, text in rows:
                ids.append(set_id)
                if set_id not in self._metadata:
                    self._metadata[set_id] = decode(text)
            if len(rows) < SETS_READ:
                return


def query_key(query: Query) -> bytes:
    """Return what two queries have alike that ask the same."""
    return msgspec.json.encode(query.document(), order="sorted")


class Judge:
    """A query, asked of sets. `keys` are those of its keys that are there: (id, type, is own)."""

    def __init__(self, query: Query, keys: dict[str, Any]) -> None:
        self._clauses: list[tuple[str, Test, Own | None]] = []
        for one in query.conditions:
            key = keys.get(one.key)
            own = None
            if key is not None and key[2]:
                own = Own(one.key, key[0], test_of(one), tuple(_ranges(one)))
            self._clauses.append((one.key, test_of(one), own))

    def __call__(self, metadata: Metadata) -> tuple[Own, ...] | None:
        """Return what files of a set must meet by their own values; None: none can fit."""
        open_ones: list[Own] = []
        for key, test, own in self._clauses:
            value = metadata.get(key)
            if value is None and own is not None:
                open_ones.append(own)
            elif not test(value):
                return None
        # What an index finds, and finds least of, comes first.
        open_ones.sort(key=lambda own: (not own.ranges, len(own.ranges)))
        return tuple(open_ones)


def _ranges(condition: Condition) -> Iterator[tuple[str, Any, Any]]:
    """Yield where values lie that may meet a condition; the condition is tested again."""
    op, value = condition.op, condition.value
    if op is Op.IN or (op is Op.EQ and not isinstance(value, tuple)):
        for one in value if isinstance(value, tuple) else (value,):
            number, text = columns(one)
            if isinstance(one, str):
                yield "own_texts", text, text
            else:
                yield "own_numbers", number, number
    elif op is Op.LIKE and isinstance(value, str):
        prefix = value.replace("?", "*").partition("*")[0]
        if prefix:
            yield "own_texts", prefix, prefix + TEXT_END
    elif op in (Op.LT, Op.LE, Op.GT, Op.GE) and not isinstance(value, tuple):
        below = op in (Op.LT, Op.LE)
        if isinstance(value, str):
            yield ("own_texts", "", value) if below else ("own_texts", value, TEXT_END)
        else:
            far = float("-inf") if below else float("inf")
            yield ("own_numbers", far, value) if below else ("own_numbers", value, far)


class Looking:
    """One search: what it has found, and how much it may still look at."""

    def __init__(
        self, session: Session, sets: MetaSets, states: frozenset[FileState], limit: int
    ) -> None:
        self._session, self._sets, self._limit = session, sets, limit
        self._available = FileState.AVAILABLE in states
        others = sorted(state.value for state in states - {FileState.AVAILABLE})
        self._others = json_list(others) if others else ""
        self._states = {state.value for state in states}
        self._looked = 0
        self.rows: list[Any] = []

    def in_sets(self, judged: Sequence[Judged], after: Place) -> Place | None:
        """Look through sets in order; return where to go on, None: all was seen."""
        start = bisect_left(judged, after.set_id, key=lambda one: one.set_id)
        for n, one in enumerate(judged[start:]):
            begin = after.file_id if one.set_id == after.set_id else 0
            place = Place(one.set_id, begin)
            if len(self.rows) >= self._limit or n >= SETS_LOOKED_MAX or self._over():
                return place
            last = self._in_set(one, begin)
            if last is not None:
                return Place(one.set_id, last)
        return None

    def _over(self) -> bool:
        return self._looked >= ROWS_LOOKED_MAX

    def _in_set(self, judged: Judged, after: int) -> int | None:
        """Look through a set; return the file to go on after, None: it is at its end."""
        if judged.own:
            ids = self._ids(judged)
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

    def _ids(self, judged: Judged) -> list[int] | None:
        """Return the files that may fit by one own value, in order; None: too many, or no index."""
        for own in judged.own:
            found: list[int] = []
            for statement, low, high in own.ranges:
                given = {
                    "set_id": judged.set_id,
                    "key_id": own.key_id,
                    "low": low,
                    "high": high,
                    "limit": OWN_IDS_MAX + 1 - len(found),
                }
                found += [row[0] for row in self._session.rows(statement, given)]
                if len(found) > OWN_IDS_MAX:
                    break
            if own.ranges and len(found) <= OWN_IDS_MAX:
                return sorted(set(found))
        return None

    def _given(self, ids: Sequence[int], judged: Judged) -> int | None:
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

    def in_dataset(self, dataset_id: int, judged: Sequence[Judged], after: int) -> Place | None:
        """Look through a dataset in order of the files."""
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
                    return Place(0, after)
            if len(rows) < PAGE_READ:
                return None
            if self._over():
                return Place(0, after)


def _own_fits(row: Any, own: Sequence[Own]) -> bool:
    if not own:
        return True
    values: Metadata = decode(row[8]) if row[8] else {}
    return all(one.test(values.get(one.key)) for one in own)


# -- calls --------------------------------------------------------------------------------------


def find(
    session: Session,
    sets: MetaSets,
    community: str,
    query: Query,
    states: frozenset[FileState],
    after: Place | None,
    limit: int,
) -> Found:
    community_id = community_id_of(session, community)
    if community_id is None or limit <= 0:
        return Found([], None)
    names = json_list(sorted({one.key for one in query.conditions}))
    rows = session.rows("keys_in_query", {"community_id": community_id, "keys": names})
    keys = {row[1]: (row[0], row[2], bool(row[3])) for row in rows}
    judged = sets.judged(session, community_id, query, keys)
    looking = Looking(session, sets, states, limit)
    begin = after or Place()
    if query.dataset is None:
        place = looking.in_sets(judged, begin)
    else:
        there = dataset(session, community, query.dataset)
        if there is None:
            return Found([], None)
        place = looking.in_dataset(there.dataset_id, judged, begin.file_id)
    return Found(files_of(session, sets, looking.rows), place)


def community_id_of(session: Session, community: str) -> int | None:
    """Return the id of a community; None: it has no files."""
    row = session.one("data_community", {"community": community})
    return None if row is None else int(row[0])


def files_of(session: Session, sets: MetaSets, rows: Sequence[Any]) -> list[FileRow]:
    """Return rows of files as records."""
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


def by_did(
    session: Session, sets: MetaSets, community: str, dids: Sequence[Did]
) -> list[FileRow | None]:
    community_id = community_id_of(session, community)
    if community_id is None:
        return [None] * len(dids)
    names = json_list([[did.scope, did.name] for did in dids])
    rows = session.rows("files_by_name", {"community_id": community_id, "names": names})
    found = {one.did: one for one in files_of(session, sets, rows)}
    return [found.get(did) for did in dids]


def by_id(session: Session, sets: MetaSets, file_ids: Sequence[int]) -> dict[int, FileRow]:
    rows = session.rows("files_given", {"ids": json_list(file_ids)})
    return {one.file_id: one for one in files_of(session, sets, rows)}


def changed(
    session: Session, sets: MetaSets, community: str, since: int, limit: int
) -> list[FileRow]:
    community_id = community_id_of(session, community)
    given = {"community_id": community_id, "since": since, "limit": limit}
    return files_of(session, sets, session.rows("files_changed", given))


def last_change(session: Session, community: str) -> int:
    given = {"community_id": community_id_of(session, community)}
    return int(session.one("last_change", given)[0] or 0)


def replicas(session: Session, file_ids: Sequence[int]) -> dict[int, list[ReplicaRow]]:
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


def datasets(session: Session, community: str, after: Did | None, limit: int) -> list[Any]:
    given = {
        "community_id": community_id_of(session, community),
        "scope": after.scope if after else "",
        "name": after.name if after else "",
        "limit": limit,
    }
    return [dataset_of(row) for row in session.rows("datasets_after", given)]


def datasets_of(session: Session, file_ids: Sequence[int]) -> dict[int, list[Did]]:
    found: defaultdict[int, list[Did]] = defaultdict(list)
    for file_id, scope, name in session.rows("datasets_of_files", {"ids": json_list(file_ids)}):
        found[file_id].append(Did(scope, name))
    return dict(found)


def keys(session: Session, community: str) -> list[KeyRow]:
    found: list[KeyRow] = []
    given = {"community_id": community_id_of(session, community)}
    for key_id, key, kind, is_own in session.rows("meta_keys", given):
        values: tuple[Value, ...] = ()
        if not is_own:
            rows = session.rows("meta_values", {"key_id": key_id})
            values = tuple(value_of(number, text, KeyType(kind)) for number, text in rows)
        found.append(KeyRow(key=key, type=KeyType(kind), is_own=bool(is_own), values=values))
    return found


def inputs_of_jobs(session: Session, job_ids: Sequence[int]) -> dict[int, list[int]]:
    found: defaultdict[int, list[int]] = defaultdict(list)
    for job_id, file_id in session.rows("inputs_of_jobs", {"ids": json_list(job_ids)}):
        found[job_id].append(file_id)
    return dict(found)


def jobs_reading(session: Session, file_ids: Sequence[int], limit: int) -> list[tuple[int, int]]:
    given = {"ids": json_list(file_ids), "limit": limit}
    return [(row[0], row[1]) for row in session.rows("jobs_reading", given)]


def files_of_jobs(
    session: Session, sets: MetaSets, job_ids: Sequence[int], limit: int
) -> list[FileRow]:
    given = {"ids": json_list(job_ids), "limit": limit}
    return files_of(session, sets, session.rows("files_of_jobs", given))
