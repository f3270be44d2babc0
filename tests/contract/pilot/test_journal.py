"""What a pilot's journal promises to the next life, of the shipped one and of both fakes."""

import random
from pathlib import Path

import pytest

from .journals import RIGS, Rig


@pytest.fixture(params=RIGS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    return RIGS[request.param](tmp_path)


def test_an_empty_one_knows_nobody_and_nothing(rig: Rig) -> None:
    assert rig.journal.identity() is None
    assert (rig.journal.assignments(), rig.journal.ended()) == ({}, {})


@pytest.mark.parametrize("end", ["restart", "power_cut"])
def test_an_identity_is_durable_at_once_and_the_last_one_counts(rig: Rig, end: str) -> None:
    rig.journal.keep_identity(b'{"nonce":"one"}')
    rig.journal.keep_identity(b'{"nonce":"two"}')

    assert getattr(rig, end)().identity() == b'{"nonce":"two"}'


@pytest.mark.parametrize("end", ["restart", "power_cut"])
def test_what_was_synced_is_there_and_the_last_entry_of_an_attempt_counts(
    rig: Rig, end: str
) -> None:
    journal = rig.journal
    journal.keep_assignment(1, b"old")
    journal.keep_assignment(1, b"one")
    journal.keep_assignment(2, b"two")
    journal.keep_ended(2, b"end of two")
    journal.sync()
    after = getattr(rig, end)()

    assert after.assignments() == {1: b"one", 2: b"two"}
    assert after.ended() == {2: b"end of two"}


def test_what_was_not_synced_outlives_the_pilot_but_not_surely_the_power(rig: Rig) -> None:
    rig.journal.keep_assignment(1, b"one")
    rig.journal.sync()
    rig.journal.keep_assignment(2, b"two")
    killed = rig.restart().assignments()
    cut = rig.power_cut().assignments()

    assert killed == {1: b"one", 2: b"two"}
    assert cut in ({1: b"one"}, {1: b"one", 2: b"two"})


def test_what_is_forgotten_is_gone_with_both_of_its_entries(rig: Rig) -> None:
    journal = rig.journal
    journal.keep_assignment(1, b"one")
    journal.keep_ended(1, b"end of one")
    journal.keep_assignment(2, b"two")
    journal.sync()
    journal.forget(1)
    journal.forget(9)
    now = journal.assignments(), journal.ended()
    after = rig.restart()

    assert now == (after.assignments(), after.ended()) == ({2: b"two"}, {})


def test_what_is_returned_is_not_the_journals_own(rig: Rig) -> None:
    rig.journal.keep_assignment(1, b"one")
    rig.journal.assignments().clear()
    rig.journal.ended()[5] = b"x"

    assert (rig.journal.assignments(), rig.journal.ended()) == ({1: b"one"}, {})


@pytest.mark.parametrize("seed", range(8))
def test_no_life_finds_what_was_never_kept_or_misses_what_was_synced(rig: Rig, seed: int) -> None:
    chance, journal = random.Random(seed), rig.journal
    ever: set[tuple[int, bytes]] = set()
    durable: dict[int, bytes] = {}
    kept: dict[int, bytes] = {}
    for step in range(150):
        attempt, entry = chance.randint(1, 6), b"entry %d" % step
        what = chance.choices(("keep", "forget", "sync", "restart", "power_cut"), (9, 4, 5, 1, 1))
        if what == ["keep"]:
            journal.keep_assignment(attempt, entry)
            ever.add((attempt, entry))
            kept[attempt] = entry
        elif what == ["forget"]:
            journal.forget(attempt)
            kept.pop(attempt, None)
            durable.pop(attempt, None)  # it may come back: that costs one more report
        elif what == ["sync"]:
            journal.sync()
            durable = dict(kept)
        elif what == ["restart"]:
            journal = rig.restart()
            assert journal.assignments() == kept
        else:
            journal = rig.power_cut()
            found = journal.assignments()
            assert set(found.items()) <= ever
            assert durable.keys() <= found.keys()
            kept, durable = dict(found), dict(found)
            journal.sync()
