"""On PostgreSQL, whoever has lost the leader row writes nothing, and keeps nobody waiting.

What holds wherever the row lies is in `test_leader_row`.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.operate.leadership import LOOK_S, KnownLeader, wait_for_lead
from pilotage.central.operate.servers.postgresql import USER
from pilotage.central.store.errors import NewerSchema, StoreBroken
from pilotage.central.store.leaders import SHARD, Lead, Leaders
from pilotage.central.store.postgresql import PostgresqlLeaders, open_postgresql
from pilotage.central.store.postgresql.driver import application_of
from pilotage.central.store.postgresql.session import PostgresqlSession
from tests.fakes import LoopClock
from tests.services import postgresql

from .conftest import NOW, never
from .rows import a_class, a_submission, some_jobs

LEASE_S = 60.0
OVER = "UPDATE SCHEMA.leader SET until = clock_timestamp() - interval '1 ms'"
WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
# A disk that syncs slowly takes long to make a table: each of its files is synced.
SLOW_TABLES = (
    "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS"
    " 'BEGIN IF to_regclass(''leader'') IS NULL THEN PERFORM pg_sleep(SECONDS); END IF; END'",
    "CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE TABLE')"
    " EXECUTE FUNCTION slow()",
)
_asyncpg: Any = asyncpg  # it says nothing of its types
connect: Any = _asyncpg.connect


async def _taken(leaders: Leaders, holder: str) -> Lead:
    lead = await leaders.take_lead(SHARD, holder, f"http://{holder}", LEASE_S)
    assert lead is not None
    return lead


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
    kept = await store.write(
        submission_records.submit, a_submission(kind, "kept"), some_jobs(kind, 2)
    )
    await leaders.renew_lead(lead, LEASE_S)
    await store.write(submission_records.submit, a_submission(kind, "renewed"), some_jobs(kind, 1))
    await _take_over(url, "second")

    with pytest.raises(StoreBroken, match="no longer leads with term 1"):
        await store.write(
            submission_records.submit, a_submission(kind, "stale"), some_jobs(kind, 4)
        )
    with pytest.raises(StoreBroken):
        await store.write(
            submission_records.submit, a_submission(kind, "staler"), some_jobs(kind, 4)
        )
    await asyncio.sleep(0)
    left = {row.state: row.count for row in await store.read(job_records.counts)}

    assert kept.ranges and list(left.values()) == [3]
    assert len(broken) == 1
    await store.close()
    await leaders.close()


@pytest.mark.parametrize(
    "change",
    ["UPDATE leader SET term = term + 1", "UPDATE leader SET holder = 'second'"],
)
async def test_what_a_leader_writes_is_fenced_by_its_term_and_by_its_name(
    url: str, change: str
) -> None:
    """The same term is another's where the row was lost and made anew."""
    leaders, broken = PostgresqlLeaders(url), list[str]()
    lead = await _taken(leaders, "first")
    store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=broken.append, lead=lead)
    kind = await a_class(store)
    raw = await connect(url)
    await raw.execute(change)
    with pytest.raises(StoreBroken, match="no longer leads with term 1"):
        await store.write(submission_records.submit, a_submission(kind), some_jobs(kind, 1))
    jobs = await raw.fetchval("SELECT count(*) FROM job")
    for each in (raw, store, leaders):
        await each.close()

    assert jobs == 0 and len(broken) == 1


async def test_while_a_leader_writes_its_row_is_renewed_and_not_taken(url: str) -> None:
    leaders = PostgresqlLeaders(url)
    lead = await _taken(leaders, "first")
    store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never, lead=lead)
    raw = await connect(url, server_settings={"lock_timeout": "200ms"})
    writing = await asyncio.to_thread(PostgresqlSession, url, lead=lead)
    try:
        await asyncio.to_thread(writing.begin)
        renewed = await leaders.renew_lead(lead, LEASE_S)
        with pytest.raises(_asyncpg.LockNotAvailableError):
            await _raise_term(raw)
        await asyncio.to_thread(writing.commit)
        await _raise_term(raw)
    finally:
        await asyncio.to_thread(writing.close)
        for each in (raw, store, leaders):
            await each.close()

    assert renewed


async def _raise_term(connection: Any) -> None:
    await connection.execute("UPDATE leader SET term = term + 1")


async def test_a_row_that_is_renewed_just_as_it_is_taken_is_not_taken(url: str) -> None:
    one, other = PostgresqlLeaders(url), PostgresqlLeaders(url)
    renewing, looking = await connect(url), await connect(url)
    lead = await _taken(one, "first")
    await renewing.execute("UPDATE leader SET until = '-infinity'")
    await renewing.execute("BEGIN; UPDATE leader SET until = clock_timestamp() + interval '60 s'")
    async with asyncio.TaskGroup() as tasks:
        taking = tasks.create_task(other.take_lead(SHARD, "second", "", LEASE_S))
        async with asyncio.timeout(5.0):
            while not taking.done() and not await looking.fetch(WAITS):
                pass
        await renewing.execute("COMMIT")
    taken, seen = taking.result(), await one.lead(SHARD)
    for each in (renewing, looking, one, other):
        await each.close()

    assert taken is None
    assert seen is not None and (seen.holder, seen.term) == ("first", lead.term)


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
        await store.write(
            submission_records.submit, a_submission(kind, "still"), some_jobs(kind, 1)
        )
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


@pytest.mark.parametrize("makes_table_s", [1.2, 2.3])
async def test_a_first_start_waits_until_a_slow_disk_has_its_table(
    server: postgresql.Postgresql, makes_table_s: float
) -> None:
    database, said = f"slow_{makes_table_s * 10:.0f}", list[str]()
    server.sql(f"CREATE DATABASE {database}")
    server.sql(
        *(one.replace("SECONDS", f"{makes_table_s}") for one in SLOW_TABLES), database=database
    )
    leaders = PostgresqlLeaders(server.url(database))
    async with asyncio.timeout(20.0):
        held = await wait_for_lead(
            leaders,
            "one",
            "http://one",
            seen=KnownLeader(),
            patient=False,
            clock=LoopClock(),
            log=lambda event, **fields: said.append(event),
        )
        is_renewed = await leaders.renew_lead(held.lead, LEASE_S)
    await leaders.close()
    server.sql(f"DROP DATABASE {database} WITH (FORCE)")

    assert said[-1] == "lead_taken"
    assert "lead_unknown" in said or makes_table_s < LOOK_S
    assert is_renewed
