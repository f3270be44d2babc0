"""Datasets and their files. Changes are on the writer's session."""

from collections.abc import Sequence

from pilotage.proto.catalogue import BadCatalogueField, Did, Metadata

from ..store.engine import weighs
from ..store.session import Session
from .record_files import change_each, take_keys
from .record_interned import InternedIds, decode
from .record_registration import (
    ROWS_A_FILE,
    KnownFile,
    insert_dataset,
    known_datasets,
    known_files,
    metadata_of,
    rewrite,
)
from .record_types import Clash, DatasetRow, ItemOutcome, NewDataset


def make_dataset(session: Session, community: str, new: NewDataset, *, at: float) -> DatasetRow:
    """Make a dataset, or return the existing one.

    Raises BadCatalogueField if a file has the name, or if the metadata differ from the existing
    ones.
    """
    community_id = session.own(InternedIds).community(session, community)
    there = known_datasets(session, community_id, [new.did]).get(new.did)
    if there is None:
        if known_files(session, community_id, [new.did]):
            raise BadCatalogueField("did", str(new.did), "another name: a file has this one")
        take_keys(session, community_id, new.metadata)
        insert_dataset(session, community_id, new, at)
    else:
        _check_same(new.metadata, there.metadata)
    found = dataset(session, community, new.did)
    assert found is not None
    return found


def _check_same(new: Metadata, fixed: Metadata) -> None:
    """Raise BadCatalogueField, with the first key of another value, if the metadata differ."""
    for key in sorted({*new, *fixed}):
        if new.get(key) != fixed.get(key):
            right = repr(fixed[key]) if key in fixed else "no such key"
            right += ": the dataset exists, and its metadata are fixed"
            raise BadCatalogueField(f"metadata.{key}", new.get(key), right)


def dataset(session: Session, community: str, did: Did) -> DatasetRow | None:
    """Return a dataset's row, or None if it does not exist."""
    given = {"community": community, "scope": did.scope, "name": did.name}
    row = session.one("dataset_named", given)
    return None if row is None else dataset_of(row)


def dataset_of(row: tuple[object, ...]) -> DatasetRow:
    dataset_id, scope, name, is_open, metadata, owner_id, created_at = row
    return DatasetRow(
        dataset_id=int(str(dataset_id)),
        did=Did(str(scope), str(name)),
        is_open=bool(is_open),
        metadata=decode(str(metadata)),
        owner_id=int(str(owner_id)),
        created_at=float(str(created_at)),
    )


def open_dataset(session: Session, community: str, did: Did, is_open: bool) -> bool:
    """Open or close a dataset. Return False if it does not exist."""
    found = dataset(session, community, did)
    if found is None:
        return False
    session.run("open_dataset", {"dataset_id": found.dataset_id, "is_open": is_open})
    return True


@weighs(ROWS_A_FILE)
def attach(session: Session, community: str, name: Did, dids: Sequence[Did]) -> list[ItemOutcome]:
    """Attach files to an open dataset. The metadata of the files stay the same."""
    return _attach(session, community, name, dids, there=True)


@weighs(ROWS_A_FILE)
def detach(session: Session, community: str, name: Did, dids: Sequence[Did]) -> list[ItemOutcome]:
    """Detach files from an open dataset."""
    return _attach(session, community, name, dids, there=False)


def _attach(
    session: Session, community: str, name: Did, dids: Sequence[Did], *, there: bool
) -> list[ItemOutcome]:
    """Attach files to a dataset, or detach them."""
    community_id = session.own(InternedIds).community(session, community)
    found = dataset(session, community, name)
    if found is None or not found.is_open:
        right = "an existing dataset" if found is None else "an open dataset: it is closed"
        clash = Clash(field="dataset", value=str(name), right=right)
        return [ItemOutcome(clash=clash) for _ in dids]
    statement = "attach_file" if there else "detach_file"

    def change(row: KnownFile, _: None) -> bool:
        if not any(session.each(statement, [(found.dataset_id, row.file_id)])):
            return False
        rewrite(session, community_id, row, metadata_of(session, row))
        return True

    return change_each(session, community_id, [(did, None) for did in dids], change)
