"""What is cleaned is cleaned in slices: whatever it has, others are looked at in between."""

import asyncio
from collections.abc import Collection
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import NewFile
from pilotage.central.identity.callers import User
from pilotage.central.ports import Clock
from pilotage.central.productions import cleaning, record as production_records
from pilotage.central.productions.cleaning import Cleaning
from pilotage.central.productions.definition_cache import KnownProduction, ProductionCache
from pilotage.central.productions.watch import AGAIN_S, ProductionWatch
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import TransformationMove
from pilotage.proto import limits
from pilotage.proto.api.jobs import Action as JobAction
from pilotage.proto.api.productions import ProductionAction, ProductionActionName as A
from pilotage.proto.catalogue import Did, parse_query
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import TransformationState as S
from tests import virtual
from tests.contract.store.test_transformations import made
from tests.fake_central import FakeClock
from tests.fakes import LoopClock
from tests.unit.workflows.written_here import workflow

from .served import Served

LARGE = """
    workflow: large
    steps: {make: {tasks: 900, job: {command: [x]}, outputs: {raw: "*"}}}
"""
SMALL = LARGE.replace("large", "small")


class _Watched(Served):
    """Two productions, of which the large one is cleaned, under the watch."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__()
        clock = clock or FakeClock()
        self.kills = 0
        self.told: list[str] = []  # what has failed …
        self.errors: list[str] = []  # … and how
        self.watching = ProductionWatch(
            store=self.store,
            cache=ProductionCache(self.store, clock),
            cleaning=Cleaning(store=self.store, catalogue=self.store, act=self.kill),
            touch=lambda one: None,
            clock=clock,
            log=self._log,
        )

    def _log(self, event: str, **fields: object) -> None:
        if event == "loop_failed":
            self.told.append(str(fields["loop"]))
            self.errors.append(str(fields["error"]))

    async def kill(self, caller: User, action: JobAction) -> None:
        self.kills += len(action.ids)

    async def state(self, named: str) -> P:
        row = await self.store.read(production_records.production, int(named))
        assert row is not None
        return row.state

    async def moved(self, transformation: int, *states: S) -> None:
        for old, new in zip(states, states[1:], strict=False):
            move = TransformationMove(
                transformation_id=transformation, old=old, new=new, reason="", at=1.0
            )
            assert await self.store.write(transformation_records.move_transformation, move)


async def _two(tmp_path: Path, clock: Clock | None = None) -> _Watched:
    """Return a large production with tasks that live and a small one, both known to the watch."""
    served = _Watched(clock)
    for text in (LARGE, SMALL):
        await served.added(workflow(tmp_path, text))
    row = await served.store.read(transformation_records.transformation, 1)
    assert row is not None
    jobs = [one.job_id for one in await made(served.store, row, [()] * 900)]
    files = [
        NewFile(
            did=Did("sim", f"f{job}"),
            owner_id=1,
            bytes=1,
            adler32="00000001",
            job_id=job,
            epoch=1,
        )
        for job in jobs
    ]
    assert all(
        one.new
        for one in await served.store.write(registration.register_files, "ctao", files, at=1.0)
    )
    await served.watching.load()
    await served.watching.once()
    return served


async def test_a_small_production_is_complete_while_a_large_one_is_killed(tmp_path: Path) -> None:
    served = await _two(tmp_path)
    await served.act("large", ProductionAction(action=A.CLEAN))
    await served.moved(2, S.ACTIVE, S.COMPLETING, S.COMPLETED)
    served.watching.nudge(1)
    await served.watching.once()
    assert 0 < served.kills < 900

    served.watching.heard(2)
    await served.watching.once()
    assert await served.state("2") is P.COMPLETED
    assert served.kills < 900
    for _ in range(900):
        await served.watching.once()
    assert served.kills == 900, "each once: none is left out"


async def test_a_small_production_is_complete_while_files_of_a_large_one_are_removed(
    tmp_path: Path,
) -> None:
    served = await _two(tmp_path)
    await served.act("large", ProductionAction(action=A.CLEAN))
    await served.moved(1, S.CLEANING, S.CLEANED)
    served.watching.nudge(1)
    await served.watching.once()
    await served.moved(2, S.ACTIVE, S.COMPLETING, S.COMPLETED)
    served.watching.heard(2)
    await served.watching.once()
    assert (await served.state("2"), await served.state("1")) == (P.COMPLETED, P.CLEANING)

    for _ in range(900):
        await served.watching.once()
    assert await served.state("1") is P.CLEANED
    assert not (
        await served.store.read(catalogue_read.find_files, "ctao", parse_query({}), limit=10)
    ).files


@pytest.mark.parametrize("busy", [False, True])
def test_what_fails_in_a_slice_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """A store that fails once in the middle leaves no file behind in what is then Cleaned.

    Nobody asks for another look at it; others may be looked at all the time.
    """

    async def whole() -> None:
        served = await _two(tmp_path, LoopClock())
        await served.act("large", ProductionAction(action=A.CLEAN))
        await served.moved(1, S.CLEANING, S.CLEANED)
        calls: list[float] = []

        async def fails_once(remove: Any, *args: Any, **fields: Any) -> Any:
            calls.append(asyncio.get_running_loop().time())
            if len(calls) == 2:
                raise OSError("the disk is gone")
            return await remove(*args, **fields)

        served.store.ways[file_records.remove_files] = fails_once
        async with asyncio.TaskGroup() as group, asyncio.timeout(4 * AGAIN_S):
            running = group.create_task(served.watching.run())
            while await served.state("1") is not P.CLEANED:
                await asyncio.sleep(0.3)
                if busy:
                    served.watching.nudge(2)
            running.cancel()

        assert served.told == ["production 1"]
        assert "in fails_once" in served.errors[0] and "the disk is gone" in served.errors[0]
        assert AGAIN_S / 2 < calls[2] - calls[1] < 2 * AGAIN_S, "not at once: the disk is gone"
        assert not (
            await served.store.read(catalogue_read.find_files, "ctao", parse_query({}), limit=10)
        ).files

    virtual.run(whole(), limit_s=100.0)


async def test_that_one_cannot_be_noted_is_told_with_its_place_and_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = _Watched()
    for text in (LARGE, SMALL):
        await served.added(workflow(tmp_path, text))
    of = ProductionCache.of

    async def fails(
        self: ProductionCache, production_id: int, steps: Collection[int]
    ) -> KnownProduction:
        if production_id == 1:
            raise KeyError("a field of another release")
        return await of(self, production_id, steps)

    monkeypatch.setattr(ProductionCache, "of", fails)
    await served.watching.load()
    await served.watching.once()

    assert served.told == ["production 1"]
    assert "in fails" in served.errors[0] and "a field of another release" in served.errors[0]
    assert [len(await served.store.read(production_records.samples, one)) for one in (1, 2)] == [
        0,
        1,
    ]


def test_as_many_files_are_looked_for_as_the_jobs_of_a_slice_can_have_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Files beyond would be left in the catalogue: if a job may make more, more are looked for."""
    monkeypatch.setattr(limits, "OUTPUTS_MAX", 3 * limits.OUTPUTS_MAX)
    spec = find_spec(cleaning.__name__)
    assert spec is not None and spec.loader is not None
    again = module_from_spec(spec)
    spec.loader.exec_module(again)

    assert again.FILES_MAX == cleaning.JOBS * limits.OUTPUTS_MAX == 3 * cleaning.FILES_MAX
