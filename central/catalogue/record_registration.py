"""Registration of files, on the writer's session.

A registration checks all items first, then writes. An item with a clash writes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.catalogue import (
    KEYS_MAX as KEYS_OF_FILE_MAX,
    BadCatalogueField,
    Did,
    FileState,
    KeyType,
    Metadata,
    ReplicaState,
    Value,
    check_type,
    state_of,
    type_of,
)

from ..store.engine import CHUNK_MAX, weighs
from ..store.session import Session, json_list
from .record_interned import Columns, InternedIds, MetadataKey, columns, decode, encode
from .record_remnants import BarredPaths, CountChanges, drop_waiting, end_uploads, keep_replaced
from .record_types import (
    BATCH_SHOWS_FROM,
    DATASETS_OF_FILE_MAX,
    KEYS_MAX,
    OWN_FROM,
    Clash,
    ItemOutcome,
    NewDataset,
    NewFile,
    NewReplica,
)

_NOTHING: Final[Metadata] = {}
ROWS_A_FILE: Final = 6  # rows that a registration writes for a file; other writers wait meanwhile
THERE: Final = "an existing file: this one was removed; register it again"


class KnownFile(msgspec.Struct):
    """A file's row as read in this transaction."""

    file_id: int
    did: Did
    size: int
    adler32: int | None
    sha256: bytes | None
    state: FileState
    set_id: int
    own: Metadata
    owner_id: int


class KnownDataset(msgspec.Struct):
    """A dataset's row. The id is 0 until the dataset is stored."""

    dataset_id: int
    did: Did
    is_open: bool
    metadata: Metadata


@weighs(ROWS_A_FILE)
def register_files(
    session: Session,
    community: str,
    files: Sequence[NewFile],
    *,
    at: float,
    make_datasets: bool = False,
) -> list[ItemOutcome]:
    """Register files, each independently of the others.

    An existing file with the same size and checksums gets the new replicas, datasets and
    metadata. A file clashes in these cases:

    - Its size or a checksum differs from those of the existing file.
    - A metadata key has another value.
    - A copy that is neither Bad nor Missing has another path.
    - `own` is set, and the file would add anything to a file of another owner.
    """
    if len(files) > CHUNK_MAX:
        raise ValueError(f"a batch of {len(files)} files is too long; at most {CHUNK_MAX}")
    outcomes = [ItemOutcome()] * len(files)
    left = list(range(len(files)))
    while left:  # a repeated name is checked in a later round, against the rows written before
        first: dict[Did, int] = {}
        again: list[int] = []
        for i in left:
            if files[i].did in first:
                again.append(i)
            else:
                first[files[i].did] = i
        places = list(first.values())
        some = [files[i] for i in places]
        one_round = RegistrationBatch(session, community, some, at, make_datasets, keep_paths=True)
        one_round.judge()
        one_round.write()
        for i, outcome in zip(places, one_round.outcomes, strict=True):
            outcomes[i] = outcome
        left = again
    return outcomes


def publish(
    session: Session, community: str, files: Sequence[NewFile], *, at: float
) -> list[ItemOutcome]:
    """Register all files or none, in the caller's transaction. Missing datasets are made.

    If any outcome has a clash, nothing was written.
    """
    seen: set[Did] = set()
    for i, one in enumerate(files):
        if one.did in seen:
            clash = Clash(field="did", value=str(one.did), right="each name only once")
            return [ItemOutcome(clash=clash if k == i else None) for k in range(len(files))]
        seen.add(one.did)
    whole = RegistrationBatch(session, community, files, at, make_datasets=True)
    whole.judge()
    if any(outcome.clash is not None for outcome in whole.outcomes):
        return whole.outcomes
    whole.write()
    return whole.outcomes


