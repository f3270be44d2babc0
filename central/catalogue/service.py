"""The catalogue's operations: check rights, turn requests into records and records into views."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pilotage.proto.api.data import (
    ITEMS_MAX,
    LINKS_MAX,
    ChangePage,
    CopyPage,
    DatasetAction,
    DatasetActionName,
    DatasetPage,
    DatasetRequest,
    DatasetView,
    DeclareRequest,
    DidsRequest,
    Direction,
    FileCopies,
    FileDetail,
    FileItem,
    FilePage,
    FileView,
    FindRequest,
    ItemResult,
    ItemsReply,
    KeyList,
    KeysRequest,
    KeyView,
    Lineage,
    LineageLink,
    ListBy,
    ListRequest,
    MetadataRequest,
    Refusal,
    RegisterRequest,
    ReplicaItem,
    Replicas,
    ReplicaView,
    UsagePage,
    UsageRow,
)
from pilotage.proto.catalogue import (
    BadCatalogueField,
    Did,
    FileState,
    Query,
    check_key,
    check_path,
    check_scope,
    checked_metadata,
    parse_query,
)
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import User
from ..identity.scope import Owners
from ..observe.events import Log
from ..observe.times import shown
from ..ports import Clock
from ..store.engine import Store
from . import (
    record_datasets as dataset_records,
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
    record_remnants as remnant_records,
)
from .lineage import links_of
from .record_types import (
    Clash,
    DatasetRow,
    FileCursor,
    FileRow,
    ItemOutcome,
    MetadataChange,
    NewDataset,
    NewFile,
    NewReplica,
    ReplicaChange,
    ReplicaRow,
)
from .remnants import view_of
from .reserved_paths import JobOf, ReservedPaths, copies_of, no_jobs
from .rights import WriteScope, community_of, writing
from .storages import Storages

Item = TypeVar("Item")
TOGETHER: Final = 250  # files in a transaction; matched jobs wait for its end
DATASETS_COMPARED: Final = 1_000  # names searched for suggestions if a dataset is unknown


class CatalogueService:
    """The operations on the catalogue that routes and other subjects call."""

    def __init__(
        self,
        store: Store,
        owners: Owners,
        clock: Clock,
        log: Log,
        storages: Storages | None = None,
        *,
        job_of: JobOf = no_jobs,
    ) -> None:
        """`job_of` finds a job by id, to check that users register only their own jobs' paths."""
        self._store, self._owners, self._clock, self._log = store, owners, clock, log
        self._storages, self._job_of = storages or Storages(), job_of

    # -- reading --------------------------------------------------------------------------------

    async def find(self, caller: User, asked: FindRequest, /) -> FilePage:
        """Return a page of files that match a query. Raises Refused with the field."""
        community = community_of(caller)
        try:
            query = parse_query(asked.query)
            await self._check_dataset(community, query)
            if query.conditions and not asked.after:  # later pages repeat the first one's query
                known = await self._store.read(catalogue_read.keys, community)
                query.check({key.key: key.type for key in known})
            found = await self._store.read(
                catalogue_read.find_files,
                community,
                query,
                states=frozenset(asked.states),
                after=_place(asked.after),
                limit=asked.limit,
            )
        except BadCatalogueField as why:
            raise refused(why) from None
        after = None if found.next is None else f"{found.next.set_id}.{found.next.file_id}"
        return FilePage(files=await self._views(found.files), after=after)

    async def _check_dataset(self, community: str, query: Query) -> None:
        """Raise BadCatalogueField for an unknown dataset, in which no file would ever be found."""
        if query.dataset is None:
            return
        there = await self._store.read(dataset_records.dataset, community, query.dataset)
        if there is not None:
            return
        rows = await self._store.read(
            catalogue_read.datasets, community, after=None, limit=DATASETS_COMPARED
        )
        nearest = unknown(str(query.dataset), [str(row.did) for row in rows], what="dataset")
        right = f"an existing one: {nearest[:500]}"
        raise BadCatalogueField("query.dataset", str(query.dataset), right)

    async def file(self, caller: User, name: str, /) -> FileDetail:
        """Return all details of a file. Raises Refused, NOT_FOUND."""
        community, did = community_of(caller), _did(name, "did")
        (row,) = await self._store.read(catalogue_read.files_by_did, community, [did])
        if row is None:
            why = f"there is no file {did}"
            if await self._store.read(dataset_records.dataset, community, did) is not None:
                why = f"{did} is a dataset, no file: `pilotage data ls {did}` lists its files"
            raise Refused(Code.NOT_FOUND, why, field="did")
        copies = (await copies_of(self._store, community, [did])).get(did, [])
        datasets = (await self._store.read(catalogue_read.datasets_of, [row.file_id])).get(
            row.file_id, []
        )
        remnants = await self._store.read(remnant_records.remnants_of_files, [row.file_id])
        (view,) = await self._views([row])
        return FileDetail(
            file=view,
            replicas=[_replica(copy) for copy in copies],
            datasets=[str(one) for one in datasets],
            remnants=[view_of(one, str(did)) for one in remnants],
        )

    async def replicas(self, caller: User, asked: DidsRequest, /) -> Replicas:
        community = community_of(caller)
        dids = [_did(text, f"dids[{i}]") for i, text in enumerate(asked.dids)]
        found = await copies_of(self._store, community, dids)
        return Replicas(
            replicas={str(did): [_replica(copy) for copy in found[did]] for did in found}
        )

    async def list_copies(self, caller: User, asked: ListRequest, /) -> CopyPage:
        """Return a page of files with their copies. Raises Refused, INVALID or NOT_FOUND.

        Removed files come only by name, unknown names not at all.
        """
        community, after = community_of(caller), None
        dids = [_did(text, f"which[{i}]") for i, text in enumerate(asked.which)]
        if asked.by is not ListBy.NAME and len(dids) != 1:
            text = f"which: found {len(dids)} words, expected one {asked.by.value}"
            raise Refused(Code.INVALID, text, field="which")
        if asked.by is ListBy.NAME:
            found = await self._store.read(catalogue_read.files_by_did, community, dids)
            rows = [row for row in found if row is not None]
        elif asked.by is ListBy.PATTERN:
            (like,) = dids
            rows, after = await self._store.read(
                catalogue_read.files_like, community, like, after=asked.after, limit=asked.limit
            )
        else:
            dataset = await self._dataset_id(community, dids[0])
            rows, after = await self._store.read(
                catalogue_read.files_in, dataset, after=_number(asked.after), limit=asked.limit
            )
        copies = await self._store.read(catalogue_read.replicas_of, [row.file_id for row in rows])
        views = await self._views(rows)
        files = [
            FileCopies(file=view, replicas=[_replica(one) for one in copies.get(row.file_id, ())])
            for row, view in zip(rows, views, strict=True)
        ]
        return CopyPage(files=files, after=after)

    async def usage(self, caller: User, /, *, scope: str, dataset: str, after: str) -> UsagePage:
        """Return the counts of a page of files. Raises Refused, INVALID or NOT_FOUND."""
        community = community_of(caller)
        if dataset:
            did = _did(dataset, "dataset")
            dataset_id = await self._dataset_id(community, did)
            found = await self._store.read(
                catalogue_read.usage_of_dataset, did.scope, dataset_id, after=_number(after)
            )
        else:
            try:
                if scope:
                    check_scope(scope)
            except BadCatalogueField as why:
                raise refused(why) from None
            found = await self._store.read(
                catalogue_read.usage_of_scopes, community, scope, after=after
            )
        rows = [
            UsageRow(scope=one.scope, storage=one.storage, files=one.files, bytes=one.bytes)
            for one in found.rows
        ]
        return UsagePage(rows=rows, after=found.next)

    async def _dataset_id(self, community: str, did: Did) -> int:
        """Return the id of a dataset. Raises Refused, NOT_FOUND."""
        row = await self._store.read(dataset_records.dataset, community, did)
        if row is None:
            raise Refused(Code.NOT_FOUND, f"there is no dataset {did}", field="dataset")
        return row.dataset_id

    async def changes(self, caller: User, /, *, since: int, limit: int) -> ChangePage:
        community = community_of(caller)
        rows = await self._store.read(catalogue_read.files_changed, community, since, limit=limit)
        last = await self._store.read(catalogue_read.last_change, community)
        last = max([last, *(row.seq for row in rows[-1:])])
        return ChangePage(files=await self._views(rows), last=last)

    async def lineage(
        self, caller: User, name: str, direction: Direction, /, *, limit: int
    ) -> Lineage:
        community, did = community_of(caller), _did(name, "did")
        (row,) = await self._store.read(catalogue_read.files_by_did, community, [did])
        if row is None:
            raise Refused(Code.NOT_FOUND, f"there is no file {did}", field="did")
        links, more = await links_of(self._store, community, did, direction, min(limit, LINKS_MAX))
        named = {did, *(one for _, read, made, _ in links for one in (*read, *made))}
        return Lineage(
            did=str(did),
            removed=await self._removed(community, sorted(named)),
            links=[
                LineageLink(
                    job=job,
                    inputs=[str(one) for one in inputs],
                    outputs=[str(one) for one in outputs],
                    step=step,
                )
                for job, inputs, outputs, step in links
            ],
            more=more,
        )

    async def _removed(self, community: str, dids: Sequence[Did]) -> list[str]:
        """Return the names of the removed files among these."""
        removed: list[str] = []
        for start in range(0, len(dids), ITEMS_MAX):
            rows = await self._store.read(
                catalogue_read.files_by_did, community, dids[start : start + ITEMS_MAX]
            )
            removed += [str(row.did) for row in rows if row and row.state is FileState.REMOVED]
        return removed

    # -- writing --------------------------------------------------------------------------------

    async def register(self, caller: User, asked: RegisterRequest, /) -> ItemsReply:
        """Register files, each independently of the others."""
        community, right = community_of(caller), writing(caller)
        owner = await self._owners.get(community, caller)
        judged = _Judged(asked.files, [one.did for one in asked.files])
        own = await self._own_datasets(community, right, owner.owner_id, asked.files)
        reserved = ReservedPaths(self._store, self._job_of, community, right, owner.owner_id)
        await reserved.look(_wanted(community, asked.files))

        def made(one: FileItem) -> NewFile:
            did = Did.parse(one.did)
            if not right.takes(did.scope):
                raise BadCatalogueField("did", one.did, right.refusal(did.scope))
            for name in one.datasets:
                if name not in own:
                    raise BadCatalogueField("datasets", name, "a dataset that you own")
                if asked.dry_run:
                    row = own[name]
                    registration.check_open(name, is_open=None if row is None else row.is_open)
            copies = tuple(self._copy(community, copy, did) for copy in one.replicas)
            for copy in copies:
                reserved.check(did, copy.storage, copy.path)
            return _new_file(one, did, copies, owner.owner_id, own=right.own)

        files = judged.each(made)
        outcomes: list[ItemOutcome] = []
        if asked.dry_run:
            return judged.reply([ItemOutcome()] * len(files))
        for start in range(0, len(files), TOGETHER):
            some = files[start : start + TOGETHER]
            outcomes += await self._store.write(
                registration.register_files, community, some, at=self._clock.wall()
            )
        return judged.reply(outcomes)

    async def _own_datasets(
        self, community: str, right: WriteScope, owner_id: int, files: Sequence[FileItem]
    ) -> dict[str, DatasetRow | None]:
        """Return the datasets, of those that the files name, to which the caller may add files.

        Unknown datasets are None; the catalogue reports them.
        """
        names = {name for one in files for name in one.datasets}
        if len(names) > ITEMS_MAX:
            text = f"datasets: found {len(names)}, expected at most {ITEMS_MAX} in a request"
            raise Refused(Code.INVALID, text, field="datasets")
        own: dict[str, DatasetRow | None] = {}
        for name in names:
            try:
                did = Did.parse(name, "datasets")
            except BadCatalogueField:
                own[name] = None  # the check of the file reports the error
                continue
            row = await self._store.read(dataset_records.dataset, community, did)
            if (
                row is None
                or right.takes(did.scope)
                and (not right.own or row.owner_id == owner_id)
            ):
                own[name] = row
        return own

    def _copy(self, community: str, copy: ReplicaItem, did: Did) -> NewReplica:
        """Return the copy to register. Raises BadCatalogueField.

        A path must be below the community's folder unless the storage sets `any_path`:
        communities share storages, and pilots read every path that the catalogue names.
        """
        self._check_storage(copy.storage)
        book = self._storages.book
        entry = book.storages.get(copy.storage)
        # A storage whose file has an error may belong to any community: treat it as shared.
        are_some = bool(book.storages or book.troubles or book.unlisted)
        is_below = not entry.any_path if entry else are_some
        path = copy.path or (f"{community}/{did.name}" if is_below else did.name)
        check_path(path, "replicas.path")
        if is_below and not path.startswith(f"{community}/"):
            right = f"a path below {community}/, unless {copy.storage} sets any_path"
            raise BadCatalogueField("replicas.path", path, right)
        return NewReplica(storage=copy.storage, path=path)

    def _check_storage(self, name: str) -> None:
        """Refuse an unknown storage. If no storage is configured, any name is accepted."""
        known = {*self._storages.book.storages, *self._storages.book.troubles}
        if known and name not in known:
            raise BadCatalogueField(
                "replicas.storage", name, f"an existing one: {_nearest(name, known)}"
            )

    async def set_metadata(self, caller: User, asked: MetadataRequest, /) -> ItemsReply:
        community = community_of(caller)
        allowed = await self._allowed(caller, [one.did for one in asked.changes])
        judged = _Judged(asked.changes, [one.did for one in asked.changes])
        changes = judged.each(
            lambda one: MetadataChange(
                did=allowed(one.did),
                metadata=checked_metadata(one.set, "set"),
                remove=_keys(one.remove),
            )
        )
        return judged.reply(await self._store.write(file_records.set_metadata, community, changes))

    async def declare(self, caller: User, asked: DeclareRequest, /) -> ItemsReply:
        """Set the states of copies."""
        community = community_of(caller)
        allowed = await self._allowed(caller, [one.did for one in asked.replicas])
        judged = _Judged(asked.replicas, [one.did for one in asked.replicas])
        changes = judged.each(
            lambda one: ReplicaChange(did=allowed(one.did), storage=one.storage, state=one.state)
        )
        outcomes = await self._store.write(
            file_records.change_replicas, community, changes, at=self._clock.wall()
        )
        for change, outcome in zip(changes, outcomes, strict=True):
            if outcome.changed and change.state is not None:
                self._log(
                    "replica_declared",
                    did=str(change.did),
                    storage=change.storage,
                    state=change.state.value,
                    who=caller.subject,
                    why=asked.reason,
                )
        return judged.reply(outcomes)

    async def remove(self, caller: User, asked: DidsRequest, /) -> ItemsReply:
        """Mark files as removed. Sweeps remove their bytes on storages that allow it."""
        community = community_of(caller)
        allowed = await self._allowed(caller, asked.dids)
        judged = _Judged(asked.dids, asked.dids)
        dids = judged.each(allowed)
        outcomes = await self._store.write(
            file_records.remove_files, community, dids, at=self._clock.wall()
        )
        count = sum(outcome.changed for outcome in outcomes)
        if count:
            self._log("files_removed", count=count, who=caller.subject, first=str(dids[0]))
        return judged.reply(outcomes)

    async def _allowed(self, caller: User, names: Sequence[str]) -> "_Allowed":
        """Return a check that tells which of these files the caller may change."""
        community, right = community_of(caller), writing(caller)
        if not right.own:
            return _Allowed(right, {}, 0)
        dids: list[Did] = []
        for name in names:
            try:
                dids.append(Did.parse(name))
            except BadCatalogueField:
                continue  # the check of the item reports it
        owner = await self._owners.get(community, caller)
        rows = await self._store.read(catalogue_read.files_by_did, community, dids)
        return _Allowed(right, {row.did: row.owner_id for row in rows if row}, owner.owner_id)

    # -- datasets and keys ----------------------------------------------------------------------

    async def make_dataset(self, caller: User, asked: DatasetRequest, /) -> DatasetView:
        community, right = community_of(caller), writing(caller)
        owner = await self._owners.get(community, caller)
        try:
            did = Did.parse(asked.did)
            if not right.takes(did.scope):
                raise Refused(
                    Code.FORBIDDEN, f"did: expected {right.refusal(did.scope)}", field="did"
                )
            metadata = checked_metadata(asked.metadata)
            new = NewDataset(did=did, metadata=metadata, owner_id=owner.owner_id)
            made = await self._store.write(
                dataset_records.make_dataset, community, new, at=self._clock.wall()
            )
        except BadCatalogueField as why:
            raise refused(why) from None
        (view,) = await self._datasets([made])  # an existing dataset may have another owner
        return view

    async def datasets(self, caller: User, /, *, after: str, limit: int) -> DatasetPage:
        community = community_of(caller)
        begin = _did(after, "after") if after else None
        rows = await self._store.read(
            catalogue_read.datasets, community, after=begin, limit=limit + 1
        )
        more = str(rows[limit - 1].did) if len(rows) > limit else None
        return DatasetPage(datasets=await self._datasets(rows[:limit]), after=more)

    async def act_on_dataset(self, caller: User, asked: DatasetAction, /) -> ItemsReply:
        """Open, close, attach or detach. Raises Refused, NOT_FOUND or FORBIDDEN."""
        community, right = community_of(caller), writing(caller)
        dataset = _did(asked.dataset, "dataset")
        row = await self._store.read(dataset_records.dataset, community, dataset)
        if row is None:
            raise Refused(Code.NOT_FOUND, f"there is no dataset {dataset}", field="dataset")
        if not right.takes(dataset.scope):
            raise Refused(Code.FORBIDDEN, f"dataset: expected {right.refusal(dataset.scope)}")
        if right.own and row.owner_id != (await self._owners.get(community, caller)).owner_id:
            raise Refused(Code.FORBIDDEN, f"dataset: you do not own {dataset}", field="dataset")
        if asked.action in (DatasetActionName.OPEN, DatasetActionName.CLOSE):
            is_open = asked.action is DatasetActionName.OPEN
            await self._store.write(dataset_records.open_dataset, community, dataset, is_open)
            return ItemsReply(results=[])
        judged = _Judged(asked.dids, asked.dids)
        dids = judged.each(Did.parse)
        attaches = asked.action is DatasetActionName.ATTACH
        verb = dataset_records.attach if attaches else dataset_records.detach
        return judged.reply(await self._store.write(verb, community, dataset, dids))

    async def keys(self, caller: User, /) -> KeyList:
        rows = await self._store.read(catalogue_read.keys, community_of(caller))
        return KeyList(
            keys=[KeyView(key=row.key, type=row.type, values=list(row.values)) for row in rows]
        )

    async def add_keys(self, caller: User, asked: KeysRequest, /) -> KeyList:
        community, _ = community_of(caller), writing(caller)
        try:
            for key in asked.keys:
                check_key(key, f"keys.{key[:80]}")
            await self._store.write(file_records.add_keys, community, asked.keys)
        except BadCatalogueField as why:
            raise refused(why) from None
        return await self.keys(caller)

    # -- views ----------------------------------------------------------------------------------

    async def _views(self, rows: Sequence[FileRow]) -> list[FileView]:
        await self._owners.meet(row.owner_id for row in rows if row.owner_id)
        return [self._view(row) for row in rows]

    def _view(self, row: FileRow) -> FileView:
        return FileView(
            did=str(row.did),
            bytes=row.bytes,
            state=row.state,
            metadata=dict(row.metadata),
            adler32=row.adler32,
            sha256=row.sha256,
            owner=self._owners.by_id(row.owner_id) if row.owner_id else "",
            job=row.job_id,
            epoch=row.epoch,
            at=shown(row.created_at),
            seq=row.seq,
        )

    async def _datasets(self, rows: Sequence[DatasetRow]) -> list[DatasetView]:
        await self._owners.meet(row.owner_id for row in rows if row.owner_id)
        return [self._dataset(row) for row in rows]

    def _dataset(self, row: DatasetRow) -> DatasetView:
        return DatasetView(
            did=str(row.did),
            is_open=row.is_open,
            metadata=dict(row.metadata),
            owner=self._owners.by_id(row.owner_id) if row.owner_id else "",
            at=shown(row.created_at),
        )


