"""The methods of `AsyncClient` for the catalogue."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from pilotage.proto.api.data import (
    ITEMS_MAX,
    ChangePage,
    DatasetAction,
    DatasetActionName,
    DatasetPage,
    DatasetRequest,
    DatasetView,
    DeclareItem,
    DeclareRequest,
    DidsRequest,
    Direction,
    FileDetail,
    FileItem,
    FilePage,
    FileView,
    FindRequest,
    ItemsReply,
    KeyList,
    KeysRequest,
    Lineage,
    MetadataItem,
    MetadataRequest,
    Refusal,
    Replicas,
    ReplicaView,
    RuleList,
    RuleRequest,
    RuleView,
)
from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.remnants import RemnantPage, RemnantView, SweepView
from pilotage.proto.api.rucio import OutboxEntry, OutboxPage
from pilotage.proto.catalogue import FileState, KeyType, ReplicaState

from .arguments import names_of, query_of, word_of
from .transport import Transport

Item = TypeVar("Item")


class DataCalls:
    """The methods of the client for files of the catalogue."""

    _transport: Transport

    async def find_files(
        self,
        query: Mapping[str, Any] | None = None,
        *,
        states: Iterable[FileState] = (FileState.AVAILABLE,),
    ) -> AsyncIterator[FileView]:
        """Yield the files whose metadata meet a query, such as `{"run": {">=": 20}}`."""
        asked_for, after = query_of(query), cast("str | None", "")
        wanted = tuple(word_of(FileState, one, "states") for one in states)
        while after is not None:
            asked = FindRequest(query=asked_for, states=wanted, after=after, limit=PAGE_MAX)
            page = await self._transport.ask(FilePage, "POST", "/v1/data/find", body=asked)
            for view in page.files:
                yield view
            after = page.after

    async def file(self, did: str) -> FileDetail:
        """Return a file with its copies and datasets."""
        query = [("did", did)]
        return await self._transport.ask(FileDetail, "GET", "/v1/data/files", query=query)

    async def register_files(self, files: Iterable[FileItem | Mapping[str, Any]]) -> ItemsReply:
        """Register files. Each file is accepted or refused by itself. Repeating changes nothing."""
        return await self._in_parts("/v1/data/files", list(files), lambda some: {"files": some})

    async def replicas(self, dids: Iterable[str]) -> dict[str, list[ReplicaView]]:
        """Return the copies of these files. Unknown files are omitted."""
        names, found = names_of(dids), dict[str, list[ReplicaView]]()
        for start in range(0, len(names), ITEMS_MAX):
            asked = DidsRequest(dids=tuple(names[start : start + ITEMS_MAX]))
            reply = await self._transport.ask(Replicas, "POST", "/v1/data/replicas", body=asked)
            found.update(reply.replicas)
        return found

    async def set_metadata(
        self, dids: Iterable[str], metadata: Mapping[str, Any], *, remove: Iterable[str] = ()
    ) -> ItemsReply:
        """Set metadata keys of files, and remove other keys."""
        gone = tuple(names_of(remove))
        changes = [MetadataItem(did=did, set=dict(metadata), remove=gone) for did in names_of(dids)]
        return await self._in_parts(
            "/v1/data/metadata", changes, lambda some: MetadataRequest(changes=tuple(some))
        )

    async def declare_replicas(
        self,
        dids: Iterable[str],
        storage: str,
        *,
        state: ReplicaState = ReplicaState.BAD,
        reason: str = "",
    ) -> ItemsReply:
        """Declare the state of copies. A file is Lost when its last good copy is corrupt."""
        items = [DeclareItem(did=did, storage=storage, state=state) for did in names_of(dids)]
        return await self._in_parts(
            "/v1/data/declare",
            items,
            lambda some: DeclareRequest(replicas=tuple(some), reason=reason),
        )

    async def remove_files(self, dids: Iterable[str]) -> ItemsReply:
        """Remove files from the catalogue. Their names stay taken.

        Their bytes are removed after `data.sweep_after_s`, from storages with `deletes: true`.
        """
        return await self._in_parts(
            "/v1/data/remove", names_of(dids), lambda some: DidsRequest(dids=tuple(some))
        )

    async def _in_parts(
        self, path: str, items: list[Item], body: Callable[[list[Item]], object]
    ) -> ItemsReply:
        """Send the items in several requests, and join the answers."""
        joined = ItemsReply(results=[])
        for start in range(0, len(items), ITEMS_MAX):
            asked = body(items[start : start + ITEMS_MAX])
            reply = await self._transport.ask(ItemsReply, "POST", path, body=asked)
            joined.results.extend(reply.results)
            joined.refused.extend(
                Refusal(item=start + one.item, did=one.did, field=one.field, message=one.message)
                for one in reply.refused
            )
        return joined

    async def file_changes(self, since: int = 0, *, limit: int = PAGE_MAX) -> ChangePage:
        """Return the files that changed after change number `since`, in order.

        Continue with the number of the last one.
        """
        query = [("since", str(since)), ("limit", str(limit))]
        return await self._transport.ask(ChangePage, "GET", "/v1/data/changes", query=query)

    async def lineage(
        self, did: str, direction: Direction = Direction.UP, *, limit: int = 100
    ) -> Lineage:
        """Return the jobs that produced a file (up), or the jobs that read it (down)."""
        query = [
            ("did", did),
            ("direction", word_of(Direction, direction, "direction").value),
            ("limit", str(limit)),
        ]
        return await self._transport.ask(Lineage, "GET", "/v1/data/lineage", query=query)

    async def make_dataset(
        self, did: str, metadata: Mapping[str, Any] | None = None
    ) -> DatasetView:
        """Make a dataset. Files that are registered into it inherit its metadata."""
        asked = DatasetRequest(did=did, metadata=dict(metadata or {}))
        return await self._transport.ask(DatasetView, "POST", "/v1/data/datasets", body=asked)

    async def datasets(self) -> AsyncIterator[DatasetView]:
        """Yield datasets in order of their names."""
        after: str | None = ""
        while after is not None:
            query = [("limit", str(PAGE_MAX)), *([("after", after)] if after else [])]
            page = await self._transport.ask(DatasetPage, "GET", "/v1/data/datasets", query=query)
            for view in page.datasets:
                yield view
            after = page.after

    async def act_on_dataset(
        self, dataset: str, action: DatasetActionName, dids: Iterable[str] = ()
    ) -> ItemsReply:
        """Open or close a dataset, or attach or detach files."""
        names = names_of(dids)
        if not names:
            asked = DatasetAction(dataset=dataset, action=action)
            return await self._transport.ask(
                ItemsReply, "POST", "/v1/data/datasets/actions", body=asked
            )
        return await self._in_parts(
            "/v1/data/datasets/actions",
            names,
            lambda some: DatasetAction(dataset=dataset, action=action, dids=tuple(some)),
        )

    async def add_rule(
        self,
        storages: Iterable[str],
        *,
        did: str = "",
        query: Mapping[str, Any] | None = None,
        copies: int = 1,
    ) -> RuleView:
        """Keep `copies` copies of a file, of a dataset, or of the files that meet a query."""
        asked = RuleRequest(
            copies=copies, storages=tuple(names_of(storages)), did=did, query=query_of(query)
        )
        return await self._transport.ask(RuleView, "POST", "/v1/data/rules", body=asked)

    async def rules(self) -> list[RuleView]:
        """Return all rules with their progress."""
        return (await self._transport.ask(RuleList, "GET", "/v1/data/rules")).rules

    async def rule(self, id: int) -> RuleView:
        """Return one rule."""
        return await self._transport.ask(RuleView, "GET", f"/v1/data/rules/{id}")

    async def drop_rule(self, id: int) -> None:
        """Drop a rule. The copies stay."""
        await self._transport.ask(type(None), "DELETE", f"/v1/data/rules/{id}")

    async def retry_rule(self, id: int) -> RuleView:
        """Retry the failed copies of a rule, including stuck ones."""
        return await self._transport.ask(RuleView, "POST", f"/v1/data/rules/{id}/retry")

    async def sweep(self) -> SweepView:
        """Return counts of bytes that no catalogue entry needs: waiting, removed and failed."""
        return await self._transport.ask(SweepView, "GET", "/v1/data/sweep")

    async def remnants(self, *, storage: str = "", all: bool = False) -> AsyncIterator[RemnantView]:
        """Yield bytes that no catalogue entry needs: those due for removal, or `all`."""
        after: int | None = 0
        while after is not None:
            query = [
                ("storage", storage),
                ("all", str(all).lower()),
                ("after", str(after)),
                ("limit", str(PAGE_MAX)),
            ]
            path = "/v1/data/sweep/remnants"
            page = await self._transport.ask(RemnantPage, "GET", path, query=query)
            for one in page.remnants:
                yield one
            after = page.after

    async def outbox(self, *, clashes: bool = False) -> AsyncIterator[OutboxEntry]:
        """Yield outputs that wait for a Rucio server, or those that it can never take."""
        after: int | None = 0
        while after is not None:
            state = "Clash" if clashes else "Waiting"
            query = [("state", state), ("after", str(after)), ("limit", str(PAGE_MAX))]
            path = "/v1/data/outbox"
            page = await self._transport.ask(OutboxPage, "GET", path, query=query)
            for one in page.entries:
                yield one
            after = page.after

    async def metadata_keys(self) -> KeyList:
        """Return all metadata keys with their types."""
        return await self._transport.ask(KeyList, "GET", "/v1/data/keys")

    async def add_metadata_keys(self, keys: Mapping[str, KeyType]) -> KeyList:
        """Add metadata keys with their types."""
        asked = KeysRequest(keys=dict(keys))
        return await self._transport.ask(KeyList, "POST", "/v1/data/keys", body=asked)