class RegistrationBatch:
    """Files with different names: their existing rows, their clashes, and the writes."""

    def __init__(
        self,
        session: Session,
        community: str,
        files: Sequence[NewFile],
        at: float,
        make_datasets: bool,
        *,
        keep_paths: bool = False,
    ) -> None:
        self._session, self._files, self._at = session, files, at
        self._community = community
        self._interned = session.own(InternedIds)
        self._community_id = self._interned.community(session, community)
        self._keys = self._interned.keys(session, self._community_id)
        self._make_datasets, self._keep_paths = make_datasets, keep_paths
        self._fresh: dict[str, KeyType] = {}  # new keys, with the types of their first values
        self._metadata: list[Metadata] = []  # with the metadata that the datasets add
        self.outcomes: list[ItemOutcome] = [ItemOutcome()] * len(files)
        names = [one.did for one in files]
        self._known = known_files(session, self._community_id, names)
        wanted = {did for one in files for did in one.datasets}
        self._datasets = known_datasets(session, self._community_id, [*names, *wanted])
        self._named = set(names)
        self._as_files = known_files(session, self._community_id, wanted - self._named)
        ids = [known.file_id for known in self._known.values()]
        self._copies = replicas_of(session, ids) if ids else {}
        self._barred = BarredPaths(session, (copy for one in files for copy in one.replicas))
        foreign = [
            self._known[one.did].file_id
            for one in files
            if one.own and one.datasets and one.did in self._known
        ]
        self._in_datasets = (
            {
                (file_id, Did(scope, name))
                for file_id, scope, name in session.rows(
                    "datasets_of_files", {"ids": json_list(foreign)}
                )
            }
            if foreign
            else set[tuple[int, Did]]()
        )

    # -- judging --------------------------------------------------------------------------------

    def judge(self) -> None:
        """Find the clashes. This writes nothing except new scopes."""
        for i, one in enumerate(self._files):
            fresh: dict[str, KeyType] = {}
            try:
                metadata = self._judged(one, fresh)
            except BadCatalogueField as why:
                metadata = _NOTHING
                self.outcomes[i] = ItemOutcome(clash=clash_of(why))
            else:
                self._fresh.update(fresh)
            self._metadata.append(metadata)

    def _judged(self, one: NewFile, fresh: dict[str, KeyType]) -> Metadata:
        """Return the metadata that the file gets. Raises BadCatalogueField."""
        if one.did in self._datasets:
            raise BadCatalogueField("did", str(one.did), "another name: a dataset has this one")
        if not one.adler32 and not one.sha256:
            raise BadCatalogueField("adler32", "", "a checksum: adler32 or sha256")
        inherited: dict[str, Value] = {}
        for did in one.datasets:
            inherited.update(self._dataset(did).metadata)
        if len(one.datasets) > DATASETS_OF_FILE_MAX:
            right = f"at most {DATASETS_OF_FILE_MAX}"
            raise BadCatalogueField("datasets", f"{len(one.datasets)} datasets", right)
        self._check_keys(one.metadata, fresh)
        for copy in one.replicas:
            self._barred.check(copy, "replicas.path")
        known = self._known.get(one.did)
        there: Metadata = {}
        if known is not None:
            if known.state is FileState.REMOVED and not self._keep_paths:
                raise BadCatalogueField("did", str(one.did), THERE)
            compare(known, one)
            there = metadata_of(self._session, known)
            copies = self._copies.get(known.file_id, {})
            if self._keep_paths:
                check_paths(one, copies)
            for key, value in one.metadata.items():
                if there.get(key, value) != value:
                    right = f"{there[key]!r}, its value for {one.did}; set metadata to change it"
                    raise BadCatalogueField(f"metadata.{key}", value, right)
        metadata = {**inherited, **one.metadata, **there} if inherited or there else one.metadata
        check_number(metadata)
        if known is not None and one.own and known.owner_id != one.owner_id:
            self._check_same(known, one, len(metadata) > len(there))
        return metadata

    def _check_same(self, known: KnownFile, one: NewFile, has_more: bool) -> None:
        """Raise BadCatalogueField if a registration adds anything to another owner's file.

        The result of a job may add one more copy with the same SHA-256: no other bytes have it.
        """
        if not self._keep_paths and one.sha256 and known.sha256 is not None and not has_more:
            return
        copies = self._copies.get(known.file_id, {})
        news = {
            "metadata": has_more,
            "replicas": any(brings(copy, copies.get(copy.storage)) for copy in one.replicas),
            "datasets": any((known.file_id, did) not in self._in_datasets for did in one.datasets),
            "adler32": bool(one.adler32) and known.adler32 is None,
            "sha256": bool(one.sha256) and known.sha256 is None,
        }
        for field, is_new in news.items():
            if is_new:
                right = f"no change of {one.did}: the file has another owner"
                raise BadCatalogueField(field, "something new", right)

    def _dataset(self, did: Did) -> KnownDataset:
        known = self._datasets.get(did)
        if known is None:
            if did in self._named or did in self._as_files:
                raise BadCatalogueField("datasets", str(did), "a dataset: a file has this name")
            if not self._make_datasets:
                check_open(str(did), is_open=None)
            known = KnownDataset(0, did, True, {})
            self._datasets[did] = known
        check_open(str(did), is_open=known.is_open)
        return known

    def _check_keys(self, metadata: Metadata, fresh: dict[str, KeyType]) -> None:
        for key, value in metadata.items():
            known = self._keys.get(key)
            kind = known.kind if known is not None else self._fresh.get(key)
            if kind is not None:
                check_type(key, value, kind)
                continue
            if len(self._keys) + len(self._fresh) + len(fresh) >= KEYS_MAX:
                right = f"an existing key: the limit of {KEYS_MAX} keys is reached"
                raise BadCatalogueField(f"metadata.{key}", key, right)
            fresh[key] = type_of(value)

    # -- writing --------------------------------------------------------------------------------

    def write(self) -> None:
        """Write all items without a clash, and set their outcomes."""
        good = [i for i, outcome in enumerate(self.outcomes) if outcome.clash is None]
        if not good:
            return
        for key, kind in self._fresh.items():
            self._interned.add_key(self._session, self._community_id, key, kind)
        self._write_datasets(good)
        before = self._interned.sets_made(self._session, self._community_id)
        self._write_new([i for i in good if self._files[i].did not in self._known])
        counting = CountChanges()
        self._write_known([i for i in good if self._files[i].did in self._known], counting)
        self._interned.limit_sets(self._session, self._community_id, before)
        stored = (copy for i in good for copy in self._files[i].replicas)
        end_uploads(self._session, stored, counting)
        counting.write(self._session)

    def _write_datasets(self, good: Sequence[int]) -> None:
        for i in good:
            for did in self._files[i].datasets:
                dataset = self._datasets[did]
                if dataset.dataset_id == 0:
                    new = NewDataset(did=did, owner_id=self._files[i].owner_id)
                    dataset.dataset_id = insert_dataset(
                        self._session, self._community_id, new, self._at
                    )

    def _write_new(self, places: Sequence[int]) -> None:
        if not places:
            return
        learn_values(self._session, self._keys, [self._metadata[i] for i in places])
        session, interned, at = self._session, self._interned, self._at
        first_id = session.reserve("file", len(places))
        seq = session.reserve("file_change", len(places))
        files: list[tuple[Any, ...]] = []
        own_rows: list[tuple[Any, ...]] = []
        replicas: list[tuple[Any, ...]] = []
        attached: list[tuple[int, int]] = []
        for n, i in enumerate(places):
            one, file_id = self._files[i], first_id + n
            shared, own = split(self._metadata[i], self._keys)
            set_id = interned.set_of(session, self._community_id, shared)
            own_rows += own_value_rows(set_id, own, self._keys, file_id)
            replicas += [replica_row(file_id, copy, at) for copy in one.replicas]
            attached += [(self._datasets[did].dataset_id, file_id) for did in one.datasets]
            state = state_of([copy.state for copy in one.replicas])
            files.append(
                (
                    file_id,
                    self._community_id,
                    interned.scope(session, self._community_id, one.did.scope),
                    set_id,
                    one.owner_id,
                    one.job_id,
                    one.epoch,
                    seq + n,
                    one.bytes,
                    int(one.adler32, 16) if one.adler32 else None,
                    bytes.fromhex(one.sha256) if one.sha256 else None,
                    state.value,
                    at,
                    one.did.name,
                    encode(own).decode() if own else None,
                )
            )
            self.outcomes[i] = ItemOutcome(file_id=file_id, new=True)
        session.many("insert_file", files)
        session.many("insert_own_value", own_rows)
        session.many("put_replica", replicas)
        session.many("attach_file", attached)

    def _write_known(self, places: Sequence[int], counting: CountChanges) -> None:
        """Add new facts to existing files. A repeated registration writes nothing."""
        if not places:
            return
        session = self._session
        known = [self._known[self._files[i].did] for i in places]
        learn_values(session, self._keys, [self._metadata[i] for i in places])
        replaced: list[tuple[int, Did, int, int, Sequence[NewReplica]]] = []
        for i, row in zip(places, known, strict=True):
            one = self._files[i]
            pairs = [(self._datasets[did].dataset_id, row.file_id) for did in one.datasets]
            attached = any(session.each("attach_file", pairs))
            copies = self._copies.get(row.file_id, {})
            new_copies = [copy for copy in one.replicas if brings(copy, copies.get(copy.storage))]
            moved = [
                copies[copy.storage]
                for copy in new_copies
                if copy.storage in copies and copies[copy.storage].path != copy.path
            ]
            session.many("put_replica", [replica_row(row.file_id, c, self._at) for c in new_copies])
            copies.update({copy.storage: copy for copy in new_copies})
            state = row.state
            if state is not FileState.REMOVED or new_copies:
                state = state_of([copy.state for copy in copies.values()])
            if new_copies and (moved or row.state is FileState.REMOVED):
                drop_waiting(session, row.file_id, copies.values(), counting)
                replaced.append(self._left(row, moved))
            adler32, sha256 = row.adler32, row.sha256
            if adler32 is None and one.adler32:
                adler32 = int(one.adler32, 16)
            if sha256 is None and one.sha256:
                sha256 = bytes.fromhex(one.sha256)
            changed = (
                bool(new_copies)
                or attached
                or (adler32, sha256, state) != (row.adler32, row.sha256, row.state)
                or len(self._metadata[i]) != len(metadata_of(session, row))
            )
            if changed:
                row.adler32, row.sha256, row.state = adler32, sha256, state
                rewrite(session, self._community_id, row, self._metadata[i])
            self.outcomes[i] = ItemOutcome(file_id=row.file_id, changed=changed)
        keep_replaced(session, self._community, replaced, self._at, counting)

    def _left(
        self, row: KnownFile, moved: Sequence[NewReplica]
    ) -> tuple[int, Did, int, int, Sequence[NewReplica]]:
        """Return the old copies to remove: a pilot has replaced them, or they are Bad.

        A Missing copy whose new path a person registers is not removed.
        """
        old = [copy for copy in moved if not self._keep_paths or copy.state is ReplicaState.BAD]
        is_removed = row.state is FileState.REMOVED  # then its copies are remnants already
        return row.file_id, row.did, row.size, row.owner_id, () if is_removed else old