class _Allowed:
    """Checks which files a caller may change. Raises BadCatalogueField for the others."""

    def __init__(self, right: WriteScope, owners: Mapping[Did, int], owner_id: int) -> None:
        self._right, self._owners, self._owner_id = right, owners, owner_id

    def __call__(self, name: str) -> Did:
        did = Did.parse(name)
        if not self._right.takes(did.scope):
            raise BadCatalogueField("did", name, self._right.refusal(did.scope))
        if self._right.own and self._owners.get(did, self._owner_id) != self._owner_id:
            raise BadCatalogueField("did", name, "a file that you own")
        return did


class _Judged:
    """The items of a request, with the errors of invalid items and the outcomes of the others."""

    def __init__(self, items: Sequence[Any], names: Sequence[str]) -> None:
        self._items, self._names = items, names
        self._clashes: dict[int, Clash] = {}

    def each(self, made: Callable[[Any], Item]) -> list[Item]:
        """Return the records of the valid items, and keep the errors of the others."""
        found: list[Item] = []
        for i, item in enumerate(self._items):
            try:
                found.append(made(item))
            except BadCatalogueField as why:
                clash = Clash(field=why.field, value=repr(why.value)[:200], right=why.right)
                self._clashes[i] = clash
        return found

    def reply(self, outcomes: Sequence[ItemOutcome]) -> ItemsReply:
        rest = iter(outcomes)
        results: list[ItemResult] = []
        refusals: list[Refusal] = []
        for i, name in enumerate(self._names):
            outcome = ItemOutcome(clash=self._clashes[i]) if i in self._clashes else next(rest)
            results.append(_result(outcome))
            if outcome.clash is not None:
                field, message = outcome.clash.field, str(outcome.clash)
                refusals.append(Refusal(item=i, did=name, field=field, message=message))
        return ItemsReply(results=results, refused=refusals)


