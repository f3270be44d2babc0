"""Waiting until a production or a transformation has ended, or is stuck."""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, Protocol

from pilotage.proto.api.productions import CwlOutputs, ProductionDetail, ProductionView
from pilotage.proto.api.transformations import TransformationDetail, TransformationView
from pilotage.proto.problems import Code
from pilotage.proto.production_states import ProductionState, stands_alone
from pilotage.proto.transformation_states import TaskState, TransformationState

from ..errors import Refused, TimedOut
from ..pace import Pace, pauses

P = ProductionState
S = TransformationState
_STUCK: Final = frozenset({"stuck", "waits for a person"})  # marks of a step, now and in 0.1
LOOK_S: Final = 1.0
PUT_AWAY: Final = (P.ARCHIVED, P.CLEANED)  # their names are free
_GO_ON: Final = (S.ACTIVE, S.COMPLETING)
_WAIT: Final = (S.NEW, S.PAUSED)  # these run nothing until a person acts


class ProductionReader(Protocol):
    """The part of a client that waiting for a production needs."""

    async def production(self, named: str | int) -> ProductionDetail: ...

    def productions(
        self, *, states: Iterable[ProductionState]
    ) -> AsyncIterator[ProductionView]: ...


class RunReader(Protocol):
    """The part of a client that waiting for a run needs."""

    async def production(self, named: str | int) -> ProductionDetail: ...

    async def production_outputs(self, named: str | int) -> CwlOutputs: ...


class TransformationReader(Protocol):
    """The part of a client that waiting for a transformation needs."""

    async def transformation(self, named: str | int) -> TransformationDetail: ...


async def production_ended(
    client: ProductionReader,
    named: str | int,
    timeout_s: float | None,
    pace: Pace,
    *,
    through_held: bool,
    look_s: float = LOOK_S,
    progress: Callable[[ProductionView], None] | None = None,
) -> ProductionView:
    """Wait until a production has ended or is stuck, and return it.

    `progress` gets the production after each read. Raises TimedOut.
    """
    until = None if timeout_s is None else pace.monotonic() + timeout_s
    view = await _named(client, named)
    while True:
        if progress is not None:
            progress(view)
        if view.state not in (P.NEW, P.ACTIVE, P.PAUSED):
            return view
        if not through_held and is_stuck(view):
            return view
        if until is not None and pace.monotonic() >= until:
            left = sum(one.state is not S.COMPLETED for one in view.steps)
            raise TimedOut(f"steps of production {view.name}", timeout_s or 0.0, left)
        await pace.sleep(look_s)
        # By id: after it is archived, another production may have its name.
        view = (await client.production(view.id)).view


async def run_ended(
    client: RunReader, named: str | int, timeout_s: float | None, pace: Pace
) -> CwlOutputs:
    """Wait until the run of a CWL document has ended, or its production. Return the outputs.

    Raises TimedOut.
    """
    until = None if timeout_s is None else pace.monotonic() + timeout_s
    for pause_s in pauses(pace, longest_s=LOOK_S):
        view = (await client.production(named)).view
        found = await client.production_outputs(view.id)
        if found.status or view.state not in (P.NEW, P.ACTIVE, P.PAUSED):
            return found
        if until is not None and pace.monotonic() >= until:
            left = sum(one.state is not S.COMPLETED for one in view.steps)
            raise TimedOut(f"steps of production {view.name}", timeout_s or 0.0, left)
        await pace.sleep(pause_s)
        named = view.id
    raise AssertionError("unreachable")


async def transformation_ended(
    client: TransformationReader,
    named: str | int,
    timeout_s: float | None,
    pace: Pace,
    *,
    through_held: bool,
) -> TransformationView:
    """Wait until a transformation has ended or is stuck, and return it."""
    until = None if timeout_s is None else pace.monotonic() + timeout_s
    view = (await client.transformation(named)).view
    while True:
        if view.state not in (*_GO_ON, *_WAIT):
            return view
        waits = view.state in _WAIT and not view.tasks.get(TaskState.CREATED)
        if waits and not through_held:
            return view
        if until is not None and pace.monotonic() >= until:
            raise TimedOut(f"transformation {view.name}", timeout_s or 0.0, 1)
        await pace.sleep(LOOK_S)
        view = (await client.transformation(view.id)).view


def is_stuck(view: ProductionView) -> bool:
    """Return whether nothing of a production runs, and nothing will run until a user acts."""
    if view.state in (P.NEW, P.PAUSED):
        return True
    if any(one.tasks.get(TaskState.CREATED) for one in view.steps):
        return False
    over = {one.step for one in view.steps if one.state is S.COMPLETED}
    heads = [one for one in view.steps if one.step not in over and over.issuperset(one.parents)]
    return bool(heads) and all(
        stands_alone(one.state, view.state) or not _STUCK.isdisjoint(one.marks) for one in heads
    )


async def _named(client: ProductionReader, named: str | int) -> ProductionView:
    """Return the production with this id or name, or the last one that had this name."""
    try:
        return (await client.production(named)).view
    except Refused as why:
        had = None
        if why.code == Code.NOT_FOUND:
            async for one in client.productions(states=PUT_AWAY):
                had = one if one.name == named else had
        if had is None:
            raise
        return had
