"""A job of which nobody can say what it is to run fails by its name; its pilot gets the others."""

import dataclasses

import pytest

from pilotage.central.dispatch.turns import run_orders as orders, turns as turn
from pilotage.central.dispatch.turns.data_orders import DataOrders
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.leases import Lease
from pilotage.central.jobs.restricted_view import sealed
from pilotage.central.store.errors import StoreError
from pilotage.proto.documents.job import JobData
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Ask, How
from pilotage.proto.storages import TAG
from tests.fakes import FakeInstallation
from tests.integration.line.test_protocol import OFFER, Scene, ended, scene

WITH_DATA = dataclasses.replace(OFFER, tags=(TAG,))


def spoil(world: FakeInstallation, job: int) -> None:
    """Let the store hold what this release cannot read, as after a step back."""
    world.store.put_body(job, b'{"command": 7}')


async def asked(one: Scene, n: int, jobs_max: int = 4) -> list[int]:
    reply = await one.turn(ask=Ask(n=n, offer=WITH_DATA, jobs_max=jobs_max))
    assert reply.ask is not None
    return [got.job for got in reply.ask.assignments]


@pytest.mark.parametrize("surely_fit", [turn.SURELY_FIT, 0])
def test_a_job_that_cannot_be_read_fails_and_its_pilot_gets_the_others(
    surely_fit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "SURELY_FIT", surely_fit)
    monkeypatch.setattr(orders, "BODIES_BYTES_MAX", 1 << 24 if surely_fit else 300)

    async def tell(one: Scene) -> None:
        first, second, third = await one.submit(3)
        spoil(one.world, second)

        assert await asked(one, 1) == [first, third]
        assert await asked(one, 1) == [first, third]  # its answer was lost on the way
        row = await one.world.store.read(job_records.job, second)
        assert row is not None and row.state is JobState.FAILED
        assert "the central cannot make an assignment of this job: ValidationError" in row.reason

    scene(tell)


def test_such_a_job_is_shown_with_why_it_cannot_be_read() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        spoil(one.world, job)
        await asked(one, 1)
        shown = await one.world.central.services.queries.job(one.world.user(), job)

        assert shown.view.state is JobState.FAILED
        assert shown.job is None
        assert shown.unreadable.startswith("ValidationError: Expected `array`")
        read_by_others = sealed(shown)
        assert read_by_others.sealed and read_by_others.job is None

    scene(tell)


def test_what_an_answer_repeats_fails_by_its_name_too() -> None:
    async def tell(one: Scene) -> None:
        first, second = await one.submit(2)
        assert await asked(one, 1) == [first, second]
        spoil(one.world, first)

        assert await asked(one, 1) == [second]
        row = await one.world.store.read(job_records.job, first)
        assert row is not None and row.state is JobState.FAILED

    scene(tell)


def test_a_job_whose_data_cannot_be_told_fails_but_not_where_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing: list[Exception] = [StoreError("the disk is away")]

    async def of(_: DataOrders, lease: Lease) -> None:
        if failing:
            raise failing[0]

    monkeypatch.setattr(DataOrders, "of", of)

    async def tell(one: Scene) -> None:
        (job,) = await one.submit(data=JobData())
        with pytest.raises(StoreError):
            await asked(one, 1)
        failing.clear()

        assert await asked(one, 1) == [job]
        failing.append(LookupError("no such input"))
        assert await asked(one, 1) == []
        assert await one.state(job) is JobState.FAILED

    scene(tell)


def test_the_host_is_not_blamed_for_it() -> None:
    async def tell(one: Scene) -> None:
        for _ in range(20):
            (bad,) = await one.submit()
            spoil(one.world, bad)
        for n in range(1, 9):
            assert await asked(one, n, jobs_max=4) == []
        (good,) = await one.submit()
        one.ask_n = 8
        got = await one.ask()
        await one.turn(ended(got, how=How.EXITED))

        assert await one.state(good) is JobState.DONE

    scene(tell)
