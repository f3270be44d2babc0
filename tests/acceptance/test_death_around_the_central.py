"""kill -9 of a pilot, of a guard and of the broker in the middle of one campaign."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import aiomqtt
import msgspec
import pytest

from pilotage.central.bus import dynsec
from pilotage.proto import topics
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Down
from tests.services.mosquitto import Mosquitto, missing

from .beacons import Beacons
from .brokers import started_broker
from .canaries import check_secrets
from .running import SOON_S, RunningCentral, eventually, running_central

LEASE_S = 5.0
H = LEASE_S / 3
OBSERVER = "observer"

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"needs {missing()}")


@contextmanager
def a_broker(folder: Path) -> Generator[tuple[Mosquitto, dict[str, str]]]:
    """Start a broker that an observer may enter; yield it and the settings of a central."""
    with started_broker(folder) as (broker, options):
        asyncio.run(_let_observer_in(broker))
        yield broker, options


async def _let_observer_in(broker: Mosquitto) -> None:
    """Make a login that may read what pilots and central say. The central does not run yet: a
    second client under its name would push it out."""
    acls = [
        {"acltype": kind, "topic": "pilotage/#", "allow": True}
        for kind in ("publishClientReceive", "subscribePattern")
    ]
    commands = [
        {"command": "createRole", "rolename": OBSERVER, "acls": acls},
        {
            "command": "createClient",
            "username": OBSERVER,
            "password": broker.password,
            "roles": [{"rolename": OBSERVER}],
        },
    ]
    async with asyncio.timeout(SOON_S), _client(broker, broker.user) as client:
        await client.subscribe(dynsec.RESPONSE)
        await client.publish(dynsec.CONTROL, dynsec.encode(commands), qos=1)
        answer = await anext(aiter(client.messages))
        assert isinstance(answer.payload, bytes)
        assert not any(one.error for one in dynsec.decode(answer.payload)), answer.payload


def _client(broker: Mosquitto, user: str) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", broker.port, username=user, password=broker.password)


def heard_on_the_bus(broker: Mosquitto, act: Callable[[], object]) -> list[tuple[str, bytes]]:
    """Return topic and content of what is said on the bus while `act` runs."""

    async def listen() -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []

        async def write_down(client: aiomqtt.Client) -> None:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                found.append((message.topic.value, message.payload))

        async with asyncio.timeout(SOON_S), _client(broker, OBSERVER) as client:
            await client.subscribe("pilotage/#")
            async with asyncio.TaskGroup() as tasks:
                writing = tasks.create_task(write_down(client))
                await asyncio.to_thread(act)
                writing.cancel()
        return found

    return asyncio.run(listen())


def running(central: RunningCentral, beacons: Beacons, job: Job, count: int) -> list[int]:
    """Submit so many of a job and return their ids once all of them run."""
    ids = list(central.client.submit([job] * count).ids())
    eventually(lambda: all(beacons.running(one) for one in ids), what=f"the start of {ids}")
    return ids


def test_a_pilot_a_guard_and_the_broker_die_and_every_job_ends_once(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with (
        a_broker(tmp_path_factory.mktemp("broker")) as (broker, options),
        running_central(tmp_path, options | {"lease.lease_s": f"{LEASE_S:.0f}"}) as central,
    ):
        beacons, client = Beacons(tmp_path / "beacons"), central.client
        lost_with_it = beacons.job(60.0, 0.2)  # a first attempt outlives its pilot
        doomed = central.pilot("PIC", cores=2)
        of_doomed = running(central, beacons, lost_with_it, 2)
        guardless = central.pilot("CSCS", cores=2)
        of_guardless = running(central, beacons, lost_with_it, 2)
        steady = central.pilot("DESY-Zeuthen", cores=4)
        (through_it_all,) = running(central, beacons, beacons.job(1.5 * LEASE_S), 1)
        (to_be_killed,) = running(central, beacons, beacons.job(60.0), 1)
        check_secrets(central, frozenset({broker.password}))
        campaign = client.submit([beacons.job(0.2)] * 20)

        doomed.kill9()
        guardless.kill9_guard()
        broker.kill()
        all_told = [*of_doomed, *of_guardless, through_it_all, *campaign.ids()]
        killed_at = max(one.last for one in beacons.attempts().values())
        eventually(lambda: len(beacons.of(to_be_killed)) == 1 and steady.events("bus_down"))
        client.kill([to_be_killed])
        kill_acknowledged_at = max(one.last for one in beacons.attempts().values())
        view = client.job(to_be_killed).wait(SOON_S)

        assert view.state is JobState.KILLED
        assert beacons.of(to_be_killed)[-1].last - kill_acknowledged_at <= 2 * H + 1.0
        assert client.job(through_it_all).wait(SOON_S).epoch == 1, "beats did not go over HTTPS"
        asyncio.run(broker.start())
        for job in of_doomed:
            assert client.job(job).wait(SOON_S).epoch == 2
            assert beacons.of(job)[1].began - killed_at <= LEASE_S + 10.0
        assert guardless.process.wait(SOON_S) == 13

        eventually(lambda: len(steady.events("bus_up")) == 2, what="the pilot's way back")
        eventually(lambda: client.health().bus.startswith("mqtt://"), what="the central's way back")
        eventually(lambda: client.pilot(steady.id).parked, what="a parked pilot")
        heard = heard_on_the_bus(
            broker, lambda: client.submit(beacons.job(1.2 * H)).handles()[0].wait(SOON_S)
        )
        downs = [one for topic, one in heard if topic == topics.down("local", steady.id)]
        beats = [topic for topic, _ in heard if topic.endswith("/up/beat")]

        assert any(msgspec.json.decode(one, type=Down).wake for one in downs), heard
        assert beats
        ended = {view.id: view for view in client.search() if view.state is JobState.DONE}
        assert set(all_told) <= set(ended)
        for job in all_told:
            events = [one.event for one in client.history(job).occurrences]
            assert events.count("exited") == 1
        assert beacons.overlaps() == []
        check_secrets(central, frozenset({broker.password}))
