"""How PostgreSQL goes about what is written many times a second, and read at a start.

Where a table has grown since anybody counted it, a way that is taken once is taken for long.
"""

import re
from collections.abc import Iterator

import pytest

from pilotage.central.store.postgresql.session import PostgresqlSession
from pilotage.central.store.postgresql.statements import statements
from pilotage.central.store.postgresql.store import prepared
from tests.services.postgresql import Postgresql

LIVE = """
INSERT INTO attempt (attempt_id, job_id, epoch, round, pilot, session, ask, site_id, element, host,
                     cores, memory_mb, scratch_mb, wall_s, state, live, open, matched_at)
SELECT n, n, 1, 1, 'p', 1, 1, 1, '', '', 1, 1, 1, 1, 'Matched', 1, 1, 0
  FROM generate_series(1, 20000) AS n;
INSERT INTO job (job_id, class_id, submission_id, priority, retries)
SELECT n, 1, 1, 5, 0 FROM generate_series(1, 20000) AS n"""
WRITTEN = [
    "insert_attempt",
    "insert_attempt_together",
    "start_attempt_together",
    "end_attempt_together",
    "end_job_together",
    "bodies_to_run",
]

MANY = [
    "move_job_together",
    "close_last_together",
    "close_task_together",
    "remove_task_end_together",
    "storing_seen_together",
    "counted_epochs",
]


@pytest.fixture(scope="module")
def empty(server: Postgresql) -> Iterator[PostgresqlSession]:
    """The connection that writes, on tables with nothing in them, which nobody has counted.

    Tables of a test before may have been: autovacuum comes once a minute.
    """
    server.sql("CREATE SCHEMA uncounted")
    writes = prepared(server.url(schema="uncounted"), 1_000.0)
    yield writes
    writes.close()


@pytest.fixture(scope="module")
def session(server: Postgresql) -> Iterator[PostgresqlSession]:
    """The connection that writes, on tables that have grown uncounted.

    The schema is new: in one of a test before, autovacuum may have counted emptied tables, and
    then the planner takes them for empty whatever comes.
    """
    yield from _grown(server, "grown", few=0)


@pytest.fixture(scope="module")
def counted(server: Postgresql) -> Iterator[PostgresqlSession]:
    """The connection that writes, on tables counted with 20 rows, that have grown."""
    yield from _grown(server, "counted", few=20)