# -- existing rows ------------------------------------------------------------------------------


def known_files(session: Session, community_id: int, dids: Iterable[Did]) -> dict[Did, KnownFile]:
    """Return the rows of the existing files, including Removed ones.

    No other process writes to them before this transaction ends.
    """
    found: dict[Did, KnownFile] = {}
    for scope, scope_id, names in _by_scope(session, community_id, dids):
        given = {"scope_id": scope_id, "names": json_list(names)}
        for row in session.rows("files_named", given):
            did = Did(scope, row[0])
            own: Metadata = decode(row[7]) if row[7] else {}
            found[did] = KnownFile(
                row[1], did, row[2], row[3], row[4], FileState(row[5]), row[6], own, row[8]
            )
    return found


def known_datasets(
    session: Session, community_id: int, dids: Iterable[Did]
) -> dict[Did, KnownDataset]:
    """Return the rows of the existing datasets."""
    found: dict[Did, KnownDataset] = {}
    for scope, scope_id, names in _by_scope(session, community_id, dids):
        given = {"scope_id": scope_id, "names": json_list(names)}
        for row in session.rows("datasets_named", given):
            did = Did(scope, row[0])
            found[did] = KnownDataset(row[1], did, bool(row[2]), decode(row[3]))
    return found


def _by_scope(
    session: Session, community_id: int, dids: Iterable[Did]
) -> Iterable[tuple[str, int, list[str]]]:
    names: defaultdict[str, list[str]] = defaultdict(list)
    for did in dids:
        names[did.scope].append(did.name)
    for scope, several in sorted(names.items()):  # always in one order: no deadlocks
        yield scope, session.own(InternedIds).scope(session, community_id, scope), several


