"""A production is cleaned while its jobs wait: nothing of it is left, and nothing else is touched.

The figures need a quiet machine: `pilotage bench cleaning`.
"""

import time
from collections.abc import Generator
from contextlib import nullcontext

import pytest

from pilotage.central.client import Client
from pilotage.central.operate.datadir import STORE_FILE
from pilotage.central.store import audit
from pilotage.central.store.sqlite import check as file_check
from pilotage.proto.job_states import JobState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import TaskState
from tests.bench import cleaning
from tests.bench.figures import Figure
from tests.bench.goals import GOALS
from tests.bench.load.backing import POSTGRESQL, Server, server_of
from tests.bench.load.stage import stage
from tests.services import postgresql

STORES = ("sqlite", POSTGRESQL)
JOBS = 2_500  # some slices, of which the last is not full
OTHERS = 300
MOSTLY_S = 60.0
TRIES = 3


@pytest.fixture(params=STORES)
def server(request: pytest.FixtureRequest) -> Generator[Server | None]:
    """The server that the store is on; None for a file."""
    if request.param == POSTGRESQL:
        assert not postgresql.missing(), f"install {postgresql.missing()}"
    with server_of(POSTGRESQL) if request.param == POSTGRESQL else nullcontext() as one:
        yield one


def test_a_large_production_is_cleaned_beside_a_neighbour(server: Server | None) -> None:
    figures = cleaning.measure(JOBS, server)

    bench = cleaning.NAME if server is None else f"{cleaning.NAME}-postgresql"
    assert {name for its, name in GOALS if its == bench} <= {one.name for one in figures}
    assert all(one.value > 0 for one in figures if one.unit != "µs/job")


def test_memory_and_store_agree_after_a_kill_in_the_middle(server: Server | None) -> None:
    with stage(server) as on:
        cleaning.with_storage(on)
        with on.act() as act, Client(act.url, act.token) as client:
            other = cleaning.made(client, OTHERS, on.folder, name="other")
            large = cleaning.made(client, JOBS, on.folder)
            client.act_on_production(large, "clean")
            until = time.monotonic() + MOSTLY_S
            while not cleaning.states_of(client).get(JobState.KILLED):
                assert time.monotonic() < until, "nothing is killed"
            act.central.process.kill()
            act.central.process.wait()
        with on.act() as act, Client(act.url, act.token) as client:
            cleaning.cleaned(client, large)
            states = cleaning.states_of(client)
            tasks = {one: client.production(one).view.steps[0].tasks for one in (large, other)}
            state = client.production(other).view.state
        with on.act() as act, Client(act.url, act.token) as client:
            counted_anew = cleaning.states_of(client)
        if server is None:
            with file_check.reading(on.data / STORE_FILE) as session:
                assert [one for one in audit.differences(session) if one[1]] == []

    assert states == counted_anew == {JobState.KILLED: JOBS, JobState.WAITING: OTHERS}
    assert {state: count for state, count in tasks[large].items() if count} == {
        TaskState.KILLED: JOBS
    }
    assert tasks[other][TaskState.CREATED] == OTHERS
    assert state is ProductionState.ACTIVE


@pytest.mark.long
def test_100_000_jobs_are_cleaned_within_the_budget(server: Server | None) -> None:
    """A busy machine makes single runs slower: the best of some counts."""
    missed: list[list[Figure]] = []
    for _ in range(TRIES):
        missed.append([x for x in cleaning.measure(cleaning.JOBS, server) if x.met is False])
        if not missed[-1]:
            return
    raise AssertionError(missed)
