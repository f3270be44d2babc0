"""A renewal that is lost costs no lead; a lead that cannot be renewed ends in time."""

import asyncio

import pytest

from pilotage.central.leadership import LEASE_S, STAND_S, LeaderLease
from pilotage.central.operate.leadership import HeldLead, KnownLeader, kept, wait_for_lead
from pilotage.central.store.errors import NewerSchema, StoreBroken, StoreError, StoreLate
from pilotage.central.store.leaders import SHARD, Lead
from tests import virtual


class VirtualClock:
    """Virtual seconds for both."""

    def monotonic(self) -> float:
        return virtual.now()

    def wall(self) -> float:
        return virtual.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Renewals:
    """Answers to renewals, one after the other; the last one for ever."""

    answered = True

    def __init__(self, *answers: str) -> None:
        self.answers, self.sent, self.given_up = list(answers), list[float](), False
        self.began = 0.0

    async def renew_lead(self, lead: Lead, lease_s: float) -> bool:
        self.sent.append(virtual.now() - self.began)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == "silent":
            await asyncio.sleep(3_600)
        if answer == "broken":
            raise StoreBroken("the connection is gone")
        return answer == "granted"

    async def give_up_lead(self, lead: Lead) -> bool:
        self.given_up = True
        return True

    async def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        raise NotImplementedError

    async def lead(self, shard: str) -> Lead | None:
        raise NotImplementedError

    async def close(self) -> None:
        """There is nothing to close."""


def kept_for(seconds: float, renewals: Renewals) -> tuple[LeaderLease, list[tuple[float, str]]]:
    """Keep a lead for so long; return how it stands, and when and why it was lost."""
    lost: list[tuple[float, str]] = []

    async def whole() -> LeaderLease:
        renewals.began = virtual.now()
        standing = LeaderLease(3, "http://here", virtual.now)
        standing.granted(virtual.now())
        lead = Lead(SHARD, 3, "us", "http://here", LEASE_S)
        async with kept(
            renewals,
            HeldLead(lead, standing),
            clock=VirtualClock(),
            log=lambda event, **fields: None,
            lost=lambda why: lost.append((virtual.now() - renewals.began, why)),
        ):
            await asyncio.sleep(seconds)
            stands = standing.leads
        assert stands is not bool(lost)
        return standing

    return virtual.run(whole()), lost


@pytest.mark.parametrize("answer", ["silent", "broken"])
def test_two_renewals_that_are_lost_end_nothing(answer: str) -> None:
    renewals = Renewals(answer, answer, "granted")
    _, lost = kept_for(20.0, renewals)

    assert lost == []
    assert renewals.sent[2] < STAND_S
    assert renewals.given_up


@pytest.mark.parametrize("answer", ["silent", "broken"])
def test_a_lead_that_cannot_be_renewed_ends_when_it_stands_no_more(answer: str) -> None:
    _, lost = kept_for(20.0, Renewals(answer))

    assert [round(at, 3) for at, _ in lost] == [STAND_S]
    assert "was not renewed" in lost[0][1]


def test_a_lead_that_another_one_has_ends_at_once() -> None:
    renewals = Renewals("granted", "another's")
    _, lost = kept_for(5.0, renewals)

    assert [why for _, why in lost] == ["another process leads now"]
    assert len(renewals.sent) == 2


class OfANewerRelease(Renewals):
    """The one that leads has brought the tables up to date meanwhile."""

    async def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        self.sent.append(virtual.now())
        if len(self.sent) > 2:
            raise NewerSchema(9, 8)
        return None

    async def lead(self, shard: str) -> Lead | None:
        return Lead(SHARD, 1, "newer", "http://newer")


def test_whoever_could_not_lead_waits_no_more() -> None:
    leaders = OfANewerRelease("granted")
    waits = wait_for_lead(
        leaders,
        "us",
        "http://here",
        seen=KnownLeader(),
        patient=True,
        clock=VirtualClock(),
        log=lambda event, **fields: None,
        now=virtual.now,
    )

    with pytest.raises(NewerSchema):
        virtual.run(waits)
    assert len(leaders.sent) == 3


class OfASlowDatabase(Renewals):
    """Two looks fail; the third one finds the row free."""

    def __init__(self, why: StoreError | None, *, answered: bool) -> None:
        super().__init__("granted")
        self.why, self.answered = why, answered

    async def take_lead(self, shard: str, holder: str, url: str, lease_s: float) -> Lead | None:
        self.sent.append(virtual.now())
        if len(self.sent) > 2:
            return Lead(shard, 1, holder, url, lease_s)
        if self.why is not None:
            raise self.why
        await asyncio.sleep(3_600)
        return None


def first_start(leaders: OfASlowDatabase) -> tuple[float, list[str]]:
    """Wait for the lead on an unused data directory; return what is left of it, and the events."""
    said: list[str] = []

    async def whole() -> float:
        held = await wait_for_lead(
            leaders,
            "us",
            "http://here",
            seen=KnownLeader(),
            patient=False,
            clock=VirtualClock(),
            log=lambda event, **fields: said.append(event),
            now=virtual.now,
        )
        return held.standing.left_s()

    return virtual.run(whole()), said


@pytest.mark.parametrize("why", [StoreLate("statement timeout"), None])
def test_a_first_start_waits_for_a_database_that_answers_too_late(why: StoreError | None) -> None:
    left_s, said = first_start(OfASlowDatabase(why, answered=True))

    assert said == ["lead_unknown", "lead_taken"]
    assert left_s == STAND_S


@pytest.mark.parametrize(
    ("why", "answered"), [(None, False), (StoreBroken("gone"), True), (StoreError("no"), True)]
)
def test_a_first_start_ends_if_the_database_is_not_there_or_refuses(
    why: StoreError | None, answered: bool
) -> None:
    leaders = OfASlowDatabase(why, answered=answered)

    with pytest.raises(StoreBroken):
        first_start(leaders)
    assert len(leaders.sent) == 1