def replicas_of(session: Session, file_ids: Sequence[int]) -> dict[int, dict[str, NewReplica]]:
    """Return the copies of files, by storage."""
    found: defaultdict[int, dict[str, NewReplica]] = defaultdict(dict)
    for row in session.rows("replicas_of_files", {"ids": json_list(file_ids)}):
        copy = NewReplica(storage=row[1], path=row[2], state=ReplicaState(row[3]))
        found[row[0]][copy.storage] = copy
    return found


def metadata_of(session: Session, row: KnownFile) -> Metadata:
    """Return all metadata of a file. The caller must not change them."""
    shared = session.own(InternedIds).metadata_of(session, row.set_id)
    return {**shared, **row.own} if row.own else shared


def brings(new: NewReplica, there: NewReplica | None) -> bool:
    """Return whether a registered copy is news. A Bad copy stays Bad if its path is the same."""
    if there is None or there.path != new.path:
        return True
    return there.state is not ReplicaState.BAD and there.state is not new.state


def check_paths(one: NewFile, copies: Mapping[str, NewReplica]) -> None:
    """Raise BadCatalogueField if a copy that may be good has another path on its storage."""
    for new in one.replicas:
        there = copies.get(new.storage)
        if there is None or there.path == new.path:
            continue
        if there.state not in (ReplicaState.BAD, ReplicaState.MISSING):
            right = f"{there.path!r}, the path of the {there.state.value} copy on {new.storage}"
            raise BadCatalogueField("replicas.path", new.path, right)


