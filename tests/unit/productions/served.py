"""Productions on a store in memory, without jobs: what their service says and refuses."""

from collections.abc import Sequence

from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.identity.callers import User
from pilotage.central.identity.scope import Owners
from pilotage.central.jobs.record_types import AttemptRow
from pilotage.central.productions.cwl_steps import CwlShape
from pilotage.central.productions.definition_cache import ProductionCache
from pilotage.central.productions.service import ProductionService
from pilotage.central.productions.steering import ProductionControl
from pilotage.central.productions.views import Views
from pilotage.central.rucio.outgoing import no_servers
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import NewInput, TransformationMove, TransformationRow
from pilotage.proto.api.jobs import Action as JobAction
from pilotage.proto.api.productions import NewProduction, ProductionAction, ProductionDetail
from pilotage.proto.claims import Role
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.transformation_states import InputState, TransformationState as S
from tests.contract.store.test_transformations import made
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore

CALLER = User(
    issuer="local",
    subject="ada",
    name="",
    community="ctao",
    groups=("sim",),
    role=Role.USER,
    expires_at=4e9,
    jti="",
)


async def _nobody(caller: User, action: JobAction) -> None:
    """There are no jobs."""


async def _wrote(attempt: AttemptRow) -> str:
    return ""


async def _waits(row: TransformationRow) -> str:
    return ""


async def _no_document(caller: User, document: CwlDocument) -> CwlShape:
    raise AssertionError("no CWL here")


class Served:
    """The service, and a hand on what its steps have come to."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        clock = FakeClock()
        self.store = store or MemoryStore(clock_wall=clock.wall)
        self.storages = Storages()
        disk = StorageEntry(type="file", url="file:///disk", default=True)
        self.storages.book = StorageBook(storages={"disk": disk})
        owners, cache = Owners(self.store, "local"), ProductionCache(self.store, clock)
        self.service = ProductionService(
            store=self.store,
            catalogue=self.store,
            owners=owners,
            cache=cache,
            views=Views(store=self.store, cache=cache, owners=owners, clock=clock),
            steering=ProductionControl(
                store=self.store, act=_nobody, touch=lambda one: None, clock=clock
            ),
            check_rules=lambda workflow, rules: rules,
            shape_of=_no_document,
            storages=self.storages,
            rucio=no_servers,
            last_line=_wrote,
            waits=_waits,
            touch=lambda one: None,
            nudge=lambda one: None,
            version="1",
            clock=clock,
            log=lambda event, **fields: None,
        )  # fmt: skip

    async def added(self, workflow: Workflow) -> ProductionDetail:
        """Return a production of a workflow."""
        found = await self.service.add(CALLER, NewProduction(workflow=workflow))
        assert isinstance(found, ProductionDetail)
        return found

    async def act(self, named: str, action: ProductionAction) -> ProductionDetail:
        return await self.service.act(CALLER, named, action)

    async def show(self, named: str) -> ProductionDetail:
        return await self.service.show(CALLER, named)

    async def completed(self, named: str, steps: Sequence[str]) -> None:
        """Let steps be Completed, as the engine does when nothing of them is left."""
        for one in (await self.show(named)).view.steps:
            if one.step in steps:
                for old, new in ((S.ACTIVE, S.COMPLETING), (S.COMPLETING, S.COMPLETED)):
                    move = TransformationMove(
                        transformation_id=one.transformation, old=old, new=new, reason="", at=1.0
                    )
                    await self.store.write(transformation_records.move_transformation, move)

    async def came(
        self, named: str, step: str, count: int, state: InputState, *, first: int = 1
    ) -> None:
        """Let a step have files in a state."""
        views = {one.step: one for one in (await self.show(named)).view.steps}
        rows = [
            NewInput(
                transformation_id=views[step].transformation,
                file_id=first + i,
                input_no=0,
                state=state,
            )
            for i in range(count)
        ]
        await self.store.write(transformation_records.add_inputs, rows, 2.0)

    async def ran(self, named: str, step: str) -> None:
        """Let a step have made a task."""
        views = {one.step: one for one in (await self.show(named)).view.steps}
        row = await self.store.read(
            transformation_records.transformation, views[step].transformation
        )
        assert row is not None
        await made(self.store, row, [()])
