"""What the driver of PostgreSQL decides without a server: parameters, errors, what is durable."""

from typing import Any

import pytest

from pilotage.central.store.errors import StoreBroken, StoreError, StoreFull
from pilotage.central.store.postgresql import durable
from pilotage.central.store.postgresql.driver import FAULTS, BadValue
from pilotage.central.store.postgresql.errors import translated
from pilotage.central.store.postgresql.statements import statements
from pilotage.central.store.queries import load

# What SQLite has for its own file, and what is looked at from outside of a central.
OF_ITS_FILE = (
    "checkpoint", "keep_generation", "new_generation", "skip_ids", "end_restored_sweeps",
    "remove_restored_sweeps", "table_names",
)  # fmt: skip
OF_ITS_FILE_TOO = ("set_", "get_journal", "get_synchronous", "get_foreign", "quick_check")
NOT_THERE = ("integrity_check",)
OF_THE_DATABASE = {
    "durability", "let_wait_for_the_lock", "lock", "wait_no_longer", "continue_ids",
    "moment", "arrivals", "arrived_runs", "forget_arrivals", "tell_arrival", "hint_arrival",
    "begin_arriving", "go_on_arriving", "end_arriving", "take_abandoned", "register_writer",
    "share_classes", "have_classes", "leave_classes", "hurry", "make_leader", "answer_soon",
    "give_up_locks_soon",
    "make_lead", "lead", "end_of_holder", "take_lead", "renew_lead", "give_up_lead", "fence",
    "share_paths", "have_paths",
    "drop_new_store", "drop_new_counters", "empty_input_count", "empty_task_count",
}  # fmt: skip
NEEDED_OF_SETTERS = {
    "set_priority", "set_ranges", "set_flushing", "set_seeded", "set_looked", "set_transfer_job",
    "set_sweep_job",
    "set_production_priority", "set_steps_priority",
}  # fmt: skip
RIGHT: dict[str, Any] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "synchronous_standby_names": "",
    "replicas": 0,
    "in_recovery": False,
    "collation": "C",
    "encoding": "UTF8",
    "version": 150_020,
}


def _of_verbs(name: str) -> bool:
    if name in NEEDED_OF_SETTERS:
        return True
    return not name.startswith(OF_ITS_FILE_TOO) and name not in (*OF_ITS_FILE, *NOT_THERE)


def test_both_databases_have_the_same_statements() -> None:
    ours = {name.removesuffix("_together") for name in load("sqlite") if _of_verbs(name)}

    theirs = {name.removesuffix("_together") for name in load("postgresql")}

    assert theirs - OF_THE_DATABASE == ours


def test_names_become_numbers_and_a_cast_is_no_name() -> None:
    one = statements()["reserve"]

    assert one.names == ("count", "name")
    assert "$1::bigint" in one.text and ":count" not in one.text
    assert one.arguments({"name": "job", "count": 3, "more": 1}) == [3, "job"]


def test_a_text_with_a_nul_is_kept_without_it() -> None:
    one = statements()["insert_site"]

    assert one.arguments({"site": "a\0b"}) == ["a\ufffdb"]


def test_rows_that_say_which_they_were_get_their_number() -> None:
    assert statements()["attach_file"].numbered((1, 2), 7) == [1, 2, 7]
    assert statements()["insert_job_input"].numbered((1, 2, 3), 7) == [1, 2, 3]
    assert statements()["delete_job"].numbered({"job_id": 5}, 7) == [5, 7]


def _error(sqlstate: str) -> Exception:
    kind: Any = FAULTS[0]  # of the server
    made: Exception = kind.new({"C": sqlstate, "M": "told to"})
    return made


@pytest.mark.parametrize(
    ("sqlstate", "told"),
    [
        ("53100", StoreFull),  # disk full
        ("58030", StoreBroken),  # I/O error
        ("XX001", StoreBroken),  # damaged data
        ("57P01", StoreBroken),  # it ends
        ("57P02", StoreBroken),  # it has crashed
        ("08006", StoreBroken),  # the connection is lost
        ("25006", StoreBroken),  # a standby now
        ("23514", StoreError),  # a CHECK
        ("22021", StoreError),  # a character that it cannot take
    ],
)
def test_errors_of_the_server_have_a_meaning(sqlstate: str, told: type[StoreError]) -> None:
    assert type(translated(_error(sqlstate))) is told


def test_what_is_lost_on_the_way_breaks_the_store_and_a_bad_value_does_not() -> None:
    own = ValueError("of its own")

    assert type(translated(ConnectionResetError("gone"))) is StoreBroken
    assert type(translated(TimeoutError())) is StoreBroken
    for kind in FAULTS:  # asyncpg's own, too: it is at a loss, or no server is as it was asked for
        if kind is not FAULTS[0]:
            assert type(translated(kind("not as asked"))) is StoreBroken, kind
    assert type(translated(BadValue("no integer"))) is StoreError
    assert translated(own) is own


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"fsync": "off"}, "fsync"),
        ({"full_page_writes": "off"}, "full_page_writes"),
        ({"synchronous_commit": "off"}, "synchronous_commit"),
        ({"synchronous_commit": "local"}, "synchronous_commit"),
        ({"replicas": 1}, "none is synchronous"),
        ({"in_recovery": True}, "standby"),
        ({"collation": "en_US.UTF-8"}, "--locale=C"),
        ({"encoding": "LATIN1"}, "encoding"),
        ({"version": 120_001}, "too old"),
    ],
)
def test_a_database_that_could_lose_what_was_acknowledged_is_refused(
    changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(StoreBroken, match=says):
        durable.check({**RIGHT, **changed})


def test_a_database_as_it_must_be_is_taken() -> None:
    durable.check(RIGHT)
    durable.check({**RIGHT, "replicas": 1, "synchronous_standby_names": "ANY 1 (*)"})
