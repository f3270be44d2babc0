"""Sets of metadata stay few whatever files say, and what of them is in memory is bounded."""

import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pilotage.central.catalogue import (
    record_interned as catalogue_interned,
    record_read as catalogue_read,
    record_registration as registration,
    record_sets as catalogue_sets,
)
from pilotage.central.catalogue.record_sets import MetaSets
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.store.session import Session
from pilotage.central.store.sqlite import open_sqlite
from pilotage.proto.catalogue import Did, Value, parse_query

STEP = 8
KEYS = [f"k{n:02}" for n in range(40)]


def flags(rng: random.Random) -> dict[str, Value]:
    return {key: rng.random() < 0.5 for key in KEYS}


def presence(rng: random.Random) -> dict[str, Value]:
    return {key: 1 for key in KEYS if rng.random() < 0.5}


@pytest.mark.parametrize("made", [flags, presence])
async def test_keys_of_two_values_and_those_that_some_files_have_become_own(
    made: Callable[[random.Random], dict[str, Value]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    monkeypatch.setattr(catalogue_interned, "SETS_STEP", STEP)
    store = await open_sqlite(tmp_path / "store.db", clock_wall=lambda: 1.0, fatal=_never)
    rng = random.Random(5)
    for chunk in range(100):
        files = [
            NewFile(
                did=Did("s", f"{chunk}-{n}"),
                bytes=1,
                adler32="00000001",
                metadata=made(rng),
            )
            for n in range(4)
        ]
        outcomes = await store.write(registration.register_files, "ctao", files, at=1.0)
        assert not any(one.clash for one in outcomes)
    rows = await store.read(catalogue_read.files_changed, "ctao", 0, limit=1_000)
    await store.close()

    assert len(rows) == 400
    assert len({row.set_id for row in rows}) < 10 * STEP  # each of the files would have its own
    assert all(len(row.metadata) >= 5 for row in rows)


async def test_a_page_of_many_choices_of_an_own_key_seeks_so_many_values_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_read, "SOUGHT_MAX", 1_000)
    monkeypatch.setattr(catalogue_read, "SETS_TOGETHER", 5)
    store = await open_sqlite(tmp_path / "store.db", clock_wall=lambda: 1.0, fatal=_never)
    files = [
        NewFile(
            did=Did("s", str(n)),
            bytes=1,
            adler32="00000001",
            metadata={"run": n, "tile": n % 60},
            replicas=(NewReplica(storage="x", path=str(n)),),
        )
        for n in range(600)
    ]
    await store.write(registration.register_files, "ctao", files, at=1.0)
    query = parse_query({"run": {"in": list(range(590, 690))}})
    names: list[str] = []
    pages, after = 0, None
    while True:
        page = await store.read(catalogue_read.find_files, "ctao", query, after=after, limit=500)
        names += [row.did.name for row in page.files]
        pages, after = pages + 1, page.next
        if after is None:
            break
    await store.close()

    assert sorted(names, key=int) == [str(n) for n in range(590, 600)]
    assert 4 <= pages <= 12  # of 60 sets, each with 100 values or twice as many


class Reading:
    """A session that answers with sets, and counts."""

    def __init__(self) -> None:
        self.read = 0

    @contextmanager
    def holding(self, lock: threading.Lock) -> Generator[None]:
        with lock:
            yield

    def rows(self, statement: str, given: dict[str, str]) -> list[tuple[int, str]]:
        assert statement == "meta_sets_given"
        ids = [int(one) for one in given["ids"].strip("[]").split(",")]
        self.read += len(ids)
        return [(one, f'{{"run": {one}}}') for one in ids]


def test_metadata_of_sets_are_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_sets, "METADATA_MAX", 5_000)
    reading, sets = Reading(), MetaSets()
    session: Session = reading  # type: ignore[assignment]
    for one in range(1_000):
        assert sets.of(session, [one, one]) == {one: {"run": one}}
        assert sets.of(session, [one]) == {one: {"run": one}}

    assert reading.read == 1_000
    assert len(sets._metadata) < 50


def _never(why: str) -> None:
    raise AssertionError(why)
