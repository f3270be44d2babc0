"""The benches of a served central at a tiny setting: they run, and what they give holds together.

The figures themselves need a quiet machine: `pilotage bench dispatch life rebuild day`.
"""

import tempfile
from collections.abc import Generator

import pytest

from tests import bench
from tests.bench import day, dispatch, heartbeats, life, rebuild, soak
from tests.bench.figures import Figure
from tests.bench.goals import GOALS
from tests.bench.load.backing import POSTGRESQL, Server, server_of
from tests.bench.load.trials import Crowd
from tests.services import postgresql
from tests.services.folders import quick

DISPATCH = dispatch.Scale(
    jobs=2_000,
    owners=50,
    smaller=(500,),
    singly=Crowd(pilots=16, connections=8, jobs_max=1, rounds=3),
    together=Crowd(pilots=4, connections=2, jobs_max=8, rounds=2),
    of_smaller=Crowd(pilots=8, connections=4, jobs_max=1, rounds=2),
    of_apis=Crowd(pilots=16, connections=8, jobs_max=1, rounds=2),
    bulk=2_000,
    claimers=(4,),
    claims_s=0.5,
)
LIFE = life.Scale(
    jobs=2_000,
    owners=50,
    smaller=(500,),
    together=Crowd(pilots=2, connections=2, jobs_max=8, rounds=5),
    singly=Crowd(pilots=4, connections=4, jobs_max=1, rounds=5),
    of_smaller=Crowd(pilots=2, connections=2, jobs_max=8, rounds=2),
)
REBUILD = rebuild.Scale(jobs=(2_000,), owners=50)
DAY = day.Scale(
    waiting=1_000, owners=20, running=20, slots=4, faster=3_600, seconds=2.0, quiet_s=0.5
)

# A disk that other work keeps busy took 45 s; nothing that hangs ends within this.
AGAIN_S = 120.0

HEARTBEATS = heartbeats.Scale(pilots=300, connections=60, beat_s=2.0, seconds=6.0)

SOAK = soak.Scale(
    seconds=6.0, waiting=500, pilots=4, slots=4, job_s=0.5, beat_s=0.5, every_s=0.3, come_and_go=1
)


@pytest.fixture(scope="module", autouse=True)
def in_memory() -> Generator[None]:
    """Let the benches sync to memory: on a busy disk they took ten times as long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", quick())
        yield


def test_dispatch_gives_each_job_once_and_has_a_figure_for_each_goal() -> None:
    figures = dispatch.measure(DISPATCH)

    assert goals_of("dispatch") <= names(figures)
    assert all(one.value > 0 for one in figures if one.unit in ("jobs/s", "ms", "MB"))


def test_a_life_ends_and_has_a_figure_for_each_goal() -> None:
    figures = life.measure(LIFE)

    assert goals_of("life") <= names(figures)
    assert all(one.value > 0 for one in figures if one.unit == "jobs/s")


def test_a_killed_central_gives_jobs_again_and_loads_all_that_waited() -> None:
    first, loaded, _ = rebuild.measure(REBUILD)

    assert 0 < first.value <= loaded.value < AGAIN_S


@pytest.fixture(scope="module")
def server() -> Generator[Server]:
    assert not postgresql.missing(), f"install {postgresql.missing()}"
    with server_of(POSTGRESQL) as one:
        yield one


def test_dispatch_on_postgresql_has_a_figure_for_each_goal(server: Server) -> None:
    figures = dispatch.measure_on(server, DISPATCH)

    assert goals_of("dispatch-postgresql") <= names(figures)
    # CPU is told in hundredths of a second: of so little work it may be none.
    assert all(one.value > 0 for one in figures if one.unit in ("jobs/s", "times", "MB"))


def test_lives_on_postgresql_have_a_figure_for_each_goal(server: Server) -> None:
    figures = life.measure_on(server, LIFE)

    assert goals_of("life-postgresql") <= names(figures)
    assert all(one.value > 0 for one in figures if one.unit == "jobs/s")


def test_a_killed_central_gives_jobs_of_postgresql_again(server: Server) -> None:
    first, loaded, _ = rebuild.measure(REBUILD, server)

    assert 0 < first.value <= loaded.value < AGAIN_S


def test_one_that_stood_by_gives_jobs_after_a_kill(server: Server) -> None:
    (first,) = rebuild.taken_over(REBUILD, server)

    assert 0 < first.value < AGAIN_S


def test_nothing_of_a_bench_is_left_on_the_server(server: Server) -> None:
    with server.schema() as url:
        assert "search_path=bench_" in url

    schemas = "SELECT string_agg(nspname, ' ') FROM pg_namespace WHERE nspname LIKE 'bench_%'"
    assert server.say(schemas) == "None"


def test_a_bench_that_knows_no_other_store_is_refused_with_those_that_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench.main(("life", "day"), store=POSTGRESQL) == 2

    assert "'day' with --store; known are all, dispatch, life, rebuild" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("store", "why"), [("mysql://there", "store.url"), ("postgresql://u@127.0.0.1:1/x", "refused")]
)
def test_a_store_that_is_none_is_refused(
    store: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(("life",), store=store) == 2

    assert why in capsys.readouterr().err


@pytest.mark.parametrize("scale", [DAY])
def test_a_day_passes_with_ends_and_beats(scale: day.Scale) -> None:
    figures = {one.name: one.value for one in day.measure(scale)}

    assert goals_of("day") <= set(figures)
    assert figures["jobs ended"] > 5
    assert figures["beats"] > 50


def test_every_beat_over_the_broker_is_answered_and_no_lease_ends() -> None:
    figures = {one.name: one.value for one in heartbeats.measure(HEARTBEATS)}

    assert goals_of("heartbeats") <= set(figures)
    assert figures["beats"] > 100
    assert (figures["leases that ended"], figures["beats called stale"]) == (0, 0)
    assert figures["beats not answered"] == 0


def test_a_mixed_load_lives_and_its_memory_and_files_are_followed() -> None:
    figures = {one.name: one.value for one in soak.measure(SOAK)}

    assert goals_of("soak") <= set(figures)
    assert figures["jobs ended"] > 5
    assert figures["open files at the end"] < 100


def names(figures: list[Figure]) -> set[str]:
    return {one.name for one in figures}


def goals_of(bench: str) -> set[str]:
    return {name for which, name in GOALS if which == bench}
