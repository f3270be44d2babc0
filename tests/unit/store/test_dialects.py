"""Statements that both databases run are written once."""

import pytest

from pilotage.central.store.dialects import said_on

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
