"""The service of transformations on a store in memory: what it says and refuses. No engine runs."""

from typing import cast

from pilotage.central.catalogue.storages import Storages
from pilotage.central.identity.callers import User
from pilotage.central.identity.scope import Owners
from pilotage.central.rucio.outgoing import no_servers
from pilotage.central.transformations.engine import Engine
from pilotage.central.transformations.service import TransformationService
from pilotage.central.transformations.steering import TransformationControl
from pilotage.proto.api.jobs import Action as JobAction
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore


class _NoEngine:
    def touch(self, transformation_id: int) -> None:
        """Nothing runs."""


async def _nobody(caller: User, action: JobAction) -> None:
    """There are no jobs."""


async def service(store: MemoryStore, owner: User) -> TransformationService:
    """Return the service of the transformations in a store, which are of one owner."""
    clock, owners = FakeClock(), Owners(store, "local")
    await owners.get(owner.community, owner)
    return TransformationService(
        store=store,
        catalogue=store,
        owners=owners,
        engine=cast(Engine, _NoEngine()),
        steering=TransformationControl(store=store, catalogue=store, kill=_nobody, clock=clock),
        storages=Storages(),
        rucio=no_servers,
        clock=clock,
        log=lambda event, **fields: None,
    )
