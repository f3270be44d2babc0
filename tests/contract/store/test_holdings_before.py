"""A store of before there were holders learns them from what its jobs name."""

import sqlite3
from hashlib import sha256
from pathlib import Path

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.jobs.blobs.removal import BlobSweep
from pilotage.central.store.migrations import migrations
from pilotage.central.store.postgresql.session import PostgresqlSession
from pilotage.central.store.sqlite.migrate import migrate
from pilotage.proto.messages import Output
from tests import turns
from tests.fake_central import FakeBlobs, FakeClock
from tests.services.postgresql import Postgresql

from .conftest import open_at
from .rows import a_class, a_submission, an_end, matched, some_jobs

OWNER = "INSERT INTO owner (owner_id, community, issuer, subject, name) VALUES (1,'c','i','s','n')"
STATE = "SELECT counted, open_until FROM holding_state"


class Quick(FakeClock):
    """Time that moves as far as somebody waits."""

    async def sleep(self, seconds: float) -> None:
        self.move(seconds)


def test_a_store_of_sqlite_that_has_owners_is_open_until_it_is_counted() -> None:
    steps = migrations("sqlite")
    (before,) = [one.number for one in steps if one.name == "quotas"]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, steps[: before - 1], 1.0)
    connection.executescript(OWNER)
    migrate(connection, steps, 2.0)
    found = connection.execute(STATE).fetchall()
    connection.close()

    assert found == [(0, 0.0)]


def test_a_store_of_postgresql_that_has_owners_is_open_until_it_is_counted(
    server: Postgresql,
) -> None:
    with server.empty_schema() as url:
        session = PostgresqlSession(url)
        session.script("CREATE SCHEMA used; SET search_path = used")
        for step in migrations("postgresql"):
            if step.name == "quotas":
                session.script(OWNER)
            session.script(step.text)
        rows = session.wait(session.connection.fetch(STATE))
        session.script("DROP SCHEMA used CASCADE")
        session.close()

    assert [tuple(row) for row in rows] == [(0, 0.0)]


async def test_the_first_sweep_charges_owners_for_what_their_jobs_name(tmp_path: Path) -> None:
    blobs, clock = FakeBlobs(), Quick()
    names = [sha256(content).hexdigest() for content in (b"template", b"input", b"output")]
    for name, content in zip(names, (b"template", b"input", b"output"), strict=True):
        blobs.blobs[name], blobs.touched[name] = content, clock.wall()
    store = await open_at(tmp_path / "store.db")
    ada, bob = await a_class(store), await a_class(store, subject="bob", group="ana")
    template = b'{"inputs":[{"sha256":"%s"}]}' % names[0].encode()
    jobs = some_jobs(ada, 1, name="one")
    made = await store.write(submission_records.submit, a_submission(ada, template=template), jobs)
    job = made.ranges[0][0]
    attempt = await matched(store, job)
    outputs = [Output("out", names[2], 10**12)]
    await turns.change(store, [an_end(attempt, job, outputs=outputs)])
    other = b'{"inputs":[{"sha256":"%s"}]}' % names[1].encode()
    await store.write(
        submission_records.submit, a_submission(bob, template=other), some_jobs(bob, 1)
    )
    raw = sqlite3.connect(tmp_path / "store.db")
    raw.execute("INSERT INTO holding_state VALUES (1, 0, 5.0)")
    raw.commit()
    raw.close()
    before = await store.read(quota_records.holding_state)
    await BlobSweep(store, blobs, clock, hold_s=3_600).sweep()
    found = {
        (one.sha256, one.owner_id, one.group): one.bytes
        for one in await store.read(quota_records.holdings, names)
    }
    after, uses = (
        await store.read(quota_records.holding_state),
        await store.read(quota_records.uses),
    )
    await store.close()

    assert (before.counted, after.counted) == (False, True)
    assert after.open_until > clock.wall() + 86_400
    assert found == {
        (names[0], ada.owner_id, "sim"): 8,
        (names[1], bob.owner_id, "ana"): 5,
        (names[2], ada.owner_id, "sim"): 6,
    }
    assert {one.name: one.bytes for one in uses if one.kind == "owner"} == {
        str(ada.owner_id): 14,
        str(bob.owner_id): 5,
    }
