"""Restart storms: all clients of a broker and all pilots of a central are back within a minute.

Each pilot is the shipped one, with a connection of its own over MQTT and over HTTP.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.central.operate.servers import mosquitto as product
from pilotage.central.settings import CommunitySettings
from pilotage.pilot.talk import bus
from pilotage.proto.pilot_states import PilotState
from tests.acceptance.running import RunningCentral
from tests.services.mosquitto import Mosquitto, missing

from . import logins
from .campaign import Person, Stage, a_broker, a_job, many_files, under_load
from .crowd import Crowd, percentile

FEW, MANY = 200, 2_000
BACK_S = 60.0
START_S = 300.0  # of this process, which plays all pilots
COMMUNITY = CommunitySettings().name
SUBMIT_S = 5.0  # what a submission may take in the middle of it all, at the 99th percentile
ANSWERS_MIN = 10  # submissions after a restart, by which slow ones are judged

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")


def times(stage: Stage, event: str, since: float) -> list[float]:
    """Return when each pilot last had this event, counted from then, and only if it was later."""
    heard = (member.heard.get(event, 0.0) for member in stage.crowd.members)
    return sorted(moment - since for moment in heard if moment > since)


async def until_all(
    stage: Stage, event: str, since: float, *, within_s: float = BACK_S
) -> list[float]:
    async with asyncio.timeout(within_s):
        while True:
            found = times(stage, event, since)
            if len(found) == len(stage.crowd.members):
                return found
            await asyncio.sleep(0.1)


async def all_parked(stage: Stage) -> None:
    """Wait until the central has the parked offers of all pilots."""
    async with asyncio.timeout(BACK_S):
        while True:
            parked = 0
            async for view in stage.client.pilots(states=(PilotState.RUNNING,)):
                parked += view.parked
            if parked == len(stage.crowd.members):
                return
            await asyncio.sleep(0.3)


async def submitting(person: Person, took_s: list[float]) -> None:
    """Submit a job now and then, and note how long its answer took."""
    number = 0
    while not person.stopped:
        began = time.monotonic()
        await person.submit(f"in the storm {number}", [a_job()])
        took_s.append(time.monotonic() - began)
        number += 1
        await asyncio.sleep(0.1)


def knowing(broker: Mosquitto) -> Callable[[RunningCentral, Crowd], None]:
    """Return what lets a broker know all pilots before they come."""

    def restarted(central: RunningCentral, crowd: Crowd) -> None:
        broker.stop()
        pilots = (member.pilot for member in crowd.members)
        logins.write(broker.logins, logins.of_crowd(central.data, COMMUNITY, pilots))
        product.Mosquitto.start(broker)  # in a thread already

    return restarted


async def storms(folder: Path, pilots: int, lease_s: float, *, known: bool = False) -> None:
    """Restart the broker, then the central, under so many pilots, whom it may know before."""
    took_s: list[float] = []
    async with a_broker(folder / "broker") as (broker, options):
        options |= {"lease.lease_s": f"{lease_s}"}
        ahead = knowing(broker) if known else None
        async with under_load(
            folder / "it", options, pilots=pilots, cores=1, people=0, ahead=ahead
        ) as stage:
            await until_all(stage, "bus_up", 0.0, within_s=START_S)
            await all_parked(stage)
            await asyncio.sleep(bus.STAYED_S)  # until all connections count as good ones
            stage.people.append(Person(stage.client, "in the storm"))
            stage.submitting.append(stage.tasks.create_task(submitting(stage.people[0], took_s)))
            broker.kill()
            since = time.monotonic()
            await broker.start()
            back = await until_all(stage, "bus_up", since)
            per_second = Counter(int(moment) for moment in back)
            print(f"{pilots} clients of a broker: all back after {back[-1]:.1f} s, {per_second}")

            stage.central.kill9()
            since = time.monotonic()
            await stage.restart()
            took_s.clear()
            await all_parked(stage)
            away_s = time.monotonic() - since
            async with asyncio.timeout(START_S):
                while True:  # the pilots may be back before the first answer
                    if len(took_s) >= ANSWERS_MIN:
                        break
                    await asyncio.sleep(0.1)
            slow_s = percentile(took_s, 0.99)
            print(f"{pilots} pilots of a central: all parked after {away_s:.1f} s, {slow_s=:.2f}")

    assert max(per_second.values()) <= max(20, pilots / 2), "they all came at once"
    assert slow_s < SUBMIT_S, "those that submit were starved"


async def test_hundreds_of_pilots_come_back_after_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus, "STAYED_S", 2.0)  # instead of 10 s both, to be done the sooner
    monkeypatch.setattr(bus, "SPREAD_S", 4.0)
    with many_files():
        await storms(tmp_path, FEW, 15.0)


@pytest.mark.long
async def test_two_thousand_pilots_come_back_after_restarts(tmp_path: Path) -> None:
    with many_files():
        await storms(tmp_path, MANY, 120.0, known=True)
