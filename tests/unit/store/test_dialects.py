"""Statements that both databases run are written once."""

import pytest

from pilotage.central.store.dialects import forms, said_on
from pilotage.central.store.queries import load, parse
from pilotage.matcher.types import Grant

CASES = [
    ("SELECT :at::float8, x::text[]", "SELECT :at, x", "SELECT :at::float8, x::text[]"),
    (
        "x IN (SELECT value::bigint FROM json_each(:ids))",
        "x IN (SELECT value FROM json_each(:ids))",
        "x IN (SELECT value::bigint FROM json_array_elements_text(:ids::json) AS value)",
    ),
    (
        "FROM json_each(?1) AS i CROSS JOIN job AS j ON j.job_id = i.value::bigint",
        "FROM json_each(?1) AS i CROSS JOIN job AS j ON j.job_id = i.value",
        "FROM json_array_elements_text($1::json) AS i(value) JOIN job AS j"
        " ON j.job_id = i.value::bigint",
    ),
    ("FROM a CROSS JOIN b", "FROM a CROSS JOIN b", "FROM a CROSS JOIN b"),
    ("FROM job INDEXED BY by_state", "FROM job INDEXED BY by_state", "FROM job"),
    (
        "wanted IS NOT DISTINCT FROM ?4 OR how IS DISTINCT FROM 'kill'",
        "wanted IS ?4 OR how IS NOT 'kill'",
        "wanted IS NOT DISTINCT FROM $4 OR how IS DISTINCT FROM 'kill'",
    ),
    ("least(1, greatest(a, 2))", "min(1, max(a, 2))", "least(1, greatest(a, 2))"),
    ("SELECT 1\n FOR UPDATE", "SELECT 1", "SELECT 1\n FOR UPDATE"),
    ("ORDER BY a FOR NO KEY UPDATE OF f", "ORDER BY a", "ORDER BY a FOR NO KEY UPDATE OF f"),
    (
        "UPDATE job SET x = 1 RETURNING :n::bigint",
        "UPDATE job SET x = 1",
        "UPDATE job SET x = 1 RETURNING :n::bigint",
    ),
    (
        "DELETE FROM job RETURNING job_id",
        "DELETE FROM job RETURNING job_id",
        "DELETE FROM job RETURNING job_id",
    ),
]


@pytest.mark.parametrize(("written", "on_sqlite", "on_postgresql"), CASES)
def test_each_database_gets_its_own_form(written: str, on_sqlite: str, on_postgresql: str) -> None:
    assert said_on("sqlite", written) == on_sqlite
    assert said_on("postgresql", written) == on_postgresql


def test_rows_of_parameters_make_a_statement_for_one_and_one_for_many() -> None:
    text = "INSERT INTO t WITH v AS EACH (a::bigint,\n  b::text) SELECT v.a FROM v"
    on_sqlite, on_postgresql = (dict(forms(one, "put", text)) for one in ("sqlite", "postgresql"))
    sixteen = f"VALUES {', '.join(['(?, ?)'] * 16)}"

    assert on_sqlite == {
        "put": "INSERT INTO t WITH v (a, b) AS (VALUES (?1, ?2)) SELECT v.a FROM v",
        "put_together": on_sqlite["put"].replace("VALUES (?1, ?2)", sixteen),
    }
    assert on_postgresql == {
        "put": "INSERT INTO t WITH v (a, b) AS (VALUES ($1::bigint, $2::text)) SELECT v.a FROM v",
        "put_together": "INSERT INTO t WITH v (a, b) AS "
        "(SELECT * FROM unnest($1::bigint[], $2::text[])) SELECT v.a FROM v",
    }


def test_a_list_of_columns_is_written_once() -> None:
    text = """
-- columns: both
-- A comment.
a::bigint,
b::text;

-- name: read
SELECT {x.both} FROM x WHERE c = '{}';

-- name: write
INSERT INTO x ({both}) SELECT {both::type};
"""

    assert dict(parse(text)) == {
        "read": "SELECT x.a, x.b FROM x WHERE c = '{}'",
        "write": "INSERT INTO x (a, b) SELECT a::bigint, b::text",
    }


def test_the_columns_of_a_grant_stand_in_the_order_of_its_fields() -> None:
    text = load("sqlite")["insert_attempt_together"]

    assert f", {', '.join(Grant.__struct_fields__)})" in text
