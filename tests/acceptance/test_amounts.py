"""Named amounts with a real central and real pilots: one that a pilot offers, and a pool."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.client import Client
from pilotage.proto.documents.job import Job, Need

from .running import RunningCentral, eventually, running_central

LIMITS = "[{by: amount, value: licence.x, most: 2}]"
LONG = ("sleep", "600")


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningCentral]:
    """Run a central with two licences, and two pilots of which one offers bandwidth."""
    folder: Path = tmp_path_factory.mktemp("amounts")
    with running_central(folder, {"matcher.running": LIMITS}) as running:
        running.pilot("PIC", cores=4, amounts=("bandwidth_mbps=100",))
        running.pilot("CSCS", cores=4)
        yield running


def submitted(central: RunningCentral, count: int, **amounts: int) -> list[int]:
    job = Job(command=LONG, needs=(Need(amounts=amounts),))
    return list(central.client.submit([job] * count).ids())


def states(client: Client, jobs: list[int]) -> list[str]:
    return [client.job(job).state().value for job in jobs]


def running_of(central: RunningCentral, jobs: list[int], count: int) -> list[int]:
    """Return the jobs that run once that many do."""

    def found() -> list[int]:
        pairs = zip(jobs, states(central.client, jobs), strict=True)
        return [job for job, state in pairs if state == "Running"]

    return eventually(lambda: its if len(its := found()) == count else [], what=f"{count} running")


def explained(central: RunningCentral, job: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(central.type("explain", str(job), "--json"))
    return found


def killed(central: RunningCentral, jobs: list[int]) -> None:
    central.client.kill(jobs)
    eventually(lambda: set(states(central.client, jobs)) == {"Killed"}, what="their end")


def test_jobs_share_what_a_pilot_offers_and_no_other_pilot_takes_them(
    central: RunningCentral,
) -> None:
    out = central.type("submit", "--need", "bandwidth_mbps=60", "--json", "--", *LONG)
    first = [json.loads(out)["ids"][0]["first"]]
    assert running_of(central, first, 1) == first
    second = submitted(central, 1, bandwidth_mbps=60)
    shown = json.loads(central.type("show", str(first[0]), "--json"))
    (pilot,) = [one for one in central.client.pilots() if one.site == "PIC"]

    assert shown["attempts"][0]["amounts"] == {"bandwidth_mbps": 60}
    assert (pilot.amounts, pilot.amounts_free) == (
        {"bandwidth_mbps": 100},
        {"bandwidth_mbps": 40},
    )
    assert "bandwidth_mbps 40 of 100" in " ".join(explained(central, second[0])["notes"])
    killed(central, first)
    assert running_of(central, second, 1) == second
    killed(central, second)


def test_a_job_that_needs_more_than_any_pilot_offers_is_told_so(central: RunningCentral) -> None:
    jobs = submitted(central, 1, bandwidth_mbps=101)
    said = explained(central, jobs[0])
    killed(central, jobs)

    (obstacle,) = said["obstacles"]
    assert (obstacle["clause"], obstacle["best"]) == ("amounts", "bandwidth_mbps 100")


def test_no_more_licences_are_taken_than_there_are_even_after_a_restart(
    central: RunningCentral,
) -> None:
    jobs = submitted(central, 3, **{"licence.x": 1})
    two = running_of(central, jobs, 2)
    (third,) = set(jobs) - set(two)
    central.kill9()
    central.restart()
    eventually(lambda: "Running" in states(central.client, two), what="the central")

    why = "at all sites together, at most 2 licence.x may be in use: 1 needed, 0"
    eventually(lambda: why in " ".join(explained(central, third)["notes"]), what="the reason")
    assert states(central.client, [third]) == ["Waiting"]
    killed(central, two[:1])
    assert running_of(central, [third], 1) == [third]
    (limit,) = central.client.limits().limits
    assert (limit.by, limit.value, limit.running) == ("amount", "licence.x", 2)
    killed(central, [two[1], third])


def test_a_wrong_amount_is_refused_with_what_would_be_right(central: RunningCentral) -> None:
    said = central.type("submit", "--need", "gpus=1", "--", "true", code=2)

    assert "--need: gpus is built in: use --gpus" in said
