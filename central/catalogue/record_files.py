"""Changes of registered files and of metadata keys, on the writer's session."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from pilotage.proto.catalogue import (
    BadCatalogueField,
    Did,
    FileState,
    KeyType,
    ReplicaState,
    Value,
    check_type,
    state_of,
    type_of,
)

from ..store.engine import weighs
from ..store.session import Session
from .record_interned import InternedIds
from .record_registration import (
    ROWS_A_FILE,
    KnownFile,
    check_number,
    clash_of,
    known_files,
    learn_values,
    metadata_of,
    replica_row,
    replicas_of,
    rewrite,
)
from .record_remnants import BarredPaths, CountChanges, give_up, keep_removed
from .record_types import (
    KEYS_MAX,
    ItemOutcome,
    MetadataChange,
    NewReplica,
    ReplicaChange,
)

Item = TypeVar("Item")
_THERE: Final = (ReplicaState.AVAILABLE, ReplicaState.COPYING)


@weighs(ROWS_A_FILE)
def set_metadata(
    session: Session, community: str, changes: Sequence[MetadataChange]
) -> list[ItemOutcome]:
    """Set and remove metadata keys of files."""
    community_id = session.own(InternedIds).community(session, community)

    def change(row: KnownFile, one: MetadataChange) -> bool:
        there = metadata_of(session, row)
        wanted: dict[str, Value] = {**there, **one.metadata}
        for key in one.remove:
            wanted.pop(key, None)
        check_number(wanted)
        take_keys(session, community_id, one.metadata)
        if wanted == there:
            return False
        learn_values(session, session.own(InternedIds).keys(session, community_id), [wanted])
        rewrite(session, community_id, row, wanted)
        return True

    return change_each(session, community_id, [(one.did, one) for one in changes], change)


@weighs(ROWS_A_FILE)
def change_replicas(
    session: Session, community: str, changes: Sequence[ReplicaChange], *, at: float
) -> list[ItemOutcome]:
    """Set the states of replicas. The states of their files follow."""
    community_id = session.own(InternedIds).community(session, community)
    session.names_paths()
    counting = CountChanges()

    def change(row: KnownFile, one: ReplicaChange) -> bool:
        copies = replicas_of(session, [row.file_id]).get(row.file_id, {})
        there = copies.get(one.storage)
        if there is None and (not one.path or one.state is None):
            if one.state is None:
                return give_up(session, row.file_id, one.storage, None, at, counting)
            right = f"a storage that has a copy ({', '.join(copies) or 'none has one'})"
            raise BadCatalogueField("storage", one.storage, right)
        if row.state is FileState.REMOVED and one.state is ReplicaState.AVAILABLE:
            raise BadCatalogueField(
                "did", str(row.did), "a file that is not removed; register it again"
            )
        if one.state is None:
            session.run("remove_replica", (row.file_id, one.storage))
            copies.pop(one.storage)
            path = there.path if there else None
            give_up(session, row.file_id, one.storage, path, at, counting)
        else:
            path = one.path or (there.path if there else "")
            copy = NewReplica(storage=one.storage, path=path, state=one.state)
            if copy == there:
                return False
            if there is None or there.path != path or one.state in _THERE:
                BarredPaths(session, [copy]).check(copy, "path")
            session.run("put_replica", replica_row(row.file_id, copy, at))
            copies[one.storage] = copy
        if row.state is not FileState.REMOVED:
            row.state = state_of([copy.state for copy in copies.values()])
        rewrite(session, community_id, row, metadata_of(session, row))
        return True

    outcomes = change_each(session, community_id, [(one.did, one) for one in changes], change)
    counting.write(session)
    return outcomes


@weighs(ROWS_A_FILE)
def remove_files(
    session: Session, community: str, dids: Sequence[Did], *, at: float
) -> list[ItemOutcome]:
    """Mark files Removed, and their replicas Missing. Files that are already Removed stay."""
    community_id = session.own(InternedIds).community(session, community)
    removed: list[tuple[int, Did, int, int, Sequence[NewReplica]]] = []

    def change(row: KnownFile, _: None) -> bool:
        if row.state is FileState.REMOVED:
            return False
        copies = list(replicas_of(session, [row.file_id]).get(row.file_id, {}).values())
        removed.append((row.file_id, row.did, row.size, row.owner_id, copies))
        for copy in copies:
            gone = NewReplica(storage=copy.storage, path=copy.path, state=ReplicaState.MISSING)
            session.run("put_replica", replica_row(row.file_id, gone, at))
        row.state = FileState.REMOVED
        rewrite(session, community_id, row, metadata_of(session, row))
        return True

    outcomes = change_each(session, community_id, [(did, None) for did in dids], change)
    counting = CountChanges()
    keep_removed(session, community, removed, at, counting)
    counting.write(session)
    return outcomes


def change_each(
    session: Session,
    community_id: int,
    items: Sequence[tuple[Did, Item]],
    change: Callable[[KnownFile, Item], bool],
) -> list[ItemOutcome]:
    """Change the given files one by one. A file that is given twice is changed twice."""
    known = known_files(session, community_id, {did for did, _ in items})
    outcomes: list[ItemOutcome] = []
    for did, item in items:
        row = known.get(did)
        try:
            if row is None:
                right = "a registered file" + (
                    ", not a pattern" if {"*", "?"} & set(did.name) else ""
                )
                raise BadCatalogueField("did", str(did), right)
            outcomes.append(ItemOutcome(file_id=row.file_id, changed=change(row, item)))
        except BadCatalogueField as why:
            outcomes.append(ItemOutcome(clash=clash_of(why)))
    return outcomes


# -- keys ---------------------------------------------------------------------------------------


def add_keys(session: Session, community: str, keys: Mapping[str, KeyType]) -> None:
    """Add keys with their types. Raises BadCatalogueField if a key has another type."""
    community_id = session.own(InternedIds).community(session, community)
    known = session.own(InternedIds).keys(session, community_id)
    for key, kind in keys.items():
        there = known.get(key)
        if there is not None and there.kind is not kind:
            raise BadCatalogueField(f"keys.{key}", kind.value, f"{there.kind.value}, its type")
    _make_keys(session, community_id, keys)


def take_keys(session: Session, community_id: int, metadata: Mapping[str, Value]) -> None:
    """Check values against the types of their keys, and add new keys.

    Raises BadCatalogueField.
    """
    known = session.own(InternedIds).keys(session, community_id)
    for key, value in metadata.items():
        if key in known:
            check_type(key, value, known[key].kind)
    _make_keys(session, community_id, {key: type_of(value) for key, value in metadata.items()})


def _make_keys(session: Session, community_id: int, keys: Mapping[str, KeyType]) -> None:
    known = session.own(InternedIds).keys(session, community_id)
    new = {key: kind for key, kind in keys.items() if key not in known}
    if new and len(known) + len(new) > KEYS_MAX:
        right = f"an existing key: the limit of {KEYS_MAX} keys is reached"
        raise BadCatalogueField(f"metadata.{next(iter(new))}", next(iter(new)), right)
    for key, kind in new.items():
        session.own(InternedIds).add_key(session, community_id, key, kind)
