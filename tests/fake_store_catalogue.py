"""The part of the store in memory that keeps the catalogue: naive, each file with all it has."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pilotage.central.store.catalogue import (
    AVAILABLE,
    KEYS_MAX,
    Clash,
    DatasetRow,
    FileRow,
    Found,
    KeyRow,
    MetadataChange,
    NewDataset,
    NewFile,
    NewReplica,
    Outcome,
    Place,
    ReplicaChange,
    ReplicaRow,
)
from pilotage.central.store.protocol import CHUNK_MAX
from pilotage.proto.catalogue import (
    KEYS_MAX as KEYS_OF_FILE_MAX,
)
from pilotage.proto.catalogue import (
    Did,
    FileState,
    KeyType,
    Metadata,
    NotRight,
    Query,
    ReplicaState,
    Value,
    check_type,
    type_of,
)

from .fake_store_files import CatalogueData, Community, File
from .fake_store_remnants import FakeRemnants

Item = TypeVar("Item")
_THERE = (ReplicaState.AVAILABLE, ReplicaState.COPYING)


def mark_removed(file: File, at: float) -> bool:
    """Mark a file Removed, and its replicas Missing; False: it is so already."""
    if file.state is FileState.REMOVED:
        return False
    file.state = FileState.REMOVED
    for storage, there in file.replicas.items():
        gone = NewReplica(storage=storage, path=there.path, state=ReplicaState.MISSING)
        file.replicas[storage] = _replica(file, gone, at)
    return True


class FakeCatalogue(FakeRemnants):
    """The verbs of `store.catalogue`."""

    _catalogue_data: CatalogueData

    def begin_write(self) -> None:
        """Raise what a write raises now."""
        raise NotImplementedError

    async def synced(self) -> None:
        """Wait for the disk."""
        raise NotImplementedError

    # -- files ----------------------------------------------------------------------------------

    async def register_files(
        self, community: str, files: Sequence[NewFile], *, at: float, make_datasets: bool = False
    ) -> list[Outcome]:
        self.begin_write()
        if len(files) > CHUNK_MAX:
            raise ValueError(f"a batch of {len(files)} files is too long")
        outcomes = [
            self._register(community, one, at, make_datasets, keep_paths=True) for one in files
        ]
        await self.synced()
        return outcomes

    def publish_files(
        self, community: str, files: Sequence[NewFile], *, at: float
    ) -> list[Outcome]:
        """Register all or none, datasets made if missing: what a store does with a result."""
        before = copy.deepcopy(self._catalogue_data)
        outcomes = [self._register(community, one, at, True) for one in files]
        names = [one.did for one in files]
        for i, did in enumerate(names):
            if did in names[:i]:
                clash = Clash(field="did", value=str(did), right="each name once")
                outcomes[i] = Outcome(clash=clash)
        if any(one.clash is not None for one in outcomes):
            self._catalogue_data = before
        return outcomes

    def keep_job_inputs(self, job_id: int, file_ids: Sequence[int]) -> None:
        self._catalogue_data.job_inputs[job_id] = list(file_ids)

    def _register(
        self, community: str, one: NewFile, at: float, make: bool, keep_paths: bool = False
    ) -> Outcome:
        there = self._catalogue_data.of(community).files.get(one.did)
        before = copy.deepcopy(there)
        try:
            if keep_paths and there is not None:
                _compare(there, one)
                _check_paths(there, one)
            if not keep_paths and there is not None and there.state is FileState.REMOVED:
                raise NotRight("did", str(one.did), "a file that is there: this one was removed")
            outcome = self._registered(community, one, at, make, keep_paths)
            if before is not None and outcome.changed and one.own:
                after = self._catalogue_data.of(community).files[one.did]
                is_sure = not keep_paths and bool(one.sha256 and before.sha256)
                is_sure = is_sure and after.metadata == before.metadata
                if before.owner_id != one.owner_id and not is_sure:
                    self._catalogue_data.of(community).files[one.did] = before
                    raise NotRight(_first_new(before, one), "something new", "nothing new")
        except NotRight as why:
            return Outcome(clash=_clash(why))
        return outcome

    def _registered(
        self, community: str, one: NewFile, at: float, make: bool, by_hand: bool
    ) -> Outcome:
        data, here = self._catalogue_data, self._catalogue_data.of(community)
        if one.did in here.datasets:
            raise NotRight("did", str(one.did), "another name: a dataset is called so")
        if not one.adler32 and not one.sha256:
            raise NotRight("adler32", "", "a checksum: adler32 or sha256")
        inherited: dict[str, Value] = {}
        for did in one.datasets:
            there = here.datasets.get(did)
            if there is None and (not make or did in here.files or did == one.did):
                raise NotRight("datasets", str(did), "a dataset that is there: make it first")
            if there is not None and not there.is_open:
                raise NotRight("datasets", str(did), "an open dataset: this one is closed")
            inherited.update(there.metadata if there is not None else {})
        _check_keys(here, one.metadata)
        for made in one.replicas:
            self.check_unswept(made, "replicas.path")
        known = here.files.get(one.did)
        wanted: dict[str, Value] = {**inherited, **one.metadata}
        if known is not None:
            _compare(known, one)
            for key, value in one.metadata.items():
                if known.metadata.get(key, value) != value:
                    raise NotRight(f"metadata.{key}", value, f"{known.metadata[key]!r}")
            wanted.update(known.metadata)
        if len(wanted) > KEYS_OF_FILE_MAX:
            raise NotRight("metadata", f"{len(wanted)} keys", f"at most {KEYS_OF_FILE_MAX}")
        for did in one.datasets:
            self._make(here, NewDataset(did=did, owner_id=one.owner_id), at)
        here.keys.update({key: type_of(value) for key, value in one.metadata.items()})
        new = known is None
        if known is None:
            known = File(
                data.next_file,
                one.did,
                one.bytes,
                one.adler32,
                one.sha256,
                one.owner_id,
                one.job_id,
                one.epoch,
                at,
            )
            data.next_file += 1
            here.files[one.did] = known
        before = copy.deepcopy(known)
        known.metadata = wanted
        known.datasets |= set(one.datasets)
        known.adler32 = known.adler32 or one.adler32
        known.sha256 = known.sha256 or one.sha256
        fresh = [copy for copy in one.replicas if _brings(copy, known.replicas.get(copy.storage))]
        for made in fresh:
            self.replaced(community, known, made, at, by_hand=by_hand)
            known.replicas[made.storage] = _replica(known, made, at)
        if fresh and known.state is FileState.REMOVED:
            known.state = FileState.MISSING
        known.settle()
        changed = known != before
        if new or changed:
            data.touch(known)
        return Outcome(file_id=known.file_id, new=new, changed=changed and not new)

    async def find_files(
        self,
        community: str,
        query: Query,
        *,
        states: frozenset[FileState] = AVAILABLE,
        after: Place | None = None,
        limit: int,
    ) -> Found:
        here = self._catalogue_data.of(community)
        begin = after.file_id if after is not None else 0
        found = [
            file
            for file in here.files.values()
            if file.file_id > begin
            and file.state in states
            and query.meets(file.metadata)
            and (query.dataset is None or query.dataset in file.datasets)
        ]
        found.sort(key=lambda file: file.file_id)
        rows = [file.row() for file in found[:limit]]
        return Found(rows, Place(0, rows[-1].file_id) if len(found) > limit else None)

    async def files_by_did(self, community: str, dids: Sequence[Did]) -> list[FileRow | None]:
        files = self._catalogue_data.of(community).files
        return [files[did].row() if did in files else None for did in dids]

    async def files_by_id(self, file_ids: Sequence[int]) -> dict[int, FileRow]:
        wanted = set(file_ids)
        return {
            file.file_id: file.row()
            for file in self._catalogue_data.all()
            if file.file_id in wanted
        }

    async def files_changed(self, community: str, since: int, *, limit: int) -> list[FileRow]:
        files = self._catalogue_data.of(community).files.values()
        return [
            file.row() for file in sorted(files, key=lambda file: file.seq) if file.seq > since
        ][:limit]

    async def last_change(self, community: str) -> int:
        files = self._catalogue_data.of(community).files.values()
        return max((file.seq for file in files), default=0)

    async def set_metadata(
        self, community: str, changes: Sequence[MetadataChange], *, at: float
    ) -> list[Outcome]:
        here = self._catalogue_data.of(community)

        def change(file: File, one: MetadataChange) -> bool:
            wanted = {**file.metadata, **one.metadata}
            for key in one.remove:
                wanted.pop(key, None)
            if len(wanted) > KEYS_OF_FILE_MAX:
                raise NotRight("metadata", f"{len(wanted)} keys", f"at most {KEYS_OF_FILE_MAX}")
            _check_keys(here, one.metadata)
            here.keys.update({key: type_of(value) for key, value in one.metadata.items()})
            different, file.metadata = wanted != file.metadata, wanted
            return different

        return await self._each(here, [(one.did, one) for one in changes], change)

    async def remove_files(
        self, community: str, dids: Sequence[Did], *, at: float
    ) -> list[Outcome]:
        def change(file: File, _: None) -> bool:
            return mark_removed(file, at)

        here = self._catalogue_data.of(community)
        return await self._each(here, [(did, None) for did in dids], change)

    async def _each(
        self,
        here: Community,
        items: Sequence[tuple[Did, Item]],
        change: Callable[[File, Item], bool],
    ) -> list[Outcome]:
        self.begin_write()
        outcomes: list[Outcome] = []
        for did, item in items:
            try:
                file = here.files.get(did)
                if file is None:
                    raise NotRight("did", str(did), "a file of the catalogue")
                changed = change(file, item)
                if changed:
                    file.settle()
                    self._catalogue_data.touch(file)
                outcomes.append(Outcome(file_id=file.file_id, changed=changed))
            except NotRight as why:
                outcomes.append(Outcome(clash=_clash(why)))
        await self.synced()
        return outcomes

    # -- replicas -------------------------------------------------------------------------------

    async def replicas_of(self, file_ids: Sequence[int]) -> dict[int, list[ReplicaRow]]:
        wanted = set(file_ids)
        return {
            file.file_id: [file.replicas[storage] for storage in sorted(file.replicas)]
            for file in self._catalogue_data.all()
            if file.file_id in wanted and file.replicas
        }

    async def change_replicas(
        self, community: str, changes: Sequence[ReplicaChange], *, at: float
    ) -> list[Outcome]:
        def change(file: File, one: ReplicaChange) -> bool:
            there = file.replicas.get(one.storage)
            if one.state is None:
                path = there.path if there is not None else None
                given_up = self.give_up(file, one.storage, path, at)
                return file.replicas.pop(one.storage, None) is not None or given_up
            if there is None and not one.path:
                raise NotRight("storage", one.storage, "a storage that has a copy")
            if file.state is FileState.REMOVED and one.state is ReplicaState.AVAILABLE:
                right = "a file that is not removed: register it again"
                raise NotRight("did", str(file.did), right)
            path = one.path or (there.path if there is not None else "")
            made = _replica(file, NewReplica(storage=one.storage, path=path, state=one.state), at)
            if there is not None and (there.path, there.state) == (made.path, made.state):
                return False
            if there is None or there.path != path or one.state in _THERE:
                wanted = NewReplica(storage=one.storage, path=path, state=one.state)
                self.check_unswept(wanted, "path")
            file.replicas[one.storage] = made
            return True

        here = self._catalogue_data.of(community)
        return await self._each(here, [(one.did, one) for one in changes], change)

    # -- datasets -------------------------------------------------------------------------------

    async def make_dataset(self, community: str, new: NewDataset, *, at: float) -> DatasetRow:
        self.begin_write()
        here = self._catalogue_data.of(community)
        if new.did in here.files:
            raise NotRight("did", str(new.did), "another name: a file is called so")
        if new.did not in here.datasets:
            _check_keys(here, new.metadata)
            here.keys.update({key: type_of(value) for key, value in new.metadata.items()})
        elif dict(here.datasets[new.did].metadata) != dict(new.metadata):
            right = f"{here.datasets[new.did].metadata}: that is what the dataset has"
            raise NotRight("metadata", str(new.metadata), right)
        made = self._make(here, new, at)
        await self.synced()
        return made

    def _make(self, here: Community, new: NewDataset, at: float) -> DatasetRow:
        if new.did not in here.datasets:
            here.datasets[new.did] = DatasetRow(
                dataset_id=self._catalogue_data.next_dataset,
                did=new.did,
                is_open=True,
                metadata=dict(new.metadata),
                owner_id=new.owner_id,
                created_at=at,
            )
            self._catalogue_data.next_dataset += 1
        return here.datasets[new.did]

    async def dataset(self, community: str, did: Did) -> DatasetRow | None:
        return self._catalogue_data.of(community).datasets.get(did)

    async def datasets(self, community: str, *, after: Did | None, limit: int) -> list[DatasetRow]:
        there = self._catalogue_data.of(community).datasets
        return [there[did] for did in sorted(there) if after is None or did > after][:limit]

    async def open_dataset(self, community: str, did: Did, is_open: bool) -> bool:
        self.begin_write()
        there = self._catalogue_data.of(community).datasets
        if did not in there:
            return False
        old = there[did]
        there[did] = DatasetRow(
            dataset_id=old.dataset_id,
            did=did,
            is_open=is_open,
            metadata=old.metadata,
            owner_id=old.owner_id,
            created_at=old.created_at,
        )
        await self.synced()
        return True

    async def attach(
        self, community: str, dataset: Did, dids: Sequence[Did], *, at: float
    ) -> list[Outcome]:
        def change(file: File, _: None) -> bool:
            different = dataset not in file.datasets
            file.datasets.add(dataset)
            return different

        return await self._in_dataset(community, dataset, dids, change)

    async def detach(
        self, community: str, dataset: Did, dids: Sequence[Did], *, at: float
    ) -> list[Outcome]:
        def change(file: File, _: None) -> bool:
            different = dataset in file.datasets
            file.datasets.discard(dataset)
            return different

        return await self._in_dataset(community, dataset, dids, change)

    async def _in_dataset(
        self,
        community: str,
        dataset: Did,
        dids: Sequence[Did],
        change: Callable[[File, None], bool],
    ) -> list[Outcome]:
        here = self._catalogue_data.of(community)
        there = here.datasets.get(dataset)
        if there is None or not there.is_open:
            right = "a dataset that is there" if there is None else "an open dataset: it is closed"
            clash = Clash(field="dataset", value=str(dataset), right=right)
            return [Outcome(clash=clash) for _ in dids]
        return await self._each(here, [(did, None) for did in dids], change)

    async def datasets_of(self, file_ids: Sequence[int]) -> dict[int, list[Did]]:
        wanted = set(file_ids)
        return {
            file.file_id: sorted(file.datasets)
            for file in self._catalogue_data.all()
            if file.file_id in wanted and file.datasets
        }

    # -- keys and lineage -----------------------------------------------------------------------

    async def keys(self, community: str) -> list[KeyRow]:
        here = self._catalogue_data.of(community)
        return [KeyRow(key=key, type=here.keys[key], is_own=False) for key in sorted(here.keys)]

    async def add_keys(self, community: str, keys: Mapping[str, KeyType]) -> None:
        self.begin_write()
        here = self._catalogue_data.of(community)
        for key, kind in keys.items():
            if here.keys.get(key, kind) is not kind:
                raise NotRight(f"keys.{key}", kind.value, f"{here.keys[key].value}: it is in use")
        here.keys.update(keys)
        await self.synced()

    async def inputs_of_jobs(self, job_ids: Sequence[int]) -> dict[int, list[int]]:
        there = self._catalogue_data.job_inputs
        return {job: list(there[job]) for job in job_ids if job in there}

    async def jobs_reading(self, file_ids: Sequence[int], *, limit: int) -> list[tuple[int, int]]:
        there = self._catalogue_data.job_inputs
        return [
            (file_id, job) for file_id in file_ids for job in sorted(there) if file_id in there[job]
        ][:limit]

    async def files_of_jobs(self, job_ids: Sequence[int], *, limit: int) -> list[FileRow]:
        wanted = set(job_ids)
        return [f.row() for f in self._catalogue_data.all() if f.job_id in wanted][:limit]


def _check_keys(here: Community, metadata: Metadata) -> None:
    for key, value in metadata.items():
        if key in here.keys:
            check_type(key, value, here.keys[key])
        elif len(here.keys) >= KEYS_MAX:
            raise NotRight(f"metadata.{key}", key, f"one of the {KEYS_MAX} keys that are here")


def _compare(known: File, one: NewFile) -> None:
    if known.bytes != one.bytes:
        raise NotRight("bytes", one.bytes, f"{known.bytes}: it is there with other bytes")
    pairs = [
        (field, new, there)
        for field, new, there in (
            ("adler32", one.adler32, known.adler32),
            ("sha256", one.sha256, known.sha256),
        )
        if new and there
    ]
    for field_, new, there in pairs:
        if new != there:
            raise NotRight(field_, new, f"{there}: it is there with other bytes")
    if not pairs:
        raise NotRight("adler32" if known.adler32 else "sha256", "", "the checksum that is known")


def _brings(new: NewReplica, there: ReplicaRow | None) -> bool:
    if there is None or there.path != new.path:
        return True
    return there.state is not ReplicaState.BAD and there.state is not new.state


def _check_paths(known: File, one: NewFile) -> None:
    for new in one.replicas:
        there = known.replicas.get(new.storage)
        if there is not None and there.path != new.path:
            if there.state in (ReplicaState.AVAILABLE, ReplicaState.COPYING):
                raise NotRight("replicas.path", new.path, f"{there.path!r}: there it is")


def _first_new(known: File, one: NewFile) -> str:
    if any(key not in known.metadata for key in one.metadata):
        return "metadata"
    if any(_brings(new, known.replicas.get(new.storage)) for new in one.replicas):
        return "replicas"
    if not set(one.datasets) <= known.datasets:
        return "datasets"
    return "sha256" if known.adler32 else "adler32"


def _replica(file: File, made: NewReplica, at: float) -> ReplicaRow:
    return ReplicaRow(
        file_id=file.file_id,
        storage=made.storage,
        path=made.path,
        state=made.state,
        changed_at=at,
    )


def _clash(why: NotRight) -> Clash:
    return Clash(field=why.field, value=repr(why.value)[:200], right=why.right)
