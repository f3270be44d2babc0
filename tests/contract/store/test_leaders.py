"""The leader row: one holds it, terms grow, and who has lost it writes nothing any more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
import pytest

from pilotage.central.operate.postgresql import USER
from pilotage.central.store.errors import NewerSchema, StoreBroken
from pilotage.central.store.leaders import SHARD, Lead, Leaders
from pilotage.central.store.postgresql import PostgresqlLeaders, open_postgresql
from pilotage.central.store.postgresql.driver import application_of
from pilotage.central.store.postgresql.session import PostgresqlSession
from tests.fake_store_leaders import FakeLeaders
from tests.services import postgresql

from .conftest import NOW, never
from .rows import a_class, a_submission, some_jobs

LEASE_S = 60.0
OVER = "UPDATE SCHEMA.leader SET until = clock_timestamp() - interval '1 ms'"
_asyncpg: Any = asyncpg  # it says nothing of its types
connect: Any = _asyncpg.connect


@dataclass
class Rows:
    """A database, and how each of several processes speaks with it."""

    open: Callable[[], Leaders]
    end: Callable[[], None]  # lets what is held be over


@pytest.fixture(params=["fake", "postgresql"])
def rows(request: pytest.FixtureRequest) -> Iterator[Rows]:
    if request.param == "fake":
        now = [NOW]
        fake = FakeLeaders(lambda: now[0])
        yield Rows(lambda: fake, lambda: now.__setitem__(0, now[0] + 2 * LEASE_S))
        return
    server: postgresql.Postgresql = request.getfixturevalue("server")
    with server.empty_schema() as url:
        schema = url.rpartition("search_path=")[2]
        over = OVER.replace("SCHEMA", schema)
        yield Rows(lambda: PostgresqlLeaders(url), lambda: _end(server, over))


def _end(server: postgresql.Postgresql, over: str) -> None:
    server.sql(over)


@pytest.fixture
async def one(rows: Rows) -> AsyncIterator[Leaders]:
    made = rows.open()
    yield made
    await made.close()


@pytest.fixture
async def other(rows: Rows) -> AsyncIterator[Leaders]:
    made = rows.open()
    yield made
    await made.close()


async def _taken(leaders: Leaders, holder: str) -> Lead:
    lead = await leaders.take_lead(SHARD, holder, f"http://{holder}", LEASE_S)
    assert lead is not None
    return lead


async def test_nobody_leads_at_first_and_one_of_two_takes_it(one: Leaders, other: Leaders) -> None:
    before = await one.lead(SHARD)
    first = await _taken(one, "first")
    second = await other.take_lead(SHARD, "second", "http://second", LEASE_S)
    seen = await other.lead(SHARD)

    assert before is None and second is None
    assert (first.term, first.holder, first.url) == (1, "first", "http://first")
    assert seen is not None and replace(seen, left_s=0.0) == replace(first, left_s=0.0)
    assert 0 < seen.left_s <= LEASE_S


async def test_many_that_ask_at_once_do_not_lead_two_at_a_time(rows: Rows, one: Leaders) -> None:
    several = [rows.open() for _ in range(6)]
    try:
        taken = await asyncio.gather(
            *(each.take_lead(SHARD, f"h{n}", "", LEASE_S) for n, each in enumerate(several)),
            return_exceptions=True,
        )
    finally:
        for each in several:
            await each.close()
    leads = [lead for lead in taken if isinstance(lead, Lead)]
    seen = await one.lead(SHARD)

    # Two that make the table at once may both be told that it failed: they ask again.
    assert len(leads) <= 1
    assert [lead.holder for lead in leads] == ([] if seen is None else [seen.holder])


async def test_a_lease_that_is_over_is_taken_with_the_next_term(
    rows: Rows, one: Leaders, other: Leaders
) -> None:
    first = await _taken(one, "first")
    rows.end()
    between = await other.lead(SHARD)
    second = await _taken(other, "second")

    assert between is None
    assert second.term == first.term + 1
    assert not await one.renew_lead(first, LEASE_S)
    assert not await one.give_up_lead(first)
    assert await other.renew_lead(second, LEASE_S)
    assert await one.take_lead(SHARD, "first", "", LEASE_S) is None


async def test_renewing_a_lease_that_is_over_but_nobody_took_holds_it_again(
    rows: Rows, one: Leaders, other: Leaders
) -> None:
    first = await _taken(one, "first")
    rows.end()

    assert await one.renew_lead(first, LEASE_S)
    assert await other.take_lead(SHARD, "second", "", LEASE_S) is None


async def test_what_is_given_up_is_taken_at_once(one: Leaders, other: Leaders) -> None:
    first = await _taken(one, "first")

    assert await one.give_up_lead(first)
    assert await other.lead(SHARD) is None
    assert (await _taken(other, "second")).term == first.term + 1


async def test_whoever_did_not_hear_that_it_leads_takes_it_again(one: Leaders) -> None:
    first = await _taken(one, "first")
    again = await _taken(one, "first")

    assert again.term == first.term + 1  # the answer may have been for a request of before
    assert not await one.renew_lead(first, LEASE_S)


async def test_shards_have_leaders_of_their_own(one: Leaders, other: Leaders) -> None:
    await _taken(one, "first")
    second = await other.take_lead("another", "second", "", LEASE_S)

    assert second is not None and second.term == 1


# -- on PostgreSQL: what a leader writes is fenced ------------------------------------------------


@pytest.fixture
def url(server: postgresql.Postgresql) -> Iterator[str]:
    with server.empty_schema() as made:
        yield made


async def _take_over(url: str, holder: str) -> None:
    """Another process has taken the row, and has ended nothing of the one before."""
    raw = await connect(url)
    try:
        await raw.execute("UPDATE leader SET term = term + 1, holder = $1", holder)
    finally:
        await raw.close()


async def test_a_leader_of_before_writes_nothing_and_hears_that_it_must_end(url: str) -> None:
    leaders, broken = PostgresqlLeaders(url), list[str]()
    lead = await _taken(leaders, "first")
    store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=broken.append, lead=lead)
    kind = await a_class(store)
    kept = await store.submit(a_submission(kind, "kept"), some_jobs(kind, 2))
    await leaders.renew_lead(lead, LEASE_S)
    await store.submit(a_submission(kind, "renewed"), some_jobs(kind, 1))
    await _take_over(url, "second")

    with pytest.raises(StoreBroken, match="does not lead with term 1"):
        await store.submit(a_submission(kind, "stale"), some_jobs(kind, 4))
    with pytest.raises(StoreBroken):
        await store.submit(a_submission(kind, "staler"), some_jobs(kind, 4))
    await asyncio.sleep(0)
    left = {row.state: row.count for row in await store.counts()}

    assert kept.ranges and list(left.values()) == [3]
    assert len(broken) == 1
    await store.close()
    await leaders.close()


async def test_a_transaction_that_was_left_open_does_not_keep_the_next_one_waiting(
    url: str,
) -> None:
    first, second = PostgresqlLeaders(url), PostgresqlLeaders(url)
    lead = await _taken(first, "first")
    stuck = await connect(url, server_settings={"application_name": application_of("first")})
    ended = asyncio.Event()

    def told(_: object) -> None:
        ended.set()

    stuck.add_termination_listener(told)
    try:
        await stuck.execute("BEGIN; SELECT term FROM leader FOR KEY SHARE")
        await first.give_up_lead(lead)
        async with asyncio.timeout(5.0):
            taken = await _taken(second, "second")
            await ended.wait()  # by the server
    finally:
        stuck.terminate()
        for each in (first, second):
            await each.close()

    assert taken.term == lead.term + 1


async def test_a_commit_that_was_under_way_is_there_or_not_when_the_next_one_leads(
    url: str,
) -> None:
    """A take-over waits for transactions whose fence has looked: it never overtakes one."""
    first, second = PostgresqlLeaders(url), PostgresqlLeaders(url)
    lead = await _taken(first, "first")
    store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never, lead=lead)
    await first.give_up_lead(lead)
    under_way = await connect(url)  # of another name: the successor cannot end it
    await under_way.execute("BEGIN; SELECT term FROM leader FOR KEY SHARE")

    async with asyncio.TaskGroup() as tasks:
        taking = tasks.create_task(second.take_lead(SHARD, "second", "", LEASE_S))
        await asyncio.wait([taking], timeout=0.3)
        waited = not taking.done()
        await under_way.execute("COMMIT")
    taken = taking.result()

    assert waited
    assert taken is not None and taken.term == lead.term + 1
    await under_way.close()
    for each in (store, first, second):
        await each.close()


async def test_whoever_is_of_an_older_release_leaves_the_row_and_its_holder_alone(
    url: str,
) -> None:
    """It was there before the upgrade, and finds the row free, or held, afterwards."""
    newer, older = PostgresqlLeaders(url), PostgresqlLeaders(url)
    lead = await _taken(newer, "newer")
    store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never, lead=lead)
    kind = await a_class(store)
    raw = await connect(url)
    await raw.execute("INSERT INTO migration VALUES (9000, 'to_come', '', 1.0)")
    try:
        with pytest.raises(NewerSchema, match="schema 9000"):
            await older.take_lead(SHARD, "older", "", LEASE_S)
        await raw.execute("UPDATE leader SET until = '-infinity'")
        with pytest.raises(NewerSchema):
            await older.take_lead(SHARD, "older", "", LEASE_S)
        await newer.renew_lead(lead, LEASE_S)
        await store.submit(a_submission(kind, "still"), some_jobs(kind, 1))
    finally:
        await raw.execute("DELETE FROM migration WHERE number = 9000")
        await raw.close()
    seen = await older.lead(SHARD)
    for each in (store, newer, older):
        await each.close()

    assert seen is not None and (seen.holder, seen.term) == ("newer", lead.term)


@pytest.mark.parametrize(
    ("lead", "only_read", "ends_after"),
    [(None, False, "3s"), (Lead(SHARD, 1, "us", "", LEASE_S), False, "10s"), (None, True, "0")],
)
def test_a_transaction_of_one_that_stands_still_is_ended_by_the_server(
    server: postgresql.Postgresql, lead: Lead | None, only_read: bool, ends_after: str
) -> None:
    """Else what it has locked, as the row that ids come from, holds up everybody for ever."""
    session = PostgresqlSession(server.url(), only_read=only_read, lead=lead)
    try:
        (found,) = session.wait(
            session.connection.fetch("SHOW idle_in_transaction_session_timeout")
        )
    finally:
        session.close()

    assert found[0] == ends_after


async def test_the_connections_of_another_user_hinder_no_take_over(
    server: postgresql.Postgresql,
) -> None:
    """They may not be ended; the row is taken all the same."""
    server.sql("CREATE ROLE somebody LOGIN")
    server.sql("CREATE SCHEMA theirs AUTHORIZATION somebody")
    url = server.url(schema="theirs").replace(f"{USER}@", "somebody@")
    leaders = PostgresqlLeaders(url)
    ours = await connect(
        server.url(), server_settings={"application_name": application_of("before")}
    )
    try:
        before = await _taken(leaders, "before")
        server.sql(OVER.replace("SCHEMA", "theirs"))
        taken = await leaders.take_lead(SHARD, "after", "http://after", LEASE_S)
        one = await ours.fetchval("SELECT 1")
    finally:
        await leaders.close()
        await ours.close()
        server.sql("DROP SCHEMA theirs CASCADE")
        server.sql("DROP ROLE somebody")

    assert taken is not None and taken.term == before.term + 1
    assert one == 1
