"""Promises P1 and P5: the power goes at any moment, and what was acknowledged is there again.

The lives are of the shipped store, blobs and journal, recorded once with every byte and cut often.
"""

import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.operate.files import RealBlobs
from pilotage.central.store.errors import StoreError
from pilotage.central.store.sqlite import open_sqlite
from pilotage.pilot.journal import FileJournal
from tests.contract.store.rows import a_class, submitted

from .facts import Found
from .journal_life import content_of
from .power_cuts import Life, cut, live, live_on

STORE, JOURNAL = "tests.faults.store_life", "tests.faults.journal_life"
CUTS, CUTS_AGAIN, CUTS_LONG = 120, 30, 20_000

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
pytestmark = needs_strace


def a_life_of_a_store(folder: Path, seed: int) -> Life:
    """Record three processes: two die in the middle of their work, the last one ends well."""
    chance = random.Random(seed)
    return live(
        folder,
        STORE,
        ["0", "10", str(chance.randint(60, 500))],
        ["1000", "10", str(chance.randint(60, 500))],
        ["2000", "10", "0"],
    )


async def look_at_store(folder: Path, said: Sequence[str]) -> list[str]:
    """Open what is left with the shipped code, as a restart does, and return what is missing."""
    broken: list[str] = []
    try:
        RealBlobs(folder / "blobs")
        store = await open_sqlite(
            folder / "store.sqlite", clock_wall=lambda: 0.0, fatal=broken.append
        )
        try:
            kind = await a_class(store)  # it does not only open: it works
            await submitted(store, kind, 1, "after the cut")
        finally:
            await store.close()
    except (StoreError, OSError) as why:
        return [f"it cannot be opened: {why}", *broken]
    found = Found(folder)
    return found.lost(said) + broken + [f"half a submission: {key}" for key in found.unfinished()]


async def test_the_store_keeps_what_it_acknowledged_through_power_cuts(tmp_path: Path) -> None:
    life = a_life_of_a_store(tmp_path, 1)
    *_, last = life.replay()
    everything = last.disk.after_a_cut(_Keeps(1))
    real = {
        str(path.relative_to(life.root)): path.read_bytes() if path.is_file() else None
        for path in life.root.rglob("*")
    }

    assert everything == real  # the recording misses nothing
    assert len(last.said) > 600
    assert await cut(life, 1, CUTS, look_at_store) == []


async def test_the_power_may_go_again_while_a_store_recovers(tmp_path: Path) -> None:
    life = a_life_of_a_store(tmp_path, 2)
    second = live_on(tmp_path / "second", STORE, life, life.length - 500, ["9000", "3", "0"])

    assert await cut(second, 2, CUTS_AGAIN, look_at_store) == []
    assert second.said


@pytest.mark.parametrize("mistake", ["normal", "off", "early", "unnamed"])
async def test_a_store_that_does_not_keep_its_promise_is_found_out(
    tmp_path: Path, mistake: str
) -> None:
    life = live(tmp_path, STORE, ["0", "10", "0", mistake])
    found: list[str] = []
    for seed in range(10):
        found += await cut(life, seed, 10, look_at_store)
        if found:
            break

    assert found


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
async def test_lives_of_all_kinds_survive_thousands_of_power_cuts(
    tmp_path: Path, seed: int
) -> None:
    life = a_life_of_a_store(tmp_path, seed)
    moment = random.Random(seed).randrange(life.length)
    again = live_on(tmp_path / "again", STORE, life, moment, ["9000", "10", "0"])

    assert await cut(life, seed, CUTS_LONG // 40, look_at_store) == []
    assert await cut(again, seed, CUTS_LONG // 100, look_at_store) == []


def a_life_of_a_journal(folder: Path, seed: int, mistake: str = "") -> Life:
    chance = random.Random(seed)
    return live(
        folder,
        JOURNAL,
        ["1", "60", str(chance.randint(20, 90)), mistake],
        ["100", "60", str(chance.randint(20, 90)), mistake],
        ["200", "60", "0", mistake],
    )


async def look_at_journal(folder: Path, said: Sequence[str]) -> list[str]:
    """Open the journal as the next life of the pilot does, and return what it has forgotten."""
    journal = FileJournal(folder)
    os.close(vars(journal)["_handle"])  # it lives as long as its pilot, and closes nothing
    kept = {"assigned": journal.assignments(), "ended": journal.ended()}
    identity = journal.identity()
    facts = [line.split() for line in said]
    forgotten = {number for word, number in facts if word == "forgotten"}
    newest = [number for word, number in facts if word == "identity"][-1:]
    lost = [
        f"{word} {number}"
        for word, number in facts
        if word in kept
        and number not in forgotten
        and kept[word].get(int(number)) != content_of(word, int(number))
    ]
    torn = [f"torn {one}" for one in journal.torn if one == "identity"]
    written = [content_of("identity", number) for number in range(int((newest or ["0"])[0]), 300)]
    if newest and identity not in written:
        lost.append("identity")
    for entries, word in ((kept["assigned"], "assigned"), (kept["ended"], "ended")):
        lost += [f"made up: {n}" for n, one in entries.items() if one != content_of(word, n)]
    return lost + torn


@pytest.mark.parametrize("seed", range(3))
async def test_a_journal_keeps_what_it_synced_through_power_cuts(tmp_path: Path, seed: int) -> None:
    assert await cut(a_life_of_a_journal(tmp_path, seed), seed, CUTS, look_at_journal) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
async def test_journals_of_all_kinds_survive_thousands_of_power_cuts(
    tmp_path: Path, seed: int
) -> None:
    life = a_life_of_a_journal(tmp_path, seed)

    assert await cut(life, seed, CUTS_LONG // 40, look_at_journal) == []


async def test_a_journal_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    life = a_life_of_a_journal(tmp_path, 1, "unsynced")

    assert await cut(life, 1, 30, look_at_journal)


class _Keeps(random.Random):
    """Chance by which a cut keeps everything."""

    def random(self) -> float:
        return 0.0

    def choice(self, seq: Any) -> Any:
        return seq[-1]

    def randint(self, a: int, b: int) -> int:
        return b
