"""Which process of a central a pilot speaks to: the one that leads, found by whoever answers."""

import asyncio
from pathlib import Path

from pilotage.pilot.mind.pace import Refusal
from pilotage.pilot.ports import Downloaded, HttpReply, NoReply
from pilotage.pilot.talk.api import Api
from pilotage.pilot.talk.line import Line
from pilotage.proto.messages import (
    Beat,
    BeatAnswer,
    Misdirection,
    Register,
    Registered,
)
from pilotage.proto.wire import encode
from tests.certificates import self_signed
from tests.fake_pilot import FakeRandomness

HOME, ONE, TWO = "https://home", "https://one", "https://two"
BEAT = Beat(gen="g", session=1, n=1)
KNOWN = Registered("p", "ctao", "PIC", "local", "g", 1, "token", 60.0, "renew", urls=(ONE, HOME))


class Processes:
    """Several processes of a central: who leads answers, others send there, the dead are mute."""

    def __init__(self, leader: str) -> None:
        self.leader, self.told = leader, leader
        self.dead: set[str] = set()
        self.at = self.files_at = HOME
        self.asked: list[str] = []

    def go_to(self, url: str, *, whole: bool = False) -> bool:
        if url.startswith("http://"):
            return False
        self.at = url or HOME
        self.files_at = self.at if whole else HOME
        return True

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        self.asked.append(self.at)
        if self.at in self.dead:
            raise NoReply("gone")
        if path == "/v1/pilots/register":
            return HttpReply(200, encode(KNOWN))
        if self.at != self.leader:
            return HttpReply(421, encode(Misdirection("not_leader", "not I", leader=self.told)))
        return HttpReply(200, encode(BeatAnswer(n=1, term=1)))

    async def upload(self, path: str, content: Path | bytes, *, token: str) -> HttpReply:
        raise NotImplementedError

    async def download(self, path: str, file: Path, *, token: str, bytes_max: int) -> Downloaded:
        raise NotImplementedError


class Clock:
    """No time passes."""

    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def a_line(processes: Processes) -> Line:
    return Line(processes, Clock(), FakeRandomness(1), lambda event, facts: None)


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

    assert isinstance(lost, Refusal) and lost.status == 0
    assert isinstance(still_named, Refusal) and still_named.status == 0
    assert isinstance(found, BeatAnswer)
    assert processes.asked == [HOME, ONE, ONE, HOME, ONE, HOME, TWO]


async def test_nobody_leads_is_said_as_it_is_and_asked_again_later() -> None:
    processes = Processes(ONE)
    processes.told = ""
    line = a_line(processes)
    answer = await line.beat(BEAT, 5.0)

    assert isinstance(answer, Refusal) and answer.status == 421
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
    line.leader_is(HOME)
    await line.beat(BEAT, 5.0)
    processes.dead.add(HOME)
    processes.leader = processes.told = TWO
    line.leader_is(TWO)  # over the bus
    lost = await line.beat(BEAT, 5.0)
    found = await line.beat(BEAT, 5.0)

    assert isinstance(lost, Refusal) and lost.status == 0
    assert isinstance(found, BeatAnswer)
    assert processes.asked == [HOME, HOME, TWO]
    assert processes.files_at == TWO

    processes.dead = {HOME, TWO}
    for _ in range(4):  # told of once, it is tried once
        assert isinstance(await line.beat(BEAT, 5.0), Refusal)

    assert processes.asked[3:] == [TWO, HOME, HOME, HOME]

    line.leader_is(TWO)
    assert isinstance(await line.beat(BEAT, 5.0), Refusal)
    processes.dead = {TWO}
    processes.leader = processes.told = HOME
    await line.beat(BEAT, 5.0)
    back = await line.beat(BEAT, 5.0)

    assert isinstance(back, BeatAnswer)
    assert (processes.asked[-2:], processes.files_at) == ([TWO, HOME], HOME)
