"""What any broker must provide, and what each that we know lacks: docs/operations/brokers.md.

No test of a driver: what is asked for here is all that central and pilots use of MQTT. A broker
that is said to lack something must really lack it, or the page is wrong.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest

from pilotage.proto import topics
from pilotage.proto.topics import TopicKind
from tests.contract.bus.brokers import Ground, on_mosquitto, on_nats
from tests.contract.bus.stages import NEVER_S, SocketClient, TurnedAway
from tests.services import mosquitto, nats

PAGE: Final = Path(__file__).parents[3] / "docs" / "operations" / "brokers.md"
Requirement = Callable[[Ground], Awaitable[None]]
MUST: Final[dict[str, Requirement]] = {}

# What a broker does not provide, by the words of the page.
LACKS: Final[dict[str, frozenset[str]]] = {
    "mosquitto": frozenset(
        {
            "two connections per login",
            "messages between nodes",
            "other nodes continue if one dies",
        }
    ),
    "nats": frozenset(
        {
            "a client id belongs to one login",
            "messages of 2 MB are refused",
            "no retained messages",
        }
    ),
}


TRIES = 3


def must(words: str) -> Callable[[Requirement], Requirement]:
    """Note a requirement under the words by which the page names it."""

    def noted(check: Requirement) -> Requirement:
        MUST[words] = check
        return check

    return noted


def newcomer() -> tuple[str, str]:
    """Return a community and a pilot that no test had before."""
    return "ctao", f"p{secrets.token_hex(4)}"


async def hears(client: SocketClient, topic: str, payload: bytes) -> None:
    """See that this is the next message. Raises AssertionError."""
    assert await client.receive(2.0) == (topic, payload)


async def central_of(ground: Ground, *, node: int = 0) -> SocketClient:
    central = await ground.central(node=node)
    assert await central.subscribe(topics.all_up())
    return central


@must("one filter with + reads all pilots")
async def _(ground: Ground) -> None:
    central = await central_of(ground)
    for who in (newcomer(), newcomer()):
        pilot = await ground.pilot(*who)
        for n in range(20):
            await pilot.publish(topics.up(*who, TopicKind.BEAT), b"%d" % n)
        for n in range(20):  # in order
            await hears(central, topics.up(*who, TopicKind.BEAT), b"%d" % n)


@must("a pilot reads its own topic")
async def _(ground: Ground) -> None:
    who = newcomer()
    central, pilot = await ground.central(), await ground.pilot(*who)
    assert await pilot.subscribe(topics.down(*who))
    await central.publish(topics.down(*who), b"wake")
    await hears(pilot, topics.down(*who), b"wake")


@must("a login is required")
async def _(ground: Ground) -> None:
    who = newcomer()
    await ground.pilot(*who)
    for user, password in ((who[1], "wrong"), (who[1], ""), ("nobody", "x"), ("central", "x")):
        with pytest.raises(TurnedAway):
            await ground.enter(user, password, client_id=f"c{secrets.token_hex(4)}")


@must("a pilot writes only its own topics")
async def _(ground: Ground) -> None:
    who, other = newcomer(), newcomer()
    central, victim = await central_of(ground), await ground.pilot(*other)
    assert await victim.subscribe(topics.down(*other))
    for topic in (
        topics.up(*other, TopicKind.BEAT),
        topics.up("lhcb", who[1], TopicKind.BEAT),
        topics.down(*other),
    ):
        pilot = await ground.pilot(*who)
        try:
            await pilot.publish(topic, b"forged")
            await pilot.receive(NEVER_S)
        except TurnedAway:
            continue  # cut off for it: as good
    pilot = await ground.pilot(*who)
    await pilot.publish(topics.up(*who, TopicKind.BEAT), b"own")
    await hears(central, topics.up(*who, TopicKind.BEAT), b"own")
    assert await victim.receive(NEVER_S) is None


@must("other subscriptions are refused with an error")
async def _(ground: Ground) -> None:
    who, other = newcomer(), newcomer()
    await ground.pilot(*other)
    for topic in (
        topics.down(*other),
        topics.down("+", "+"),
        topics.up(*who, TopicKind.BEAT),
        topics.all_up(),
        "pilotage/#",
        "#",
        "$share/g/" + topics.down(*other),
    ):
        pilot = await ground.pilot(*who)
        try:
            granted = await pilot.subscribe(topic)
        except TurnedAway:
            continue
        central = await ground.central()
        await central.publish(topics.down(*other), b"secret")
        assert not granted, topic
        assert await pilot.receive(NEVER_S) is None, topic


@must("a last will is sent at once")
async def _(ground: Ground) -> None:
    (community, name), word = newcomer(), secrets.token_urlsafe(16)
    central = await central_of(ground)
    await ground.broker.add_login(community, name, word)
    will = topics.up(community, name, TopicKind.WILL)
    pilot = await ground.comes_in(name, word, (will, b"{}"))
    await pilot.vanish()
    await hears(central, will, b"{}")


@must("no last will on other topics")
async def _(ground: Ground) -> None:
    (community, name), other, word = newcomer(), newcomer(), secrets.token_urlsafe(16)
    victim = await ground.pilot(*other)
    assert await victim.subscribe(topics.down(*other))
    await ground.broker.add_login(community, name, word)
    await ground.comes_in(name, word)
    try:
        pilot = await ground.enter(name, word, (topics.down(*other), b"stop"), client_id=name)
        await pilot.vanish()
    except TurnedAway:
        pass  # not let in with it: as good
    assert await victim.receive(NEVER_S) is None


@must("a client id belongs to one login")
async def _(ground: Ground) -> None:
    who, (community, name), word = newcomer(), newcomer(), secrets.token_urlsafe(16)
    central, victim = await ground.central(), await ground.pilot(*who)
    assert await victim.subscribe(topics.down(*who))
    await ground.broker.add_login(community, name, word)
    await ground.comes_in(name, word)
    try:
        await ground.enter(name, word, client_id=who[1])
    except TurnedAway:
        pass  # not let in under another's name: as good
    await central.publish(topics.down(*who), b"for its owner")
    await hears(victim, topics.down(*who), b"for its owner")


@must("logins can be added while it runs")
async def _(ground: Ground) -> None:
    who = newcomer()
    central, first = await central_of(ground), await ground.pilot(*who)
    await ground.pilot(*newcomer())
    await first.publish(topics.up(*who, TopicKind.BEAT), b"still here")
    await hears(central, topics.up(*who, TopicKind.BEAT), b"still here")


@must("a removed login is disconnected")
async def _(ground: Ground) -> None:
    (community, name), word = newcomer(), secrets.token_urlsafe(16)
    await ground.broker.add_login(community, name, word)
    pilot = await ground.comes_in(name, word)
    await ground.broker.remove_login(community, name)
    with pytest.raises(TurnedAway):
        while await pilot.receive(2.0) is not None:
            pass
    with pytest.raises(TurnedAway):
        await ground.enter(name, word, client_id=name)


@must("messages of 400 kB pass")
async def _(ground: Ground) -> None:
    who = newcomer()
    central, pilot = await central_of(ground), await ground.pilot(*who)
    await pilot.publish(topics.up(*who, TopicKind.LOG), b"x" * 400_000)
    message = await central.receive()
    assert message is not None and len(message[1]) == 400_000


@must("messages of 2 MB are refused")
async def _(ground: Ground) -> None:
    who, other = newcomer(), newcomer()
    central, beside = await central_of(ground), await ground.pilot(*other)
    pilot = await ground.pilot(*who)
    try:
        await pilot.publish(topics.up(*who, TopicKind.LOG), b"x" * 2_000_000)
        await pilot.receive(NEVER_S)
    except TurnedAway:
        pass
    await beside.publish(topics.up(*other, TopicKind.BEAT), b"beside")
    message = await central.receive()
    assert message is not None and len(message[1]) == len(b"beside")


@must("no retained messages")
async def _(ground: Ground) -> None:
    who = newcomer()
    pilot = await ground.pilot(*who)
    try:
        await pilot.keep(topics.up(*who, TopicKind.BEAT), b"old")
        await pilot.receive(NEVER_S)
    except TurnedAway:
        pass  # cut off for it: as good
    central = await central_of(ground)
    message = await central.receive(NEVER_S)
    if message is not None:
        await pilot.keep(message[0], b"")  # forgotten again, for the tests that come
    assert message is None


@must("two connections per login")
async def _(ground: Ground) -> None:
    who = newcomer()
    first, second = await central_of(ground), await central_of(ground)
    pilot = await ground.pilot(*who)
    await pilot.publish(topics.up(*who, TopicKind.BEAT), b"to both")
    for central in (first, second):
        await hears(central, topics.up(*who, TopicKind.BEAT), b"to both")


@must("messages between nodes")
async def _(ground: Ground) -> None:
    assert len(ground.broker.ports) > 1, "there is one node"
    who = newcomer()
    central, pilot = await central_of(ground, node=0), await ground.pilot(*who, node=1)
    assert await pilot.subscribe(topics.down(*who))
    async with asyncio.timeout(5):  # nodes tell each other who reads what
        while True:
            await pilot.publish(topics.up(*who, TopicKind.BEAT), b"beat")
            if await central.receive(NEVER_S) is not None:
                break
    await central.publish(topics.down(*who), b"answer")
    await hears(pilot, topics.down(*who), b"answer")


@must("other nodes continue if one dies")
async def _(ground: Ground) -> None:
    assert len(ground.broker.ports) > 1, "there is one node"
    who, later = newcomer(), newcomer()
    central, pilot = await central_of(ground, node=0), await ground.pilot(*who, node=1)
    ground.broker.kill_node(2)
    await pilot.publish(topics.up(*who, TopicKind.BEAT), b"at once")
    await hears(central, topics.up(*who, TopicKind.BEAT), b"at once")
    late = await ground.pilot(*later, node=1, within_s=20.0)  # the rest elects a leader first
    for one, its in ((pilot, who), (late, later)):
        await one.publish(topics.up(*its, TopicKind.BEAT), b"after")
        await hears(central, topics.up(*its, TopicKind.BEAT), b"after")


# ---- the requirements on each broker -------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nats.Nats]:
    if nats.missing():
        pytest.skip(f"needs {nats.missing()}")
    server = nats.Nats(tmp_path_factory.mktemp("nats"), secrets.token_urlsafe(16))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Ground]:
    if request.param == "nats":
        async with on_nats(request.getfixturevalue("cluster")) as one:
            yield one
        return
    if mosquitto.missing():
        pytest.skip(f"needs {mosquitto.missing()}")
    async with on_mosquitto(tmp_path) as one:
        yield one


CASES: Final = [(broker, words) for broker in LACKS for words in MUST]


@pytest.mark.parametrize(("ground", "words"), CASES, indirect=["ground"])
async def test_a_broker_provides_what_the_page_says(
    ground: Ground, words: str, request: pytest.FixtureRequest
) -> None:
    broker = cast(Any, request).node.callspec.params["ground"]
    if words in LACKS[broker]:
        with pytest.raises((AssertionError, TurnedAway, TimeoutError)):
            for _ in range(TRIES):  # a busy machine may hide it once
                await MUST[words](ground)
    else:
        await MUST[words](ground)


def test_the_page_says_what_each_broker_lacks() -> None:
    rows = re.findall(r"^\|([^|]+)\|(yes|no)\|(yes|no)\|", PAGE.read_text(), re.MULTILINE)

    assert rows == [
        (words, *("no" if words in LACKS[broker] else "yes" for broker in LACKS)) for words in MUST
    ]
