"""Joins the parts of productions."""

from collections.abc import Callable
from dataclasses import dataclass

from ..catalogue.storages import Storages
from ..identity.scope import Owners
from ..observe.events import Log
from ..ports import Clock
from ..rucio.outgoing import RucioEntries
from ..store.engine import Store
from ..transformations.assembly import Transformations
from .cleaning import ActOnJobs, Cleaning
from .definition_cache import ProductionCache
from .service import CheckRules, ProductionService, ShapeOf
from .steering import ProductionControl
from .step_failures import LastLine
from .views import Unfit, Views
from .watch import ProductionWatch


@dataclass(frozen=True)
class Productions:
    """The parts of productions in a central."""

    service: ProductionService
    watching: ProductionWatch


def productions(
    *,
    store: Store,
    made: Transformations,
    owners: Owners,
    act: ActOnJobs,
    check_rules: CheckRules,
    shape_of: ShapeOf,
    storages: Storages,
    rucio: RucioEntries,
    last_line: LastLine,
    unfit: Unfit,
    told: Callable[[int], None],
    version: str,
    clock: Clock,
    log: Log,
) -> Productions:
    """Return the service that answers users, and the watch.

    `act` carries out an action on jobs. `last_line` reads the last line of an attempt's standard
    error. `unfit` says why no pilot fits the jobs of a transformation. It calls `told`
    for each production that was added or steered.
    """
    cache = ProductionCache(store, clock)
    cleaning = Cleaning(store=store, catalogue=store, act=act)
    watching = ProductionWatch(
        store=store,
        cache=cache,
        cleaning=cleaning,
        touch=made.engine.touch,
        unfit=unfit,
        clock=clock,
        log=log,
    )
    made.engine.tell(watching.heard)

    def nudge(production_id: int) -> None:
        watching.nudge(production_id)
        told(production_id)

    service = ProductionService(
        store=store,
        catalogue=store,
        owners=owners,
        cache=cache,
        views=Views(store=store, cache=cache, owners=owners, clock=clock, unfit=unfit),
        steering=ProductionControl(store=store, act=act, touch=made.engine.touch, clock=clock),
        check_rules=check_rules,
        shape_of=shape_of,
        storages=storages,
        rucio=rucio,
        last_line=last_line,
        waits=made.service.why_waits,
        touch=made.engine.touch,
        nudge=nudge,
        version=version,
        clock=clock,
        log=log,
    )
    return Productions(service, watching)
