"""The leader row: one holds it, terms grow, and who has lost it writes nothing any more.

The same stories hold for PostgreSQL and for what stands in its place: the fake of other tests, and
the server of the simulation, whose findings are worth what this likeness is.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pilotage.central.store.errors import NotLeader, StoreBroken
from pilotage.central.store.leaders import SHARD, Lead, Leaders
from tests.services import postgresql

from .leader_grounds import Ground, InMemory, OnPostgresql, Simulated

LEASE_S = 60.0


@pytest.fixture(params=["fake", "postgresql", "simulation"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    if request.param == "fake":
        yield InMemory()
    elif request.param == "simulation":
        yield Simulated()
    else:
        server: postgresql.Postgresql = request.getfixturevalue("server")
        with server.empty_schema() as url:
            yield OnPostgresql(server, url)


async def taken(leaders: Leaders, holder: str) -> Lead:
    lead = await leaders.take_lead(SHARD, holder, f"http://{holder}", LEASE_S)
    assert lead is not None
    return lead


def test_nobody_leads_at_first_and_one_of_two_takes_it(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def story() -> None:
        before = await one.lead(SHARD)
        first = await taken(one, "first")
        second = await other.take_lead(SHARD, "second", "http://second", LEASE_S)
        seen = await other.lead(SHARD)

        assert before is None and second is None
        assert (first.term, first.holder, first.url) == (1, "first", "http://first")
        assert seen is not None and replace(seen, left_s=0.0) == replace(first, left_s=0.0)
        assert 0 < seen.left_s <= LEASE_S

    ground.run(story())


def test_many_that_ask_at_once_do_not_lead_two_at_a_time(ground: Ground) -> None:
    several = [ground.process() for _ in range(6)]

    async def story() -> None:
        answers = await asyncio.gather(
            *(each.take_lead(SHARD, f"h{n}", "", LEASE_S) for n, each in enumerate(several)),
            return_exceptions=True,
        )
        leads = [lead for lead in answers if isinstance(lead, Lead)]
        seen = await several[0].lead(SHARD)

        # Two that make the table at once may both be told that it failed: they ask again.
        assert len(leads) <= 1
        assert [lead.holder for lead in leads] == ([] if seen is None else [seen.holder])

    ground.run(story())


def test_a_lease_that_is_over_is_taken_with_the_next_term(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def story() -> None:
        first = await taken(one, "first")
        await ground.pass_s(1.1 * LEASE_S)
        between = await other.lead(SHARD)
        second = await taken(other, "second")

        assert between is None
        assert second.term == first.term + 1
        assert not await one.renew_lead(first, LEASE_S)
        assert not await one.give_up_lead(first)
        assert await other.renew_lead(second, LEASE_S)
        assert await one.take_lead(SHARD, "first", "", LEASE_S) is None

    ground.run(story())


def test_a_lease_lasts_from_its_last_renewal_on_the_clock_of_the_database(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def left_s() -> list[float]:
        seen = [await each.lead(SHARD) for each in (one, other)]
        return [0.0 if lead is None else round(lead.left_s / LEASE_S, 1) for lead in seen]

    async def story() -> None:
        first = await taken(one, "first")
        await ground.pass_s(0.6 * LEASE_S)
        before = await left_s()
        renewed = await one.renew_lead(first, LEASE_S)
        after = await left_s()
        await ground.pass_s(0.6 * LEASE_S)
        later = await left_s()
        second = await other.take_lead(SHARD, "second", "", LEASE_S)
        await ground.pass_s(0.6 * LEASE_S)
        over = await left_s()

        assert renewed and second is None
        assert (before, after, later, over) == ([0.4] * 2, [1.0] * 2, [0.4] * 2, [0.0] * 2)

    ground.run(story())


def test_renewing_a_lease_that_is_over_but_nobody_took_holds_it_again(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def story() -> None:
        first = await taken(one, "first")
        await ground.pass_s(1.1 * LEASE_S)

        assert await one.renew_lead(first, LEASE_S)
        assert await other.take_lead(SHARD, "second", "", LEASE_S) is None

    ground.run(story())


def test_what_is_given_up_is_taken_at_once(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def story() -> None:
        first = await taken(one, "first")

        assert await one.give_up_lead(first)
        assert await other.lead(SHARD) is None
        assert (await taken(other, "second")).term == first.term + 1

    ground.run(story())


def test_whoever_did_not_hear_that_it_leads_takes_it_again(ground: Ground) -> None:
    one = ground.process()

    async def story() -> None:
        first = await taken(one, "first")
        again = await taken(one, "first")

        assert again.term == first.term + 1  # the answer may have been for a request of before
        assert not await one.renew_lead(first, LEASE_S)

    ground.run(story())


def test_terms_rise_by_one_however_the_lead_changes(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def story() -> None:
        leads = [await taken(one, "first")]
        await ground.pass_s(1.1 * LEASE_S)
        leads.append(await taken(other, "second"))
        await other.give_up_lead(leads[-1])
        leads.append(await taken(one, "first"))
        leads.append(await taken(one, "first"))
        await one.renew_lead(leads[-1], LEASE_S)
        await one.give_up_lead(leads[-1])
        leads.append(await taken(one, "third"))
        late = [await one.renew_lead(lead, LEASE_S) for lead in leads]

        assert [lead.term for lead in leads] == [1, 2, 3, 4, 5]
        assert late == [False] * 4 + [True]

    ground.run(story())


def test_shards_have_leaders_of_their_own(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def story() -> None:
        await taken(one, "first")
        second = await other.take_lead("another", "second", "", LEASE_S)

        assert second is not None and second.term == 1

    ground.run(story())


def test_a_leader_writes_until_another_one_has_the_row(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def writes(lead: Lead) -> bool:
        try:
            await (await ground.begin(lead))()
        except NotLeader:
            return False
        return True

    async def story() -> None:
        first = await taken(one, "first")
        held = await writes(first)
        await one.renew_lead(first, LEASE_S)
        renewed = await writes(first)
        await ground.pass_s(1.1 * LEASE_S)
        over = await writes(first)  # it could not have been anybody else
        second = await taken(other, "second")
        lost = await writes(first)
        again = await taken(other, "second")
        now = [await writes(lead) for lead in (first, second, again)]

        assert (held, renewed, over, lost) == (True, True, True, False)
        assert now == [False, False, True]
        assert not await writes(replace(again, holder="first"))
        assert not await writes(replace(first, term=again.term))

    ground.run(story())


def test_what_a_leader_has_under_way_when_it_is_replaced_is_not_stored(ground: Ground) -> None:
    one, other = ground.process(), ground.process()

    async def story() -> None:
        first = await taken(one, "first")
        commit = await ground.begin(first)
        await one.give_up_lead(first)
        second = await taken(other, "second")
        with pytest.raises(StoreBroken):
            await commit()
        await (await ground.begin(second))()

    ground.run(story())
