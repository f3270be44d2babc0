"""Files of a Rucio server in our catalogue, on the writer's session.

A mirrored file belongs to the identity of its server. Rucio decides which copies it has on the
server's storages. No remnants come of these copies: Rucio removes their bytes by itself.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from pilotage.proto.catalogue import Did, FileState, Metadata, state_of

from ..catalogue import record_datasets as dataset_records, record_files as file_records
from ..catalogue.record_interned import InternedIds
from ..catalogue.record_registration import (
    ROWS_A_FILE,
    KnownFile,
    known_files,
    metadata_of,
    register_files,
    replicas_of,
    rewrite,
)
from ..catalogue.record_types import ItemOutcome, MetadataChange, NewDataset, NewFile
from ..store.engine import takes_long, weighs
from ..store.session import Session

PAGE: Final = 500


@weighs(ROWS_A_FILE)
def mirror_files(
    session: Session,
    community: str,
    files: Sequence[NewFile],
    storages: Sequence[str],
    *,
    at: float,
) -> list[ItemOutcome]:
    """Register files as Rucio has them. `storages` are those that it decides about.

    A file of this owner with the same bytes gets Rucio's values of metadata, and loses copies that
    Rucio does not have. A file of another owner, such as an output that went out, keeps its
    metadata. Other bytes clash, and nothing is changed.
    """
    community_id = session.own(InternedIds).community(session, community)
    known = known_files(session, community_id, [one.did for one in files])
    own: dict[Did, NewFile] = {
        one.did: one
        for one in files
        if (row := known.get(one.did)) is not None
        and row.owner_id == one.owner_id
        and _same_bytes(row, one)
    }
    dropped = {
        did
        for did, one in own.items()
        if _drop_copies(session, community_id, known[did], one, storages)
    }
    changes = [MetadataChange(did=did, metadata=one.metadata) for did, one in own.items()]
    changed = dict(zip(own, file_records.set_metadata(session, community, changes), strict=True))
    nothing: Metadata = {}
    given = [
        msgspec.structs.replace(one, metadata=nothing) if one.did in known else one for one in files
    ]
    outcomes = register_files(session, community, given, at=at, make_datasets=True)
    return [
        _joined(changed.get(one.did), outcome, one.did in dropped)
        for one, outcome in zip(files, outcomes, strict=True)
    ]


def _joined(metadata: ItemOutcome | None, outcome: ItemOutcome, dropped: bool) -> ItemOutcome:
    """Return the outcome of a file, whose metadata were set before."""
    if metadata is None or outcome.clash is not None:
        return outcome
    if metadata.clash is not None:
        return metadata
    changed = outcome.changed or metadata.changed or dropped
    return msgspec.structs.replace(outcome, changed=changed)


def _same_bytes(row: KnownFile, one: NewFile) -> bool:
    adler32 = "" if row.adler32 is None else f"{row.adler32:08x}"
    return row.size == one.bytes and adler32 == one.adler32


def _drop_copies(
    session: Session, community_id: int, row: KnownFile, one: NewFile, storages: Sequence[str]
) -> bool:
    """Forget copies that Rucio does not have there. Return whether there were any."""
    copies = replicas_of(session, [row.file_id]).get(row.file_id, {})
    listed = {copy.storage: copy.path for copy in one.replicas}
    gone = [name for name in storages if name in copies and listed.get(name) != copies[name].path]
    if not gone:
        return False
    _forget(session, row, gone)
    if row.state is not FileState.REMOVED:
        row.state = state_of([copy.state for name, copy in copies.items() if name not in gone])
    rewrite(session, community_id, row, metadata_of(session, row))
    return True


def _forget(session: Session, row: KnownFile, storages: Sequence[str]) -> None:
    session.many("remove_replica", [(row.file_id, name) for name in storages])


@weighs(ROWS_A_FILE)
def erase_files(
    session: Session,
    community: str,
    dids: Sequence[Did],
    storages: Sequence[str],
    *,
    owner_id: int,
    at: float,
) -> list[Did]:
    """Remove files of this owner that Rucio has erased. Return those that were still there.

    Copies on other storages than Rucio's become remnants, as those of every removed file.
    """
    community_id = session.own(InternedIds).community(session, community)
    known = known_files(session, community_id, dids)
    erased = [
        did
        for did, row in known.items()
        if row.owner_id == owner_id and row.state is not FileState.REMOVED
    ]
    for did in erased:
        _forget(session, known[did], storages)
    file_records.remove_files(session, community, erased, at=at)
    return erased


@weighs(ROWS_A_FILE)
def settle_dataset(
    session: Session,
    community: str,
    did: Did,
    gone: Sequence[Did],
    *,
    is_open: bool,
    owner_id: int,
    at: float,
) -> None:
    """Make a dataset or open it, detach files, then leave it open or closed as it is in Rucio.

    A dataset of another owner keeps its files and its state: outputs of jobs may not be in Rucio
    yet. Raises BadCatalogueField if a file has the name.
    """
    row = dataset_records.dataset(session, community, did)
    if row is None:
        new = NewDataset(did=did, owner_id=owner_id)
        row = dataset_records.make_dataset(session, community, new, at=at)
    if row.owner_id != owner_id:
        return
    if gone:
        dataset_records.open_dataset(session, community, did, True)
        dataset_records.detach(session, community, did, gone)
    if gone or row.is_open != is_open:
        dataset_records.open_dataset(session, community, did, is_open)


@takes_long
def files_of_owner(
    session: Session, community: str, owner_id: int, after: int
) -> tuple[list[Did], int | None]:
    """Return a page of the files that an owner registered, and the id to continue after."""
    given = {"community": community, "owner_id": owner_id, "after": after, "limit": PAGE}
    rows = session.rows("files_of_owner_after", given)
    dids = [Did(row[1], row[2]) for row in rows]
    return dids, rows[-1][0] if len(rows) == PAGE else None