def _result(outcome: ItemOutcome) -> ItemResult:
    if outcome.clash is not None:
        return ItemResult.REFUSED
    if outcome.new:
        return ItemResult.NEW
    return ItemResult.CHANGED if outcome.changed else ItemResult.SAME


def _wanted(community: str, files: Sequence[FileItem]) -> Iterable[tuple[str, str, str]]:
    """Yield (name, storage, path) for each copy, with and without the community as first folder."""
    for one in files:
        for copy in one.replicas:
            name = one.did.partition(":")[2]
            for path in (copy.path,) if copy.path else (name, f"{community}/{name}"):
                yield one.did, copy.storage, path


def _new_file(
    one: FileItem, did: Did, copies: tuple[NewReplica, ...], owner_id: int, *, own: bool
) -> NewFile:
    if not one.adler32 and not one.sha256:
        raise BadCatalogueField("adler32", "", "a checksum: adler32 or sha256")
    return NewFile(
        did=did,
        bytes=one.bytes,
        adler32=one.adler32,
        sha256=one.sha256,
        metadata=checked_metadata(one.metadata),
        replicas=copies,
        datasets=tuple(Did.parse(text, "datasets") for text in one.datasets),
        owner_id=owner_id,
        own=own,
    )


def _nearest(word: str, known: Iterable[str]) -> str:
    return unknown(word, known, what="storage")


