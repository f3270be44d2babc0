"""Which process of a central the client speaks to: the leader, named by one that does not lead."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import msgspec
import pytest

from pilotage.central import client as package
from pilotage.central.client import errors
from pilotage.central.client.client import AsyncClient
from pilotage.proto.api.health import Health
from pilotage.proto.api.jobs import Blob, BlobAnswer, Summary, SummaryBy
from pilotage.proto.messages import Misdirection

from .stub_central import HandPace, not_there

HOME, ONE, TWO = "http://central.test", "http://one.test", "https://two.test:8470"
CONTENT = b"content"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SUMMARY = Summary(by=SummaryBy.STATE, total=0, rows=[])
ANSWERS = {
    "/v1/jobs/summary": msgspec.json.encode(SUMMARY),
    "/v1/jobs/7/logs/stdout": b"what it said",
    "/v1/blobs/missing": msgspec.json.encode(BlobAnswer(missing=[SHA256])),
}


class Processes(httpx.AsyncBaseTransport):
    """Several processes of a central: the leader answers, others name it, the dead are mute."""

    def __init__(self, leader: str, told: str | None = None) -> None:
        self.leader = leader
        self.told = leader if told is None else told
        self.dead: set[str] = set()
        self.still: set[str] = set()  # they take connections, and do not answer
        self.goes_on = asyncio.Event()
        self.asked: list[str] = []
        self.bodies: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        at = str(request.url.copy_with(raw_path=b"/")).rstrip("/")
        is_look = request.url.path == "/health"
        if not is_look:
            self.asked.append(at)
            self.bodies.append(await request.aread())
        if at in self.dead:
            raise not_there()
        if at in self.still:
            await self.goes_on.wait()
        if is_look:
            return httpx.Response(200, content=msgspec.json.encode(health(self.told)))
        if at != self.leader:
            named = Misdirection("not_leader", "not I", leader=self.told)
            return httpx.Response(421, content=msgspec.json.encode(named))
        content = ANSWERS.get(request.url.path)
        if content is None:
            content = msgspec.json.encode(Blob(sha256=SHA256, size_bytes=len(CONTENT)))
        return httpx.Response(200, content=content)

    def lead(self, leader: str) -> None:
        self.leader = self.told = leader

    def go_on(self) -> None:
        """Let those that stand still answer."""
        self.still.clear()
        self.goes_on.set()

    def client(self, url: str = HOME) -> AsyncClient:
        return AsyncClient(url, "t", http=self, pace=HandPace())


class Takeover(HandPace):
    """A clock at which something happens at a moment."""

    at: tuple[float, Callable[[], None]] | None = None

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if self.at is not None and self.now >= self.at[0]:
            (_, happens), self.at = self.at, None
            happens()


def health(leader: str) -> Health:
    return Health("ready", "0", "", 0, 0, 0, "none", 0.0, leader=leader)


async def _summary(client: AsyncClient, folder: Path) -> object:
    return await client.summary()


async def _file(client: AsyncClient, folder: Path) -> object:
    (folder / "file").write_bytes(CONTENT)
    return await client.upload([folder / "file"])


@pytest.mark.parametrize("say", [_summary, _file], ids=["an answer", "a file"])
async def test_each_request_follows_the_leader_that_a_standby_names(
    say: Callable[[AsyncClient, Path], Awaitable[object]], tmp_path: Path
) -> None:
    processes = Processes(TWO)
    async with processes.client() as client:
        await say(client, tmp_path)
        first = list(processes.asked)
        await say(client, tmp_path)

    assert first[:2] == [HOME, TWO]
    assert set(processes.asked[1:]) == {TWO}
    assert processes.bodies[0] == processes.bodies[1]


async def test_a_stream_follows_the_leader() -> None:
    processes = Processes(TWO)
    async with (
        processes.client() as client,
        client._transport.stream("/v1/jobs/7/logs/stdout", idle_s=5.0) as answer,
    ):
        said = await answer.aread()

    assert (said, processes.asked) == (ANSWERS["/v1/jobs/7/logs/stdout"], [HOME, TWO])


async def test_a_leader_that_is_gone_is_left_and_the_next_is_found_from_home() -> None:
    processes = Processes(ONE)
    async with processes.client() as client:
        await client.summary()
        processes.dead.add(ONE)
        processes.leader = processes.told = TWO
        await client.summary()

    assert processes.asked == [HOME, ONE, ONE, HOME, TWO]


@pytest.mark.parametrize("successor", [HOME, TWO])
async def test_a_leader_that_stands_still_is_left_as_soon_as_another_one_leads(
    successor: str,
) -> None:
    processes, pace = Processes(ONE), Takeover()
    async with AsyncClient(HOME, "t", http=processes, pace=pace) as client:
        await client.summary()
        processes.still.add(ONE)
        pace.at = 8.0, lambda: processes.lead(successor)
        await client.summary()

    assert processes.asked[-1] == successor
    assert pace.now < 15.0  # a few looks later; the timeout and the patience are longer


async def test_a_leader_that_takes_its_time_is_waited_for() -> None:
    processes, pace = Processes(ONE), Takeover()
    async with AsyncClient(HOME, "t", http=processes, pace=pace) as client:
        await client.summary()
        processes.still.add(ONE)
        pace.at = 20.0, processes.go_on
        await client.summary()

    assert [one for one in processes.asked if one != HOME] == [ONE, ONE]


async def test_what_must_not_be_sent_twice_is_not_when_its_leader_leads_no_more() -> None:
    processes, pace = Processes(ONE), Takeover()
    async with AsyncClient(HOME, "t", http=processes, pace=pace) as client:
        await client.summary()
        processes.still.add(ONE)
        pace.at = 8.0, lambda: processes.lead(TWO)
        with pytest.raises(
            errors.Unreachable, match=f"{ONE} did not answer, and {TWO} is the leader now"
        ):
            await client._transport.ask(Summary, "POST", "/v1/jobs/summary", again=False)

    assert TWO not in processes.asked


async def test_a_leader_that_leads_no_more_and_names_none_is_left() -> None:
    processes = Processes(ONE)
    async with processes.client() as client:
        await client.summary()
        processes.leader, processes.told = HOME, ""
        await client.summary()

    assert processes.asked == [HOME, ONE, ONE, HOME]


@pytest.mark.parametrize(
    ("home", "leader"),
    [
        ("https://central.test", "http://one.test"),
        ("http://127.0.0.1:8471", "http://one.test"),
        (HOME, "ftp://one.test"),
        (HOME, "https://["),
        (HOME, "one.test"),
    ],
)
async def test_the_token_goes_nowhere_that_is_less_safe_than_home(home: str, leader: str) -> None:
    processes = Processes("nobody", told=leader)
    async with processes.client(home) as client:
        with pytest.raises(errors.Refused, match="not I"):
            await client.summary()

    assert set(processes.asked) == {home}


def test_only_the_transport_sends_requests() -> None:
    folder = Path(package.__file__).parent
    texts = {one.name: one.read_text() for one in folder.glob("*.py")}
    senders = {name for name, text in texts.items() if "httpx.AsyncClient(" in text}

    assert senders == {"transport.py"}
    assert texts["transport.py"].count(".send(") == 1
    assert ".request(" not in texts["transport.py"]