def compare(known: KnownFile, one: NewFile) -> None:
    """Raise BadCatalogueField unless size and known checksums of both files are equal."""
    if known.size != one.bytes:
        right = f"{known.size}, the size of {one.did}; files never change"
        raise BadCatalogueField("bytes", one.bytes, right)
    common = False
    for field, new, there in (
        ("adler32", one.adler32, "" if known.adler32 is None else f"{known.adler32:08x}"),
        ("sha256", one.sha256, (known.sha256 or b"").hex()),
    ):
        if new and there:
            common = True
            if new != there:
                right = f"{there}, the {field} of {one.did}; files never change"
                raise BadCatalogueField(field, new, right)
    if not common:
        field = "sha256" if known.adler32 is None else "adler32"
        right = f"the {field} too: without it, {one.did} may be another file"
        raise BadCatalogueField(field, "", right)


def check_number(metadata: Metadata) -> None:
    """Raise BadCatalogueField if a file would have too many metadata keys."""
    if len(metadata) > KEYS_OF_FILE_MAX:
        right = f"at most {KEYS_OF_FILE_MAX}, including inherited ones"
        raise BadCatalogueField("metadata", f"{len(metadata)} keys", right)


def check_open(dataset: str, *, is_open: bool | None) -> None:
    """Raise BadCatalogueField if no file can be added to a dataset. None: it does not exist."""
    if is_open is None:
        right = "an existing dataset: make it with `pilotage data make`"
        raise BadCatalogueField("datasets", dataset, right)
    if not is_open:
        raise BadCatalogueField("datasets", dataset, "an open dataset: this one is closed")


