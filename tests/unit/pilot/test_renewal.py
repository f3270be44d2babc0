"""The renewal secret on the pilot's side: one nonce for each secret, kept before it is said."""

import asyncio
import errno

import pytest

from pilotage.pilot.journal_entries import Identity
from pilotage.pilot.mind.pace import FailedRequest
from pilotage.pilot.ports import HttpReply, NoReply
from pilotage.pilot.talk.conversation import CentralChannel, RequestRefused
from pilotage.pilot.talk.renewal import Renewal
from pilotage.proto.messages import Beat, Problem, TokenReply, TokenRequest
from pilotage.proto.wire import decode, encode
from tests import virtual
from tests.fake_pilot import FakeClock, FakeJournal, FakeRandomness

BEAT = Beat(gen="g", session=1, n=1)
LIVES_S = 100.0  # a token


class FullJournal(FakeJournal):
    """Takes no identity while it is full."""

    full = False

    def keep_identity(self, identity: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "the test says so")
        super().keep_identity(identity)

    def kept(self) -> Identity:
        return decode(Identity, self.identity() or b"")


class Central:
    """Answers requests for tokens: as `answers` say, then each time with another secret."""

    def __init__(self) -> None:
        self.answers: list[HttpReply | None] = []
        self.heard: list[TokenRequest] = []
        self.kept: list[Identity] = []  # what was in the journal when each of them came
        self.journal = FullJournal()

    async def post(
        self, path: str, body: bytes, *, token: str, timeout_s: float, aside: bool = False
    ) -> HttpReply:
        await asyncio.sleep(0.1)
        if path != "/v1/pilots/token":
            return HttpReply(401, encode(Problem("expired_token", "too old")))
        self.heard.append(decode(TokenRequest, body))
        self.kept.append(self.journal.kept())
        reply = self.answers.pop(0) if self.answers else self.token(f"secret-{len(self.heard)}")
        if reply is None:
            raise NoReply("lost")
        return reply

    def token(self, secret: str) -> HttpReply:
        return HttpReply(200, encode(TokenReply(f"token-{len(self.heard)}", LIVES_S, secret)))

    def go_to(self, url: str, *, whole: bool = False) -> bool:
        return False

    def line(self) -> CentralChannel:
        """Return the line of a pilot, as its journal knows it; a new one at first."""
        renewal = Renewal(self.journal, FakeRandomness(len(self.heard)))
        if self.journal.identity() is None:
            renewal.keep(Identity("n", "p1", "secret-0", 1))
        else:
            renewal.restored(self.journal.kept())
        http: object = self
        return CentralChannel(http, FakeClock(), FakeRandomness(8), lambda *_: None, renewal)  # type: ignore[arg-type]

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(one.renewal_secret, one.nonce) for one in self.heard]


def refused(status: int, code: str) -> HttpReply:
    return HttpReply(status, encode(Problem(code, "no")))


def test_each_use_is_in_the_journal_before_it_is_sent_and_has_one_nonce() -> None:
    async def story() -> None:
        line = central.line()
        central.answers = [None, None, HttpReply(503, b"")]
        await line.renew()
        await line.renew()

    central = Central()
    virtual.run(story())

    assert [secret for secret, _ in central.said] == ["secret-0"] * 4 + ["secret-4"]
    assert len({nonce for _, nonce in central.said[:4]}) == 1
    assert len({nonce for _, nonce in central.said}) == 2
    assert central.said == [(one.renewal_secret, one.renewal_nonce) for one in central.kept]


def test_the_next_life_repeats_a_use_that_was_not_answered() -> None:
    async def story() -> None:
        central.answers = [None] * 50
        life = asyncio.get_running_loop().create_task(central.line().renew())
        await asyncio.sleep(5)
        life.cancel()
        await asyncio.wait([life])
        central.answers = []
        await central.line().renew()

    central = Central()
    virtual.run(story())

    assert len(central.said) > 1
    assert len({*central.said}) == 1


def test_requests_that_need_a_token_at_once_use_the_secret_once() -> None:
    async def story() -> None:
        line = central.line()
        await asyncio.gather(line.renew(), line.beat(BEAT, 5.0), line.beat(BEAT, 5.0))

    central = Central()
    virtual.run(story())

    assert len(central.said) == 1


def test_a_central_that_gives_no_next_secret_hears_the_same_use_again() -> None:
    async def story() -> None:
        line = central.line()
        central.answers = [central.token(""), central.token("secret-0"), central.token("new")]
        for _ in range(4):
            await line.renew()

    central = Central()
    virtual.run(story())

    assert len({*central.said[:3]}) == 1
    assert central.said[3][0] == "new"


def test_a_full_disk_delays_a_renewal_but_not_beyond_the_life_of_the_token() -> None:
    async def story() -> float:
        line = central.line()
        await line.renew()
        began, central.journal.full = virtual.now(), True
        await line.renew()
        waited_s, central.journal.full = virtual.now() - began, False
        await line.renew()
        return waited_s

    central = Central()
    waited_s = virtual.run(story())

    assert 0.9 * LIVES_S <= waited_s < 1.5 * LIVES_S
    assert [secret for secret, _ in central.said] == ["secret-0", "secret-1", "secret-2"]
    assert central.journal.kept().renewal_secret == "secret-3"


def test_an_answer_that_the_journal_does_not_take_is_kept_with_the_next_use() -> None:
    async def story() -> None:
        line = central.line()
        renewing = asyncio.get_running_loop().create_task(line.renew())
        await asyncio.sleep(0.05)
        central.journal.full = True
        await renewing
        central.journal.full = False
        await line.renew()

    central = Central()
    virtual.run(story())

    assert [one.renewal_secret for one in central.kept] == ["secret-0", "secret-1"]


def test_a_life_whose_journal_another_one_has_taken_over_uses_no_secret() -> None:
    async def story() -> FailedRequest:
        line = central.line()
        await line.renew()
        later = central.line()
        await later.renew()
        with pytest.raises(RequestRefused) as why:
            await line.renew()
        await line.tell_of_double()
        return why.value.refusal

    central = Central()
    refusal = virtual.run(story())

    assert refusal.code == "old_session"
    assert [secret for secret, _ in central.said] == ["secret-0", "secret-1"]


def test_a_use_whose_answer_somebody_else_has_used_is_told_with_a_second_nonce() -> None:
    async def story() -> FailedRequest:
        line = central.line()
        central.answers = [None, refused(409, "used_secret"), None, refused(409, "old_session")]
        with pytest.raises(RequestRefused) as why:
            await line.renew()
        return why.value.refusal

    central = Central()
    refusal = virtual.run(story())

    assert refusal.code == "old_session"
    first, second, third, fourth = central.said
    assert first == second != third == fourth
    assert third[0] == first[0] == "secret-0"
