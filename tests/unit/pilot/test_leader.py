"""Which process of a central a pilot speaks to: the one that leads, found by whoever answers."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pilotage.central.app.route_assembly import ROUTES
from pilotage.central.identity.policy import TABLE, CallerKind, Permission, Reach
from pilotage.pilot.mind.pace import FailedRequest
from pilotage.pilot.ports import Downloaded, HttpReply, NoReply
from pilotage.pilot.talk.api import Api
from pilotage.pilot.talk.conversation import CentralChannel
from pilotage.pilot.talk.renewal import Renewal
from pilotage.pilot.talk.requests import HOME_AGAIN_S, Requests
from pilotage.pilot.talk.transfer import BlobTransfer
from pilotage.proto.messages import (
    Ask,
    Assignment,
    Beat,
    BeatAnswer,
    Body,
    Grant,
    Hello,
    InputFile,
    LogChunk,
    Misdirection,
    Offer,
    PayloadTokenReply,
    PayloadTokenRequest,
    PilotLog,
    PilotLogKept,
    Register,
    Registered,
    Report,
    Stream,
    TokenReply,
    Turn,
    TurnReply,
    What,
)
from pilotage.proto.storages import StorageOperation, StorageTokenReply, StorageTokenRequest
from pilotage.proto.wire import encode
from tests.certificates import self_signed
from tests.fake_pilot import FakeJournal, FakeRandomness, FakeWorkspace

HOME, ONE, TWO = "https://home", "https://one", "https://two"
BEAT = Beat(gen="g", session=1, n=1)
KNOWN = Registered("p", "ctao", "PIC", "local", "g", 1, "token", 60.0, "renew", urls=(ONE, HOME))
CONTENT = b"what a payload has left"
CONTENT_SHA256 = hashlib.sha256(CONTENT).hexdigest()
BLOB = f"/v1/blobs/{CONTENT_SHA256}"
REPLY = encode(TurnReply(term=1))
ANSWERS = {
    "POST /v1/pilots/register": encode(KNOWN),
    "POST /v1/pilots/hello": encode(KNOWN),
    "POST /v1/pilots/token": encode(TokenReply("token", 60.0)),
    "POST /v1/turn": REPLY,
    "POST /v1/ask": REPLY,
    "POST /v1/report": REPLY,
    "POST /v1/beat": encode(BeatAnswer(n=1, term=1)),
    "POST /v1/pilots/log": encode(PilotLogKept(1)),
    "POST /v1/attempts/token": encode(PayloadTokenReply("token", 60.0)),
    "POST /v1/data/tokens": encode(StorageTokenReply(60.0, token="token")),
}
ASK = Ask(1, Offer(1, 1, 1_000, 1_000, 60.0))
REPORT = Report(job=7, epoch=1, attempt_id=1, n=1, what=What.ENDED)
INPUT = InputFile("input", CONTENT_SHA256, len(CONTENT))
ONE_JOB = Assignment(7, 1, 1, 120.0, "token", Grant(1, 1, 1.0), Body(("run",), inputs=(INPUT,)))


class Processes:
    """Several processes of a central: who leads answers, others send there, the dead are mute."""

    def __init__(self, leader: str) -> None:
        self.leader, self.told = leader, leader
        self.dead: set[str] = set()
        self.at = {False: HOME, True: HOME}  # by `aside`
        self.asked: list[str] = []

    @property
    def files_at(self) -> str:
        return self.at[True]

    def go_to(self, url: str, *, aside: bool = False) -> bool:
        if url.startswith("http://"):
            return False
        self.at[aside] = url or HOME
        return True

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        return await self._answered(f"POST {path}", aside=aside)

    async def upload(self, path: str, content: Path | bytes, *, token: str) -> HttpReply:
        return await self._answered(f"PUT {path}", aside=True)

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        reply = await self._answered(f"GET {path}", aside=True)
        return Downloaded(reply.status, CONTENT_SHA256, body=reply.body)

    async def _answered(self, what: str, *, aside: bool) -> HttpReply:
        at = self.at[aside]
        self.asked.append(at)
        await asyncio.sleep(0)
        if at in self.dead:
            raise NoReply("gone")
        if what == "POST /v1/pilots/register" and self.registers_anywhere:
            return HttpReply(200, encode(KNOWN))
        if at != self.leader:
            return HttpReply(421, encode(Misdirection("not_leader", "not I", leader=self.told)))
        return HttpReply(200, ANSWERS.get(what, b"{}"))

    registers_anywhere = True


class Clock:
    """No time passes by itself."""

    at = 0.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def a_line(processes: Processes) -> CentralChannel:
    return line_over(requests_to(processes))


def line_over(requests: Requests) -> CentralChannel:
    renewal = Renewal(FakeJournal(), FakeRandomness(2))
    return CentralChannel(requests, Clock(), FakeRandomness(1), lambda event, facts: None, renewal)


def requests_to(processes: Processes, clock: Clock | None = None) -> Requests:
    return Requests(processes, clock or Clock(), lambda event, facts: None)


def files_and_line(processes: Processes) -> tuple[BlobTransfer, CentralChannel]:
    """Return all of a pilot that says something to the central."""
    requests, clock, random = requests_to(processes), Clock(), FakeRandomness(1)
    files = BlobTransfer(requests, FakeWorkspace(), clock, random, lambda event, facts: None)
    return files, line_over(requests)


Say = Callable[[BlobTransfer, CentralChannel], Awaitable[object]]


async def _upload(files: BlobTransfer, line: CentralChannel) -> object:
    workspace = FakeWorkspace()
    workspace.write(files.make(1) / Stream.OUT.value, CONTENT)
    files._workspace = workspace
    return await files.take(ONE_JOB, outputs=False)


async def _download(files: BlobTransfer, line: CentralChannel) -> object:
    files._workspace.write(files.make(1) / "input-0", CONTENT)  # type: ignore[attr-defined]
    await files.bring(ONE_JOB)
    return files.bytes_in(1)


# Each route that pilots use: what in the pilot sends such a request.
KINDS: dict[tuple[str, str], Say] = {
    ("POST", "/v1/pilots/register"): lambda _, line: line.register(Register("secret", "nonce")),
    ("POST", "/v1/pilots/hello"): lambda _, line: line.hello(Hello("p", "renew", "nonce")),
    ("POST", "/v1/pilots/token"): lambda _, line: line.renew(),
    ("POST", "/v1/turn"): lambda _, line: line.turn(Turn("g", 1, (REPORT,), ASK), 5.0),
    ("POST", "/v1/ask"): lambda _, line: line.turn(Turn("g", 1, ask=ASK), 5.0),
    ("POST", "/v1/report"): lambda _, line: line.turn(Turn("g", 1, (REPORT,)), 5.0),
    ("POST", "/v1/beat"): lambda _, line: line.beat(BEAT, 5.0),
    ("POST", "/v1/log"): lambda _, line: line.log_chunk(LogChunk(7, 1, Stream.OUT, 0, "x"), "t"),
    ("POST", "/v1/pilots/log"): lambda _, line: line.pilot_log(PilotLog("g", 1, ())),
    ("POST", "/v1/data/tokens"): lambda _, line: line.storage_token(
        StorageTokenRequest(7, 1, "pic", StorageOperation.READ, ("a",)), "t"
    ),
    ("POST", "/v1/attempts/token"): lambda _, line: line.payload_token(
        PayloadTokenRequest(7, 1, "default"), "t"
    ),
    ("PUT", "/v1/blobs/{sha256}"): _upload,
    ("GET", "/v1/blobs/{sha256}"): _download,
}
NOT_OF_PILOTS = {("POST", "/v1/blobs/missing")}  # for people; a payload's token may, no pilot does


def test_each_route_that_pilots_may_use_is_among_the_kinds_of_requests() -> None:
    public = {Permission.PUBLIC_READ}
    open_to_pilots = {
        (route.method, route.path)
        for route in ROUTES
        if route.action not in public
        and any(
            TABLE[one, Permission(route.action)] is not Reach.NONE
            for one in (CallerKind.PILOT, CallerKind.ATTEMPT)
        )
    }

    assert KINDS.keys() == open_to_pilots - NOT_OF_PILOTS


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
async def test_each_request_follows_the_leader_if_home_is_a_standby(kind: tuple[str, str]) -> None:
    processes = Processes(TWO)
    processes.registers_anywhere = False
    async with asyncio.timeout(5.0):
        await KINDS[kind](*files_and_line(processes))

    assert processes.asked == [HOME, TWO]


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
async def test_each_request_leaves_a_dead_leader_and_finds_the_next(kind: tuple[str, str]) -> None:
    processes = Processes(ONE)
    processes.registers_anywhere = False
    files, line = files_and_line(processes)
    async with asyncio.timeout(5.0):
        await KINDS[kind](files, line)
        processes.dead.add(ONE)
        processes.leader = processes.told = TWO
        for _ in range(2):  # what is not repeated by itself is sent a second time
            await KINDS[kind](files, line)

    assert processes.asked[2:5] == [ONE, HOME, TWO]


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
async def test_each_request_goes_to_a_leader_that_is_known_if_home_is_gone(
    kind: tuple[str, str],
) -> None:
    processes = Processes(TWO)
    processes.registers_anywhere = False
    files, line = files_and_line(processes)
    line.requests.leader_is(TWO)
    processes.dead.add(HOME)
    async with asyncio.timeout(5.0):
        for _ in range(2):
            await KINDS[kind](files, line)

    assert processes.asked[:2] == [HOME, TWO]


async def test_files_leave_the_leader_after_a_while_and_while_nothing_is_under_way() -> None:
    processes, clock = Processes(ONE), Clock()
    requests = requests_to(processes, clock)
    await requests.upload(BLOB, CONTENT, token="t")
    clock.at = HOME_AGAIN_S - 1.0
    await requests.upload(BLOB, CONTENT, token="t")
    clock.at = HOME_AGAIN_S
    processes.leader = HOME
    await requests.upload(BLOB, CONTENT, token="t")

    assert processes.asked == [HOME, ONE, ONE, HOME]


async def test_a_request_to_a_process_that_was_left_meanwhile_is_sent_to_the_new_one() -> None:
    processes = Processes(ONE)
    requests = requests_to(processes)

    replies = await asyncio.gather(*(requests.upload(BLOB, CONTENT, token="t") for _ in range(2)))

    assert [one.status for one in replies] == [200, 200]
    assert processes.asked == [HOME, HOME, ONE, ONE]


async def test_what_register_says_is_where_the_rest_is_said() -> None:
    processes = Processes(ONE)
    line = a_line(processes)
    await line.register(Register("secret", "nonce"))
    answer = await line.beat(BEAT, 5.0)

    assert isinstance(answer, BeatAnswer)
    assert processes.asked == [HOME, ONE]


async def test_a_process_that_does_not_lead_says_who_does_and_the_same_is_said_there_at_once() -> (
    None
):
    processes = Processes(TWO)
    line = a_line(processes)
    answers = [await line.beat(BEAT, 5.0) for _ in range(2)]

    assert all(isinstance(one, BeatAnswer) for one in answers)
    assert processes.asked == [HOME, TWO, TWO]


async def test_where_the_leader_is_gone_the_next_is_found_from_where_it_first_went() -> None:
    processes = Processes(ONE)
    line = a_line(processes)
    await line.beat(BEAT, 5.0)
    processes.dead.add(ONE)
    lost = await line.beat(BEAT, 5.0)
    still_named = await line.beat(BEAT, 5.0)  # the others have not noticed yet
    processes.leader = processes.told = TWO
    found = await line.beat(BEAT, 5.0)

    assert isinstance(lost, FailedRequest) and lost.status == 0
    assert isinstance(still_named, FailedRequest) and still_named.status == 0
    assert isinstance(found, BeatAnswer)
    assert processes.asked == [HOME, ONE, ONE, HOME, ONE, HOME, TWO]


async def test_nobody_leads_is_said_as_it_is_and_asked_again_later() -> None:
    processes = Processes(ONE)
    processes.told = ""
    line = a_line(processes)
    answer = await line.beat(BEAT, 5.0)

    assert isinstance(answer, FailedRequest) and answer.status == 421
    assert processes.asked == [HOME]


def test_it_goes_nowhere_that_is_no_address_or_not_safe() -> None:
    api = Api("https://central.example:8443")
    try:
        gone = {
            url: api.go_to(url)
            for url in ("http://other.example", "ftp://x", "nothing", "https://[", "https://ok:1")
        }
    finally:
        api.close()

    assert gone == {
        "http://other.example": False,
        "ftp://x": False,
        "nothing": False,
        "https://[": False,
        "https://ok:1": True,
    }


def test_it_goes_to_another_process_when_its_ca_file_has_gone(tmp_path: Path) -> None:
    ca_file = self_signed(tmp_path)
    api = Api("https://central.example:8443", ca_file=ca_file)
    ca_file.unlink()
    try:
        assert api.go_to("https://other.example:8443")
        assert api.go_to("")
    finally:
        api.close()


async def test_where_nobody_answers_at_home_the_leader_is_found_by_the_answer_to_a_beat() -> None:
    processes = Processes(HOME)
    line = a_line(processes)
    line.requests.leader_is(HOME)
    await line.beat(BEAT, 5.0)
    processes.dead.add(HOME)
    processes.leader = processes.told = TWO
    line.requests.leader_is(TWO)  # over the bus
    lost = await line.beat(BEAT, 5.0)
    found = await line.beat(BEAT, 5.0)

    assert isinstance(lost, FailedRequest) and lost.status == 0
    assert isinstance(found, BeatAnswer)
    assert processes.asked == [HOME, HOME, TWO]
    assert processes.files_at == TWO

    processes.dead = {HOME, TWO}
    for _ in range(4):  # told of once, it is tried once
        assert isinstance(await line.beat(BEAT, 5.0), FailedRequest)

    assert processes.asked[3:] == [TWO, HOME, HOME, HOME]

    line.requests.leader_is(TWO)
    assert isinstance(await line.beat(BEAT, 5.0), FailedRequest)
    processes.dead = {TWO}
    processes.leader = processes.told = HOME
    await line.beat(BEAT, 5.0)
    back = await line.beat(BEAT, 5.0)

    assert isinstance(back, BeatAnswer)
    assert (processes.asked[-2:], processes.files_at) == ([TWO, HOME], HOME)