def _keys(keys: Sequence[str]) -> tuple[str, ...]:
    for key in keys:
        check_key(key, "remove")
    return tuple(keys)


def _replica(row: ReplicaRow) -> ReplicaView:
    return ReplicaView(
        storage=row.storage, path=row.path, state=row.state, at=shown(row.changed_at)
    )


def _did(text: str, where: str) -> Did:
    try:
        return Did.parse(text, where)
    except BadCatalogueField as why:
        raise refused(why) from None


def _place(text: str) -> FileCursor | None:
    """Return the cursor where a page begins. Raises BadCatalogueField."""
    if not text:
        return None
    numbers = text.split(".")
    if len(numbers) != 2 or not all(_is_number(one) for one in numbers):
        raise BadCatalogueField("after", text, "the value of `after` from the page before")
    return FileCursor(int(numbers[0]), int(numbers[1]))


def _number(text: str) -> int:
    """Return the cursor of a page of a dataset. Raises Refused."""
    if text and not _is_number(text):
        right = "the value of `after` from the page before"
        raise refused(BadCatalogueField("after", text, right))
    return int(text or 0)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 16


def refused(why: BadCatalogueField) -> Refused:
    """Return the refusal that a route answers for this error."""
    return Refused(Code.INVALID, str(why), field=why.field)
