"""What every bus promises the central, and every broker its pilots."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pilotage.proto import topics
from pilotage.proto.topics import TopicKind
from tests.contract.bus.stages import NEVER_S, SOON_S, Client, Stage, TurnedAway, eventually, stage
from tests.services.mosquitto import missing

DRIVERS = ["fake", "embedded", "mosquitto"]
OURS, THEIRS = ("ctao", "p1"), ("ctao", "p2")
FOREIGN = ("lhcb", "p3")
PASSWORD = "a long random word"
WORDS_OF = {pilot: f"word of {pilot}" for _, pilot in (OURS, THEIRS, FOREIGN)}

NOT_TO_BE_READ = [
    topics.down(*THEIRS),
    topics.down(*FOREIGN),
    topics.down("lhcb", "p1"),
    topics.up(*OURS, TopicKind.BEAT),
    topics.down("ctao", "+"),
    topics.down("+", "p1"),
    "pilotage/1/ctao/p/p1/#",
    "pilotage/1/ctao/p/p1/+",
    "pilotage/#",
    topics.all_up(),
    "#",
    "+/#",
    "$SYS/#",
    "$CONTROL/#",
    "$share/g/pilotage/1/ctao/p/p2/down",
]
NOT_KNOWN = [
    ("p1", "wrong"),
    ("p1", ""),
    ("p1", WORDS_OF["p2"]),
    ("nobody", PASSWORD),
    ("", ""),
    ("central", "central?"),
]


class Running:
    """A stage with its bus running, and what the central has heard on it."""

    def __init__(self, on: Stage) -> None:
        self.on, self.bus = on, on.bus
        self.heard: list[tuple[str, bytes]] = []

    async def hear(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))
        if payload == b"refuse me":
            raise ValueError("a message that the handler does not like")

    async def logins(self) -> None:
        for community, pilot in (OURS, THEIRS, FOREIGN):
            await self.bus.add_login(community, pilot, WORDS_OF[pilot])

    async def quiet(self) -> None:
        """Wait until what is under way has come or never will."""
        await asyncio.sleep(NEVER_S)


@asynccontextmanager
async def running(driver: str, folder: Path) -> AsyncGenerator[Running]:
    async with stage(driver, folder) as on, asyncio.TaskGroup() as tasks:
        world = Running(on)
        task = tasks.create_task(on.bus.run(world.hear))
        try:
            await eventually(lambda: on.bus.up, "the bus is up")
            await world.logins()
            yield world
        finally:
            task.cancel()


@pytest.fixture(params=DRIVERS)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Running]:
    if request.param == "mosquitto" and missing():
        pytest.skip(f"needs {missing()}")
    async with running(request.param, tmp_path) as one:
        yield one


async def test_a_beat_reaches_the_central_and_the_answer_its_pilot(world: Running) -> None:
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    assert await pilot.subscribe(topics.down(*OURS))
    await pilot.publish(topics.up(*OURS, TopicKind.BEAT), b"beat")
    await eventually(lambda: bool(world.heard), "the central hears the beat")
    world.bus.publish(topics.down(*OURS), b"answer")

    assert world.heard == [(topics.up(*OURS, TopicKind.BEAT), b"beat")]
    assert await pilot.receive() == (topics.down(*OURS), b"answer")


async def test_messages_of_one_pilot_arrive_in_order(world: Running) -> None:
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    for n in range(200):
        await pilot.publish(topics.up(*OURS, TopicKind.BEAT), b"%d" % n)
    await eventually(lambda: len(world.heard) == 200, "all have come")

    assert [int(payload) for _, payload in world.heard] == list(range(200))


async def test_a_pilot_writes_its_own_up_and_no_other(world: Running) -> None:
    own = [topics.up(*OURS, kind) for kind in TopicKind]
    foreign = [
        *(topics.up(*THEIRS, kind) for kind in TopicKind),
        topics.up("lhcb", "p1", TopicKind.BEAT),
        topics.up(*FOREIGN, TopicKind.BEAT),
        topics.up(*OURS, TopicKind.BEAT).replace("/1/", "/2/"),
        topics.down(*OURS),
        "elsewhere",
    ]
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    for topic in [*foreign, *own, own[0]]:
        await pilot.publish(topic, b"x")
    await eventually(lambda: len(world.heard) > len(own), "what may be said is heard")
    await world.quiet()

    assert world.heard == [(topic, b"x") for topic in [*own, own[0]]]


async def test_a_pilot_cannot_speak_as_the_central_to_another(world: Running) -> None:
    victim = await world.on.enter("p2", WORDS_OF["p2"])
    assert await victim.subscribe(topics.down(*THEIRS))
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    await pilot.publish(topics.down(*THEIRS), b"stop")
    await pilot.publish(topics.down(*OURS), b"stop")

    assert await victim.receive(NEVER_S) is None


async def test_a_pilot_reads_nothing_but_its_own_down(world: Running) -> None:
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    granted = [one for one in NOT_TO_BE_READ if await pilot.subscribe(one)]

    assert granted == []

    world.bus.publish(topics.down(*THEIRS), b"secret")

    assert await pilot.receive(NEVER_S) is None


async def test_who_is_not_known_does_not_come_in(world: Running) -> None:
    for user, password in NOT_KNOWN:
        with pytest.raises(TurnedAway):
            await world.on.enter(user, password)


async def test_a_removed_login_is_cut_off_and_stays_out(world: Running) -> None:
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    await pilot.subscribe(topics.down(*OURS))
    await world.bus.remove_login(*OURS)
    await world.bus.remove_login(*OURS)  # again: nothing to do

    with pytest.raises(TurnedAway):
        while await pilot.receive() is not None:
            pass
    with pytest.raises(TurnedAway):
        await world.on.enter("p1", WORDS_OF["p1"])


async def test_a_login_made_again_has_the_new_password(world: Running) -> None:
    await world.bus.add_login(*OURS, "another word")

    with pytest.raises(TurnedAway):
        await world.on.enter("p1", WORDS_OF["p1"])
    pilot = await world.on.enter("p1", "another word")
    assert await pilot.subscribe(topics.down(*OURS))


async def test_a_login_with_a_wildcard_in_its_name_is_refused(world: Running) -> None:
    for community, name in (("ctao", "+"), ("#", "p1"), ("ctao", "a/b"), ("ctao", ""), ("", "p")):
        with pytest.raises(Exception, match="cannot have topics"):
            await world.bus.add_login(community, name, "x")


async def test_a_message_over_the_size_limit_does_not_arrive(world: Running) -> None:
    other = await world.on.enter("p2", WORDS_OF["p2"])
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    await pilot.publish(topics.up(*OURS, TopicKind.LOG), b"x" * 400_000)
    await eventually(lambda: bool(world.heard), "a large log chunk passes")
    try:
        await pilot.publish(topics.up(*OURS, TopicKind.LOG), b"x" * 2_000_000)
    except TurnedAway:
        pass  # some brokers cut such a client off before it has said all
    await world.quiet()
    await other.publish(topics.up(*THEIRS, TopicKind.BEAT), b"still here")
    await eventually(lambda: len(world.heard) > 1, "the other pilot is heard")

    assert [len(payload) for _, payload in world.heard] == [400_000, len(b"still here")]


async def test_a_last_will_is_heard_when_a_pilot_vanishes(world: Running) -> None:
    pilot = await world.on.enter("p1", WORDS_OF["p1"], (topics.up(*OURS, TopicKind.WILL), b"{}"))
    await pilot.vanish()
    await eventually(lambda: bool(world.heard), "the last will")

    assert world.heard == [(topics.up(*OURS, TopicKind.WILL), b"{}")]


async def test_a_last_will_on_a_foreign_topic_is_never_said(world: Running) -> None:
    victim = await world.on.enter("p2", WORDS_OF["p2"])
    assert await victim.subscribe(topics.down(*THEIRS))
    for topic in (topics.down(*THEIRS), topics.up(*THEIRS, TopicKind.BEAT)):
        try:
            pilot = await world.on.enter("p1", WORDS_OF["p1"], (topic, b"stop"))
            await pilot.vanish()
        except TurnedAway:
            continue  # or not let in at all

    assert await victim.receive(NEVER_S) is None
    assert not world.heard


async def test_a_client_cannot_take_over_another(world: Running) -> None:
    victim = await world.on.enter("p2", WORDS_OF["p2"])
    assert await victim.subscribe(topics.down(*THEIRS))
    thief = await world.on.enter("p1", WORDS_OF["p1"], client_id="p2")
    world.bus.publish(topics.down(*THEIRS), b"for p2")

    assert await victim.receive() == (topics.down(*THEIRS), b"for p2")
    assert await thief.receive(NEVER_S) is None


async def test_a_refusing_handler_does_not_stop_the_bus(world: Running) -> None:
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    await pilot.publish(topics.up(*OURS, TopicKind.BEAT), b"refuse me")
    await pilot.publish(topics.up(*OURS, TopicKind.BEAT), b"next")
    await eventually(lambda: len(world.heard) == 2, "the next one is heard")

    assert world.bus.up


async def test_after_a_crash_of_the_broker_everybody_comes_back(world: Running) -> None:
    pilot = await world.on.enter("p1", WORDS_OF["p1"])
    await pilot.subscribe(topics.down(*OURS))
    await world.on.crash()
    world.bus.publish(topics.down(*OURS), b"lost")
    await world.bus.add_login("ctao", "p9", "made while the broker was away")
    await world.on.recover()

    pilot = await comes_in(world, "p1", WORDS_OF["p1"])
    assert await pilot.subscribe(topics.down(*OURS))
    async with asyncio.timeout(SOON_S):
        while not world.heard:  # the central comes back at its own pace
            await pilot.publish(topics.up(*OURS, TopicKind.BEAT), b"back")
            await asyncio.sleep(0.05)
    await eventually(lambda: world.bus.up, "the central is back")
    world.bus.publish(topics.down(*OURS), b"answer")

    assert await pilot.receive() == (topics.down(*OURS), b"answer")
    assert await comes_in(world, "p9", "made while the broker was away")


async def comes_in(world: Running, user: str, password: str) -> Client:
    """Try as a pilot does, until the broker lets us in."""
    async with asyncio.timeout(SOON_S):
        while True:
            try:
                return await world.on.enter(user, password)
            except TurnedAway:
                await asyncio.sleep(0.05)
