"""Stands for the service of the catalogue: it notes what it is asked."""

from dataclasses import dataclass
from typing import Any, Protocol

from pilotage.central.identity.callers import User
from pilotage.proto.api.data import (
    ChangePage,
    DatasetAction,
    DatasetPage,
    DatasetRequest,
    DatasetView,
    DeclareRequest,
    DidsRequest,
    Direction,
    FileDetail,
    FilePage,
    FileView,
    FindRequest,
    ItemResult,
    ItemsReply,
    KeyList,
    KeysRequest,
    Lineage,
    MetadataRequest,
    RegisterRequest,
    Replicas,
    RuleList,
    RuleRequest,
    RuleView,
)
from pilotage.proto.api.remnants import RemnantPage, SweepView
from pilotage.proto.catalogue import FileState, RuleState

FILE = FileView(did="ctao:a", bytes=1, state=FileState.AVAILABLE, metadata={})
RULE = RuleView(id=7, copies=2, storages=["PIC", "CSCS"], state=RuleState.OK)
DATASET = DatasetView(did="ctao:set", is_open=True, metadata={})


class Notes(Protocol):
    """Where calls are noted."""

    asked: list[tuple[str, Any, Any]]


@dataclass
class StubData:
    """Answers with one file."""

    stub: Notes

    def _note(self, name: str, caller: User, what: object) -> ItemsReply:
        self.stub.asked.append((name, caller, what))
        return ItemsReply(results=[ItemResult.NEW])

    async def find(self, caller: User, r: FindRequest, /) -> FilePage:
        self._note("find", caller, r)
        return FilePage(files=[FILE])

    async def register(self, caller: User, r: RegisterRequest, /) -> ItemsReply:
        return self._note("register_files", caller, r)

    async def file(self, caller: User, name: str, /) -> FileDetail:
        self._note("file", caller, name)
        return FileDetail(file=FILE)

    async def replicas(self, caller: User, r: DidsRequest, /) -> Replicas:
        self._note("replicas", caller, r)
        return Replicas(replicas={})

    async def set_metadata(self, caller: User, r: MetadataRequest, /) -> ItemsReply:
        return self._note("set_metadata", caller, r)

    async def declare(self, caller: User, r: DeclareRequest, /) -> ItemsReply:
        return self._note("declare", caller, r)

    async def remove(self, caller: User, r: DidsRequest, /) -> ItemsReply:
        return self._note("remove_files", caller, r)

    async def changes(self, caller: User, /, *, since: int, limit: int) -> ChangePage:
        self._note("changes", caller, (since, limit))
        return ChangePage(files=[FILE], last=1)

    async def lineage(
        self, caller: User, name: str, direction: Direction, /, *, limit: int
    ) -> Lineage:
        self._note("lineage", caller, (name, direction, limit))
        return Lineage(did=name, links=[])

    async def make_dataset(self, caller: User, r: DatasetRequest, /) -> DatasetView:
        self._note("make_dataset", caller, r)
        return DATASET

    async def datasets(self, caller: User, /, *, after: str, limit: int) -> DatasetPage:
        self._note("datasets", caller, (after, limit))
        return DatasetPage(datasets=[DATASET])

    async def act_on_dataset(self, caller: User, r: DatasetAction, /) -> ItemsReply:
        return self._note("act_on_dataset", caller, r)

    async def keys(self, caller: User, /) -> KeyList:
        self._note("keys", caller, None)
        return KeyList(keys=[])

    async def add_keys(self, caller: User, r: KeysRequest, /) -> KeyList:
        self._note("add_keys", caller, r)
        return KeyList(keys=[])


@dataclass
class StubRules:
    """Answers with one rule."""

    stub: Notes

    async def add(self, caller: User, r: RuleRequest, /) -> RuleView:
        self.stub.asked.append(("add_rule", caller, r))
        return RULE

    async def all(self, caller: User, /) -> RuleList:
        self.stub.asked.append(("rules", caller, None))
        return RuleList(rules=[RULE])

    async def show(self, caller: User, rule_id: int, /) -> RuleView:
        self.stub.asked.append(("rule", caller, rule_id))
        return RULE

    async def retry(self, caller: User, rule_id: int, /) -> RuleView:
        self.stub.asked.append(("retry_rule", caller, rule_id))
        return RULE

    async def drop(self, caller: User, rule_id: int, /) -> None:
        self.stub.asked.append(("drop_rule", caller, rule_id))


@dataclass
class StubSweeps:
    """Answers with nothing that waits."""

    stub: Notes

    async def counts(self, caller: User, /) -> SweepView:
        self.stub.asked.append(("sweep", caller, None))
        return SweepView(after_s=1.0, storages=[])

    async def remnants(
        self, caller: User, /, *, storage: str, all: bool, after: int, limit: int
    ) -> RemnantPage:
        self.stub.asked.append(("remnants", caller, (storage, all, after, limit)))
        return RemnantPage(remnants=[])