def clash_of(why: BadCatalogueField) -> Clash:
    """Return the Clash that reports this error."""
    return Clash(field=why.field, value=repr(why.value)[:200], right=why.right)


# -- metadata -----------------------------------------------------------------------------------


def learn_values(
    session: Session, keys: Mapping[str, MetadataKey], several: Sequence[Metadata]
) -> None:
    """Record the values of shared keys. Keys whose values differ by file become own."""
    found: defaultdict[str, set[Columns]] = defaultdict(set)
    having: defaultdict[str, int] = defaultdict(int)
    for metadata in several:
        for key, value in metadata.items():
            if not keys[key].is_own:
                having[key] += 1
                found[key].add(columns(value))
    interned = session.own(InternedIds)
    for name, values in found.items():
        one = keys[name]
        known = interned.values(session, one)
        new = values - known
        differ = having[name] >= BATCH_SHOWS_FROM and len(values) > having[name] / 2
        if differ or len(known) + len(new) > OWN_FROM:
            interned.make_own(session, one)
        elif new:
            known |= new
            rows = [{"key_id": one.key_id, "number": n, "text": t} for n, t in sorted(new)]
            session.many("insert_meta_value", rows)


def split(
    metadata: Metadata, keys: Mapping[str, MetadataKey]
) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return the metadata for the set, and those that are the file's own."""
    shared: dict[str, Value] = {}
    own: dict[str, Value] = {}
    for key, value in metadata.items():
        (own if keys[key].is_own else shared)[key] = value
    return shared, own


def own_value_rows(
    set_id: int, own: Metadata, keys: Mapping[str, MetadataKey], file_id: int
) -> list[tuple[Any, ...]]:
    return [(set_id, keys[key].key_id, *columns(value), file_id) for key, value in own.items()]


def replica_row(file_id: int, copy: NewReplica, at: float) -> tuple[Any, ...]:
    return (file_id, copy.storage, copy.path, copy.state.value, at)


def rewrite(session: Session, community_id: int, row: KnownFile, metadata: Metadata) -> None:
    """Update a file's row with these metadata, and give it the next `seq`."""
    interned = session.own(InternedIds)
    keys = interned.keys(session, community_id)
    set_id, own = row.set_id, row.own
    if metadata != metadata_of(session, row):
        shared, own = split(metadata, keys)
        set_id = interned.set_of(session, community_id, shared)
        old = own_value_rows(row.set_id, row.own, keys, row.file_id)
        session.many("remove_own_value", old)
        session.many("insert_own_value", own_value_rows(set_id, own, keys, row.file_id))
    session.run(
        "change_file",
        (
            session.reserve("file_change"),
            set_id,
            encode(own).decode() if own else None,
            row.state.value,
            row.adler32,
            row.sha256,
            row.file_id,
        ),
    )
    row.set_id, row.own = set_id, own


def insert_dataset(session: Session, community_id: int, new: NewDataset, at: float) -> int:
    """Insert a dataset. Return its id."""
    dataset_id = session.reserve("dataset")
    session.run(
        "insert_dataset",
        {
            "dataset_id": dataset_id,
            "community_id": community_id,
            "scope_id": session.own(InternedIds).scope(session, community_id, new.did.scope),
            "name": new.did.name,
            "owner_id": new.owner_id,
            "metadata": encode(new.metadata).decode(),
            "created_at": at,
        },
    )
    return dataset_id
