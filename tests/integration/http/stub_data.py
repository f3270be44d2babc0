"""Stands for the service of the catalogue: it notes what it is asked."""

from pilotage.central.catalogue.service import CatalogueService
from pilotage.central.identity.callers import User
from pilotage.central.transfers.service import RuleService
from pilotage.central.transfers.sweep_service import SweepService
from pilotage.proto.api.data import (
    ChangePage,
    CopyPage,
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
    ListRequest,
    MetadataRequest,
    RegisterRequest,
    Replicas,
    RuleList,
    RuleRequest,
    RuleView,
    UsagePage,
)
from pilotage.proto.api.remnants import RemnantPage, SweepView
from pilotage.proto.catalogue import FileState, RuleState

from .stub_calls import Hearing, override

FILE = FileView(did="ctao:a", bytes=1, state=FileState.AVAILABLE, metadata={})
RULE = RuleView(id=7, copies=2, storages=["PIC", "CSCS"], state=RuleState.OK)
DATASET = DatasetView(did="ctao:set", is_open=True, metadata={})


class StubData(Hearing, CatalogueService):
    """Answers with one file."""

    def _note(self, name: str, caller: User, what: object) -> ItemsReply:
        self.hear(name, caller, what)
        return ItemsReply(results=[ItemResult.NEW])

    @override
    async def find(self, caller: User, r: FindRequest, /) -> FilePage:
        self._note("find", caller, r)
        return FilePage(files=[FILE])

    @override
    async def register(self, caller: User, r: RegisterRequest, /) -> ItemsReply:
        return self._note("register_files", caller, r)

    @override
    async def file(self, caller: User, name: str, /) -> FileDetail:
        self._note("file", caller, name)
        return FileDetail(file=FILE)

    @override
    async def replicas(self, caller: User, r: DidsRequest, /) -> Replicas:
        self._note("replicas", caller, r)
        return Replicas(replicas={})

    @override
    async def list_copies(self, caller: User, r: ListRequest, /) -> CopyPage:
        self._note("list_copies", caller, r)
        return CopyPage(files=[])

    @override
    async def usage(self, caller: User, /, *, scope: str, dataset: str, after: str) -> UsagePage:
        self._note("usage", caller, (scope, dataset, after))
        return UsagePage(rows=[])

    @override
    async def set_metadata(self, caller: User, r: MetadataRequest, /) -> ItemsReply:
        return self._note("set_metadata", caller, r)

    @override
    async def declare(self, caller: User, r: DeclareRequest, /) -> ItemsReply:
        return self._note("declare", caller, r)

    @override
    async def remove(self, caller: User, r: DidsRequest, /) -> ItemsReply:
        return self._note("remove_files", caller, r)

    @override
    async def changes(self, caller: User, /, *, since: int, limit: int) -> ChangePage:
        self._note("changes", caller, (since, limit))
        return ChangePage(files=[FILE], last=1)

    @override
    async def lineage(
        self, caller: User, name: str, direction: Direction, /, *, limit: int
    ) -> Lineage:
        self._note("lineage", caller, (name, direction, limit))
        return Lineage(did=name, links=[])

    @override
    async def make_dataset(self, caller: User, r: DatasetRequest, /) -> DatasetView:
        self._note("make_dataset", caller, r)
        return DATASET

    @override
    async def datasets(self, caller: User, /, *, after: str, limit: int) -> DatasetPage:
        self._note("datasets", caller, (after, limit))
        return DatasetPage(datasets=[DATASET])

    @override
    async def act_on_dataset(self, caller: User, r: DatasetAction, /) -> ItemsReply:
        return self._note("act_on_dataset", caller, r)

    @override
    async def keys(self, caller: User, /) -> KeyList:
        self._note("keys", caller, None)
        return KeyList(keys=[])

    @override
    async def add_keys(self, caller: User, r: KeysRequest, /) -> KeyList:
        self._note("add_keys", caller, r)
        return KeyList(keys=[])


class StubRules(Hearing, RuleService):
    """Answers with one rule."""

    @override
    async def add(self, caller: User, r: RuleRequest, /) -> RuleView:
        self.hear("add_rule", caller, r)
        return RULE

    @override
    async def all(self, caller: User, /) -> RuleList:
        self.hear("rules", caller, None)
        return RuleList(rules=[RULE])

    @override
    async def show(self, caller: User, rule_id: int, /) -> RuleView:
        self.hear("rule", caller, rule_id)
        return RULE

    @override
    async def retry(self, caller: User, rule_id: int, /) -> RuleView:
        self.hear("retry_rule", caller, rule_id)
        return RULE

    @override
    async def drop(self, caller: User, rule_id: int, /) -> None:
        self.hear("drop_rule", caller, rule_id)


class StubSweeps(Hearing, SweepService):
    """Answers with nothing that waits."""

    @override
    async def counts(self, caller: User, /) -> SweepView:
        self.hear("sweep", caller, None)
        return SweepView(after_s=1.0, storages=[])

    @override
    async def remnants(
        self, caller: User, /, *, storage: str, all: bool, after: int, limit: int
    ) -> RemnantPage:
        self.hear("remnants", caller, (storage, all, after, limit))
        return RemnantPage(remnants=[])
