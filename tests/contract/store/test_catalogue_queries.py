"""Searches of the catalogue agree with a naive look at every file, however metadata lie."""

import random
from typing import Any

import pytest

from pilotage.central.catalogue import (
    record_datasets as dataset_records,
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
)
from pilotage.central.catalogue.record_types import (
    PRESENT,
    FileCursor,
    FileRow,
    MetadataChange,
    NewDataset,
    NewFile,
    NewReplica,
    ReplicaChange,
)
from pilotage.central.store.engine import Store
from pilotage.proto.catalogue import Did, FileState, Query, ReplicaState, Value, parse_query

from .conftest import NOW, Reopen

CTAO = "ctao"
DATASETS = (Did("s", "all"), Did("s", "some"))
WORDS = ("alpha", "beta", "gamma", "run1", "run10", "run2")

# What is bounded at thousands, so low that a few files reach it.
BOUNDS = {
    "record_registration.OWN_FROM": 4,
    "record_registration.BATCH_SHOWS_FROM": 6,
    "record_interned.SETS_STEP": 8,
    "record_read.OWN_IDS_FEW": 1,
    "record_read.OWN_IDS_MAX": 3,
    "record_read.ROWS_LOOKED_MAX": 7,
    "record_read.SETS_LOOKED_MAX": 3,
    "record_read.PAGE_READ": 3,
    "record_read.SETS_TOGETHER": 2,
    "record_read.SOUGHT_MAX": 4,
    "record_sets.SETS_READ": 5,
    "record_sets.JUDGED_MAX": 4,
    "record_sets.JUDGED_SETS_MAX": 30,
    "record_sets.METADATA_MAX": 1_000,
}


def a_value(key: str, rng: random.Random) -> Value:
    match key:
        case "flag":
            return rng.random() < 0.5
        case "word":
            return rng.choice(WORDS)
        case "real":
            return rng.choice((-1.5, 0, 0.25, 7, 1e15))
        case "few":
            return rng.randrange(3)
        case _:
            return rng.randrange(200)


KEYS = ("flag", "word", "real", "few", "run")


def some_metadata(rng: random.Random) -> dict[str, Value]:
    return {key: a_value(key, rng) for key in KEYS if rng.random() < 0.7}


def a_clause(key: str, rng: random.Random) -> Any:
    value = a_value(key, rng)
    choices: list[Any] = [
        value,
        {"=": value},
        {"!=": value},
        {"in": [a_value(key, rng) for _ in range(3)]},
        {"not in": [value]},
        {"exists": rng.random() < 0.5},
    ]
    if key != "flag":
        choices += [{">=": value}, {"<": value}, {">": value, "<=": a_value(key, rng)}]
    if key == "word":
        choices += [{"like": pattern} for pattern in ("run1*", "*a", "?eta", "alpha", "*")]
    return rng.choice(choices)


def a_query(rng: random.Random) -> Query:
    document: dict[str, Any] = {
        key: a_clause(key, rng) for key in rng.sample(KEYS, rng.randrange(4))
    }
    if rng.random() < 0.3:
        document["dataset"] = str(rng.choice(DATASETS))
    return parse_query(document)


async def found(store: Store, query: Query, states: frozenset[FileState]) -> list[FileRow]:
    """Return all that a search gives, page by page."""
    rows: list[FileRow] = []
    place: FileCursor | None = None
    for _ in range(2_000):
        page, place = await store.read(
            catalogue_read.find_files, CTAO, query, states=states, after=place, limit=4
        )
        rows += page
        if place is None:
            return rows
    raise AssertionError("the pages do not end")


async def everything(store: Store) -> list[FileRow]:
    rows: list[FileRow] = []
    while page := await store.read(
        catalogue_read.files_changed, CTAO, rows[-1].seq if rows else 0, limit=7
    ):
        rows += page
    return rows


class World:
    """Files that come and change at random."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self.store, self.rng, self.count = store, rng, 0

    async def begin(self) -> None:
        for did in DATASETS:
            await self.store.write(dataset_records.make_dataset, CTAO, NewDataset(did=did), at=NOW)

    def some(self) -> list[Did]:
        return [
            Did("s", f"f{self.rng.randrange(self.count)}") for _ in range(self.rng.randrange(5))
        ]

    async def register(self) -> None:
        files: list[NewFile] = []
        for _ in range(self.rng.randrange(1, 12)):
            copies = (NewReplica(storage="A", path="p"),) if self.rng.random() < 0.9 else ()
            files.append(
                NewFile(
                    did=Did("s", f"f{self.count}"),
                    bytes=self.count,
                    adler32=f"{self.count:08x}",
                    metadata=some_metadata(self.rng),
                    replicas=copies,
                    datasets=tuple(did for did in DATASETS if self.rng.random() < 0.4),
                )
            )
            self.count += 1
        outcomes = await self.store.write(registration.register_files, CTAO, files, at=NOW)
        assert all(one.clash is None and one.new for one in outcomes)
        if self.rng.random() < 0.3:
            again = await self.store.write(registration.register_files, CTAO, files, at=NOW)
            assert not any(one.clash or one.new or one.changed for one in again)

    async def change(self) -> None:
        changes = [
            MetadataChange(
                did=did,
                metadata=some_metadata(self.rng),
                remove=tuple(key for key in KEYS if self.rng.random() < 0.1),
            )
            for did in self.some()
        ]
        outcomes = await self.store.write(file_records.set_metadata, CTAO, changes)
        assert all(one.clash is None for one in outcomes)

    async def lose(self) -> None:
        changes = [
            ReplicaChange(did=did, storage="A", path="p", state=self.rng.choice(list(ReplicaState)))
            for did in self.some()
        ]
        await self.store.write(file_records.change_replicas, CTAO, changes, at=NOW)

    async def remove(self) -> None:
        await self.store.write(file_records.remove_files, CTAO, self.some()[:1], at=NOW)

    async def move(self) -> None:
        verb = self.rng.choice((dataset_records.attach, dataset_records.detach))
        await self.store.write(verb, CTAO, self.rng.choice(DATASETS), self.some())


@pytest.mark.parametrize("seed", range(4))
async def test_a_search_finds_what_a_look_at_every_file_finds(
    store: Store, reopen: Reopen, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, bound in BOUNDS.items():
        monkeypatch.setattr(f"pilotage.central.catalogue.{name}", bound)
    rng = random.Random(seed)
    world = World(store, rng)
    await world.begin()
    await world.register()
    rows: list[FileRow] = []
    for step in range(40):
        await rng.choice(
            (world.register, world.register, world.change, world.lose, world.remove, world.move)
        )()
        rows = await everything(world.store)
        lies = await world.store.read(catalogue_read.datasets_of, [row.file_id for row in rows])
        for _ in range(3):
            query = a_query(rng)
            states = rng.choice((frozenset({FileState.AVAILABLE}), PRESENT, frozenset(FileState)))
            got = await found(world.store, query, states)

            wanted = {
                row.did: row
                for row in rows
                if row.state in states
                and query.meets(row.metadata)
                and (query.dataset is None or query.dataset in lies.get(row.file_id, []))
            }
            assert {row.did: row.metadata for row in got} == {
                did: row.metadata for did, row in wanted.items()
            }, f"seed {seed}, step {step}: {query.document()}"
            assert len(got) == len(wanted)
        if step == 20:
            world.store = await reopen(world.store)
    assert len(rows) == world.count