def _grown(server: Postgresql, schema: str, *, few: int) -> Iterator[PostgresqlSession]:
    server.sql(f"CREATE SCHEMA {schema}")
    writes = prepared(server.url(schema=schema), 1_000.0)
    for table in ("attempt", "job"):
        writes.script(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    if few:
        writes.script(LIVE.replace("20000", str(few)))
        writes.script("ANALYZE attempt; ANALYZE job; DELETE FROM attempt; DELETE FROM job")
    writes.script(LIVE)
    yield writes
    writes.close()


def plan(session: PostgresqlSession, statement: str, given: str = "") -> str:
    """Return how a statement is carried out, whatever it is given, or with these values."""
    text = statements()[statement].text
    count = max(int(number) for number in re.findall(r"\$(\d+)", text))
    nothing = given or ", ".join(["NULL"] * count)
    session.script(f"PREPARE it AS {text}")
    try:
        found = session.wait(session.connection.fetch(f"EXPLAIN EXECUTE it({nothing})"))
        return "\n".join(row[0] for row in found)
    finally:
        session.script("DEALLOCATE it")


@pytest.mark.parametrize("statement", WRITTEN)
@pytest.mark.parametrize("tables", ["empty", "session", "counted"])
def test_rows_are_found_by_their_ids(
    tables: str, statement: str, request: pytest.FixtureRequest
) -> None:
    how = plan(request.getfixturevalue(tables), statement)

    assert re.search(r"_pkey( on (attempt|job))? .*\n +Index Cond: \(\w+_id = ", how), how
    assert "Seq Scan" not in how
    assert "Hash" not in how and "Merge" not in how, "a table is looked through for it"
    assert "attempt_live" not in how, "all that are live are looked at"


@pytest.mark.parametrize("statement", MANY)
@pytest.mark.parametrize("tables", ["empty", "session", "counted"])
def test_no_table_is_looked_through_for_many_rows(
    tables: str, statement: str, request: pytest.FixtureRequest
) -> None:
    how = plan(request.getfixturevalue(tables), statement)

    assert "Index Cond: " in how
    assert not re.search(r"Seq Scan on (job|attempt|task|storing)\b", how), how
    assert "Hash" not in how and "Merge" not in how, how


@pytest.mark.parametrize("statement", ["waiting_in_zones", "ids_in_zones"])
def test_jobs_are_read_zone_by_zone(session: PostgresqlSession, statement: str) -> None:
    session.script("SET enable_seqscan = on; SET plan_cache_mode = auto")  # as those that read
    try:
        how = plan(session, statement)
    finally:
        session.script("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")

    assert "Index Cond: ((job_id >=" in how
    assert "Seq Scan on job" not in how


def test_jobs_that_move_are_counted_in_their_zones_however_many(
    session: PostgresqlSession,
) -> None:
    session.script(
        "DELETE FROM zone; "
        "INSERT INTO zone SELECT 1, 'Waiting', z, 1024 FROM generate_series(0, 19) AS z"
    )
    session.script("UPDATE job SET state = 'Held' WHERE job_id BETWEEN 1000 AND 9000")
    session.script("UPDATE job SET reason = 'no move' WHERE job_id < 5000")
    session.script(
        "UPDATE job SET state = CASE job_id WHEN 1 THEN 'Held' ELSE 'Waiting' END "
        "WHERE job_id IN (1, 1000)"
    )

    rows = session.wait(
        session.connection.fetch(
            "SELECT state, zone, jobs FROM zone WHERE zone IN (0, 1, 8) ORDER BY state, zone"
        )
    )

    assert [tuple(row) for row in rows] == [
        ("Held", 0, 24),
        ("Held", 1, 1024),
        ("Held", 8, 809),
        ("Waiting", 0, 1000),
        ("Waiting", 1, 0),
        ("Waiting", 8, 215),
    ]


@pytest.mark.parametrize(
    ("statement", "index"), [("get_class", "class_alike"), ("rule_like", "rule_alike")]
)
def test_what_has_no_two_alike_is_found_by_its_hash(
    empty: PostgresqlSession, statement: str, index: str
) -> None:
    assert f"Index Scan using {index}" in plan(empty, statement)


REMNANTS = """
INSERT INTO remnant (remnant_id, storage, path, community, owner_id, group_name, file_id, bytes,
                     since, due_from)
SELECT n, 'pic', 'ctao/' || n, 'ctao', 1, 'users', n, 1, n, n FROM generate_series(1, 20000) AS n;
INSERT INTO replica (file_id, storage, path, state, changed_at)
SELECT n, 'pic', 'ctao/' || n, 'Missing', n FROM generate_series(1, 20000) AS n"""
# statement, the index by which it finds its rows, and what those that only read give it
SWEPT: list[tuple[str, str, dict[str, object]]] = [
    ("is_remnant_due", "remnant_due", {"storage": "pic", "before": 0.5}),
    ("due_remnants", "remnant_due", {}),
    ("marked_paths", "remnant_marked", {}),
    ("names_of_path", "replica_of_path", {}),
    ("names_of_path", "replica_of_path", {"storage": "pic", "path": "ctao/7", "before": 1.0}),
    ("remnants_of_sweep", "remnant_of_sweep", {"sweep_id": 7}),
    ("remnants_of_files", "remnant_of_file", {"ids": "[7]"}),
    ("uploads_at", "remnant_of_upload", {"storage": "pic", "paths": '["ctao/put/1/a"]'}),
]


@pytest.mark.parametrize(("statement", "index", "given"), SWEPT)
@pytest.mark.parametrize("is_counted", [False, True])
def test_remnants_are_found_by_their_indexes(
    server: Postgresql, statement: str, index: str, given: dict[str, object], is_counted: bool
) -> None:
    with server.empty_schema() as url:
        session = prepared(url, 1_000.0)
        session.script("TRUNCATE remnant, replica")  # nothing is known of them from earlier tests
        session.script(REMNANTS)
        if is_counted:
            session.script("ANALYZE remnant; ANALYZE replica")
        if given:
            session.script("SET enable_seqscan = on; SET plan_cache_mode = auto")
        values = statements()[statement].arguments(given) if given else []
        how = plan(session, statement, ", ".join(f"'{value}'" for value in values))
        session.close()

    assert index in how, how
    assert "Seq Scan on remnant" not in how and "Seq Scan on replica" not in how
