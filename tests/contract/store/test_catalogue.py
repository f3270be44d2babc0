"""Files, metadata, replicas and datasets: what every store does with them."""

import asyncio
from collections.abc import Mapping, Sequence
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
    ItemOutcome,
    MetadataChange,
    NewDataset,
    NewFile,
    NewReplica,
    ReplicaChange,
)
from pilotage.central.store.engine import CHUNK_MAX, Store
from pilotage.proto.catalogue import (
    BadCatalogueField,
    Did,
    FileState,
    KeyType,
    ReplicaState,
    Value,
    parse_query,
)

from .conftest import NOW, Reopen

CTAO = "ctao"
ALL = frozenset(FileState)


def a_file(name: str, metadata: Mapping[str, Value] | None = None, **given: Any) -> NewFile:
    fields: dict[str, Any] = {
        "did": Did("prod6", name),
        "bytes": 1_000,
        "adler32": "0a0b0c0d",
        "metadata": metadata or {},
        "replicas": (NewReplica(storage="PIC", path=f"prod6/{name}"),),
    }
    return NewFile(**{**fields, **given})


async def register(store: Store, *files: NewFile, community: str = CTAO) -> list[ItemOutcome]:
    return await store.write(registration.register_files, community, files, at=NOW)


async def found(store: Store, query: Mapping[str, object], **given: Any) -> list[str]:
    """Return the names of all files that meet a query, page by page."""
    names: list[str] = []
    place: FileCursor | None = None
    while True:
        rows, place = await store.read(
            catalogue_read.find_files, CTAO, parse_query(query), after=place, limit=3, **given
        )
        names += [row.did.name for row in rows]
        if place is None:
            return sorted(names)


async def the_file(store: Store, name: str) -> FileRow:
    (row,) = await store.read(catalogue_read.files_by_did, CTAO, [Did("prod6", name)])
    assert row is not None
    return row


def clashes(outcomes: Sequence[ItemOutcome]) -> list[str]:
    return [one.clash.field if one.clash else "" for one in outcomes]


async def test_a_file_is_there_with_all_that_was_said(store: Store, reopen: Reopen) -> None:
    new = a_file(
        "run17.h5",
        {"particle": "gamma", "runNumber": 17, "moon": True, "thetaP": 20.5},
        sha256="ab" * 32,
        owner_id=7,
        job_id=5,
        epoch=2,
    )
    (outcome,) = await register(store, new)
    store = await reopen(store)
    row = await the_file(store, "run17.h5")

    assert outcome.new and outcome.clash is None and outcome.file_id == row.file_id
    assert (row.bytes, row.adler32, row.sha256) == (1_000, "0a0b0c0d", "ab" * 32)
    assert row.metadata == dict(new.metadata)
    assert (row.state, row.owner_id, row.job_id, row.epoch) == (FileState.AVAILABLE, 7, 5, 2)
    assert row.created_at == NOW
    (copy,) = (await store.read(catalogue_read.replicas_of, [row.file_id]))[row.file_id]
    assert (copy.storage, copy.path, copy.state) == (
        "PIC",
        "prod6/run17.h5",
        ReplicaState.AVAILABLE,
    )


async def test_what_comes_again_changes_nothing(store: Store) -> None:
    files = [a_file(f"run{n}", {"run": n}) for n in range(3)]
    await register(store, *files)
    seq = await store.read(catalogue_read.last_change, CTAO)
    again = await register(store, *reversed(files))

    assert [(one.new, one.changed, one.clash) for one in again] == [(False, False, None)] * 3
    assert await store.read(catalogue_read.last_change, CTAO) == seq


async def test_a_name_twice_in_a_batch_is_registered_once(store: Store) -> None:
    outcomes = await register(
        store, a_file("one"), a_file("one"), a_file("one", bytes=5), a_file("two")
    )

    assert [one.new for one in outcomes] == [True, False, False, True]
    assert clashes(outcomes) == ["", "", "bytes", ""]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"bytes": 1_001}, "bytes"),
        ({"adler32": "00000001"}, "adler32"),
        ({"adler32": "", "sha256": "00" * 32}, "adler32"),
        ({"metadata": {"run": 18}}, "metadata.run"),
        ({"metadata": {"run": "17"}}, "metadata.run"),
        ({"metadata": {"run": True}}, "metadata.run"),
    ],
)
async def test_other_bytes_or_values_clash_and_the_others_are_stored(
    store: Store, given: dict[str, Any], field: str
) -> None:
    await register(store, a_file("run17", {"run": 17}))
    before = await the_file(store, "run17")
    outcomes = await register(store, a_file("a"), a_file("run17", **given), a_file("b"))

    assert clashes(outcomes) == ["", field, ""]
    assert [one.new for one in outcomes] == [True, False, True]
    assert await the_file(store, "run17") == before


async def test_what_is_new_of_a_file_is_added(store: Store) -> None:
    await register(store, a_file("one", {"run": 1}))
    (outcome,) = await register(
        store,
        a_file(
            "one",
            {"run": 1, "nsb": 5},
            sha256="cd" * 32,
            replicas=(NewReplica(storage="CSCS", path="x"),),
        ),
    )
    row = await the_file(store, "one")

    assert outcome.changed and not outcome.new
    assert (row.metadata, row.sha256) == ({"run": 1, "nsb": 5}, "cd" * 32)
    copies = (await store.read(catalogue_read.replicas_of, [row.file_id]))[row.file_id]
    assert [copy.storage for copy in copies] == ["CSCS", "PIC"]


async def test_a_text_is_shown_as_one(store: Store) -> None:
    await register(store, a_file("one", {"zenith": 20}))
    (outcome,) = await register(store, a_file("two", {"zenith": "20"}))

    assert str(outcome.clash).startswith("metadata.zenith: found '20', expected a number")


async def test_a_batch_has_a_bound(store: Store) -> None:
    with pytest.raises(ValueError, match="batch"):
        await register(store, *[a_file(str(n)) for n in range(CHUNK_MAX + 1)])


async def test_communities_know_nothing_of_each_other(store: Store) -> None:
    await register(store, a_file("one", {"run": 1}))
    (outcome,) = await register(store, a_file("one", {"run": "text"}, bytes=5), community="lhcb")

    assert outcome.new
    assert await found(store, {"run": 1}) == ["one"]
    assert [key.type for key in await store.read(catalogue_read.keys, "lhcb")] == [KeyType.STRING]
    assert len(await store.read(catalogue_read.files_changed, "lhcb", 0, limit=10)) == 1
    assert await store.read(catalogue_read.last_change, "nobody") == 0
    assert await store.read(catalogue_read.files_by_did, "nobody", [Did("prod6", "one")]) == [None]


async def test_queries_find_files_whether_a_key_is_shared_or_own(store: Store) -> None:
    await register(store, a_file("old", {"particle": "gamma", "run": 3}))
    many = [
        a_file(f"run{n}", {"particle": "gamma" if n % 2 else "proton", "run": n})
        for n in range(64)  # so many different values make the key each file's own
    ]
    await register(store, *many)

    assert await found(store, {"run": 3}) == ["old", "run3"]
    assert await found(store, {"run": {">=": 62}}) == ["run62", "run63"]
    assert await found(store, {"particle": "gamma", "run": {"in": [1, 2, 3]}}) == [
        "old",
        "run1",
        "run3",
    ]
    assert len(await found(store, {"particle": "proton", "run": {"!=": 4}})) == 31
    assert await found(store, {"run": {"exists": False}}) == []
    assert len(await found(store, {})) == 65


async def test_a_key_that_no_file_has_finds_nothing(store: Store) -> None:
    await register(store, a_file("one"))

    assert await found(store, {"nothing": 1}) == []
    assert await found(store, {"nothing": {"exists": False}}) == ["one"]


async def test_metadata_are_set_and_removed(store: Store) -> None:
    await register(store, *[a_file(f"run{n}", {"run": n, "nsb": 1}) for n in range(40)])
    seq = await store.read(catalogue_read.last_change, CTAO)
    outcomes = await store.write(
        file_records.set_metadata,
        CTAO,
        [
            MetadataChange(did=Did("prod6", "run1"), metadata={"run": 100, "split": "test"}),
            MetadataChange(did=Did("prod6", "run2"), metadata={}, remove=("run", "other")),
            MetadataChange(did=Did("prod6", "run3"), metadata={"run": 3}),
            MetadataChange(did=Did("prod6", "run4"), metadata={"run": "4"}),
            MetadataChange(did=Did("prod6", "none"), metadata={"run": 4}),
        ],
    )

    assert [one.changed for one in outcomes] == [True, True, False, False, False]
    assert clashes(outcomes) == ["", "", "", "metadata.run", "did"]
    assert await found(store, {"run": 100}) == ["run1"]
    assert await found(store, {"run": 1}) == []
    assert await found(store, {"run": {"exists": False}}) == ["run2"]
    assert await found(store, {"split": "test"}) == ["run1"]
    changed = await store.read(catalogue_read.files_changed, CTAO, seq, limit=10)
    assert [row.did.name for row in changed] == ["run1", "run2"]


async def test_what_has_changed_comes_once_and_in_order(store: Store) -> None:
    await register(store, a_file("a"), a_file("b"), a_file("c"))
    await store.write(
        file_records.set_metadata,
        CTAO,
        [MetadataChange(did=Did("prod6", "a"), metadata={"n": 1})],
    )
    rows = await store.read(catalogue_read.files_changed, CTAO, 0, limit=2)
    rest = await store.read(catalogue_read.files_changed, CTAO, rows[-1].seq, limit=2)

    assert [row.did.name for row in rows + rest] == ["b", "c", "a"]
    assert rest[-1].seq == await store.read(catalogue_read.last_change, CTAO)
    assert await store.read(catalogue_read.files_changed, CTAO, rest[-1].seq, limit=2) == []


async def test_a_file_whose_last_good_copy_is_bad_is_lost(store: Store) -> None:
    await register(store, a_file("one"))
    did = Did("prod6", "one")

    async def change(storage: str, state: ReplicaState | None, path: str = "") -> str:
        (outcome,) = await store.write(
            file_records.change_replicas,
            CTAO,
            [ReplicaChange(did=did, storage=storage, state=state, path=path)],
            at=NOW,
        )
        return outcome.clash.field if outcome.clash else (await the_file(store, "one")).state.value

    assert await change("CSCS", ReplicaState.AVAILABLE) == "storage"
    assert await change("CSCS", ReplicaState.COPYING, "x/one") == "Available"
    assert await change("PIC", ReplicaState.BAD) == "Missing"
    assert await change("CSCS", ReplicaState.AVAILABLE) == "Available"
    assert await change("CSCS", ReplicaState.BAD) == "Lost"
    assert await found(store, {}) == []
    assert await found(store, {}, states=PRESENT) == ["one"]
    assert await change("CSCS", None) == "Lost"
    assert await change("PIC", None) == "Missing"


async def test_a_corrupt_copy_is_not_healed_by_its_registration(store: Store) -> None:
    await register(store, a_file("one"))
    bad = ReplicaChange(did=Did("prod6", "one"), storage="PIC", state=ReplicaState.BAD)
    await store.write(file_records.change_replicas, CTAO, [bad], at=NOW)
    (same,) = await register(store, a_file("one"))
    lost = (await the_file(store, "one")).state
    (other,) = await register(
        store, a_file("one", replicas=(NewReplica(storage="PIC", path="again/one"),))
    )

    assert (same.changed, lost) == (False, FileState.LOST)
    assert other.changed
    assert (await the_file(store, "one")).state is FileState.AVAILABLE


@pytest.mark.parametrize(
    ("state", "says"),
    [("Available", "refused"), ("Copying", "refused"), ("Bad", "moved"), ("Missing", "moved")],
)
async def test_a_copy_that_may_be_good_keeps_its_path(store: Store, state: str, says: str) -> None:
    copy = NewReplica(storage="PIC", path="put/one", state=ReplicaState(state))
    await register(store, a_file("one", replicas=(copy,)))
    (outcome,) = await register(store, a_file("one"))
    row = await the_file(store, "one")
    (found_copy,) = (await store.read(catalogue_read.replicas_of, [row.file_id]))[row.file_id]

    assert clashes([outcome]) == (["replicas.path"] if says == "refused" else [""])
    assert found_copy.path == ("put/one" if says == "refused" else "prod6/one")


async def test_who_registers_only_their_own_brings_nothing_new_of_others_files(
    store: Store,
) -> None:
    dataset = Did("prod6", "some")
    await store.write(
        dataset_records.make_dataset, CTAO, NewDataset(did=dataset, metadata={"nsb": 1}), at=NOW
    )
    there = a_file("one", {"run": 1}, owner_id=1, datasets=(dataset,))
    await register(store, there)
    seq, before = await store.read(catalogue_read.last_change, CTAO), await the_file(store, "one")
    await store.write(
        dataset_records.make_dataset, CTAO, NewDataset(did=Did("prod6", "more")), at=NOW
    )

    def by_two(**given: Any) -> NewFile:
        fields: dict[str, Any] = {"metadata": {"run": 1}, "owner_id": 2, "own": True}
        return a_file("one", **{**fields, **given})

    outcomes = await register(
        store,
        by_two(),
        by_two(datasets=(dataset,)),
        by_two(metadata={"run": 1, "moon": True}),
        by_two(replicas=(NewReplica(storage="CSCS", path="x"),)),
        by_two(datasets=(Did("prod6", "more"),)),
        by_two(sha256="ab" * 32),
    )
    assert clashes(outcomes) == ["", "", "metadata", "replicas", "datasets", "sha256"]
    assert not any(one.changed for one in outcomes)
    assert await the_file(store, "one") == before
    assert await store.read(catalogue_read.last_change, CTAO) == seq
    (mine,) = await register(store, by_two(owner_id=1, sha256="ab" * 32))
    assert mine.changed


async def test_a_removed_name_stays_taken_and_the_same_file_may_come_back(store: Store) -> None:
    await register(store, a_file("one", {"run": 1}))
    did = Did("prod6", "one")
    first = await store.write(file_records.remove_files, CTAO, [did], at=NOW)
    again = await store.write(file_records.remove_files, CTAO, [did, Did("prod6", "none")], at=NOW)
    gone = await the_file(store, "one")
    copies = (await store.read(catalogue_read.replicas_of, [gone.file_id]))[gone.file_id]

    assert [one.changed for one in first + again] == [True, False, False]
    assert clashes(again) == ["", "did"]
    assert gone.state is FileState.REMOVED
    assert [copy.state for copy in copies] == [ReplicaState.MISSING]
    assert await found(store, {"run": 1}, states=PRESENT) == []
    assert await found(store, {"run": 1}, states=ALL) == ["one"]
    assert clashes(await register(store, a_file("one", bytes=5))) == ["bytes"]
    assert (await register(store, a_file("one")))[0].changed
    assert await found(store, {"run": 1}) == ["one"]


async def test_files_inherit_what_their_dataset_has(store: Store) -> None:
    dataset = Did("prod6", "gammas")
    made = await store.write(
        dataset_records.make_dataset,
        CTAO,
        NewDataset(did=dataset, metadata={"particle": "gamma", "nsb": 1}),
        at=NOW,
    )
    again = await store.write(
        dataset_records.make_dataset,
        CTAO,
        NewDataset(did=dataset, metadata={"particle": "gamma", "nsb": 1}),
        at=NOW,
    )
    await register(store, a_file("one", {"nsb": 5}, datasets=(dataset,)), a_file("two"))
    seq = await store.read(catalogue_read.last_change, CTAO)
    attached = await store.write(
        dataset_records.attach,
        CTAO,
        dataset,
        [Did("prod6", "two"), Did("prod6", "one"), Did("prod6", "no")],
    )

    assert made == again
    assert (await the_file(store, "one")).metadata == {"particle": "gamma", "nsb": 5}
    assert (await the_file(store, "two")).metadata == {}
    assert [one.changed for one in attached] == [True, False, False]
    assert clashes(attached) == ["", "", "did"]
    assert await found(store, {"dataset": "prod6:gammas"}) == ["one", "two"]
    assert await found(store, {"dataset": "prod6:gammas", "nsb": 5}) == ["one"]
    assert await found(store, {"dataset": "prod6:none"}) == []
    changed = await store.read(catalogue_read.files_changed, CTAO, seq, limit=9)
    assert [row.did.name for row in changed] == ["two"]
    assert await store.read(catalogue_read.datasets_of, [row.file_id for row in changed]) == {
        changed[0].file_id: [dataset]
    }
    (gone,) = await store.write(dataset_records.detach, CTAO, dataset, [Did("prod6", "one")])
    assert gone.changed
    assert await found(store, {"dataset": "prod6:gammas"}) == ["two"]


async def test_a_closed_dataset_takes_no_files(store: Store) -> None:
    dataset = Did("prod6", "gammas")
    missing = await register(store, a_file("zero", datasets=(dataset,)))
    await store.write(dataset_records.make_dataset, CTAO, NewDataset(did=dataset), at=NOW)
    await register(store, a_file("one", datasets=(dataset,)), a_file("two"))
    closed = await store.write(dataset_records.open_dataset, CTAO, dataset, False)
    refused = await register(store, a_file("three", datasets=(dataset,)))
    attached = await store.write(dataset_records.attach, CTAO, dataset, [Did("prod6", "two")])
    row = await store.read(dataset_records.dataset, CTAO, dataset)

    assert closed and row is not None and not row.is_open
    assert clashes(missing) == clashes(refused) == ["datasets"]
    assert clashes(attached) == ["dataset"]
    assert not await store.write(dataset_records.open_dataset, CTAO, Did("prod6", "none"), True)
    assert await store.read(dataset_records.dataset, CTAO, Did("prod6", "none")) is None


async def test_files_and_datasets_have_different_names(store: Store) -> None:
    await store.write(
        dataset_records.make_dataset, CTAO, NewDataset(did=Did("prod6", "set")), at=NOW
    )
    await register(store, a_file("file"))

    assert clashes(await register(store, a_file("set"))) == ["did"]
    with pytest.raises(BadCatalogueField, match="a file has this one"):
        await store.write(
            dataset_records.make_dataset, CTAO, NewDataset(did=Did("prod6", "file")), at=NOW
        )
    with pytest.raises(
        BadCatalogueField,
        match=r"metadata\.a: found 1, expected no such key: ",
    ):
        await store.write(
            dataset_records.make_dataset,
            CTAO,
            NewDataset(did=Did("prod6", "set"), metadata={"a": 1}),
            at=NOW,
        )


async def test_datasets_are_listed_page_by_page(store: Store) -> None:
    dids = [Did(scope, name) for scope in ("a", "b") for name in ("x", "y", "z")]
    for did in reversed(dids):
        await store.write(dataset_records.make_dataset, CTAO, NewDataset(did=did), at=NOW)
    first = await store.read(catalogue_read.datasets, CTAO, after=None, limit=4)
    rest = await store.read(catalogue_read.datasets, CTAO, after=first[-1].did, limit=4)

    assert [row.did for row in first + rest] == dids


async def test_keys_have_one_type(store: Store) -> None:
    await store.write(file_records.add_keys, CTAO, {"run": KeyType.NUMBER, "site": KeyType.STRING})
    await store.write(file_records.add_keys, CTAO, {"run": KeyType.NUMBER})

    with pytest.raises(BadCatalogueField, match=r"keys\.run.*its type"):
        await store.write(file_records.add_keys, CTAO, {"run": KeyType.STRING})
    assert [(key.key, key.type) for key in await store.read(catalogue_read.keys, CTAO)] == [
        ("run", KeyType.NUMBER),
        ("site", KeyType.STRING),
    ]
    assert clashes(await register(store, a_file("one", {"site": 1}))) == ["metadata.site"]


async def test_jobs_files_are_found(store: Store) -> None:
    await register(store, a_file("one", job_id=5, epoch=1), a_file("two", job_id=6, epoch=1))

    assert [
        row.did.name for row in await store.read(catalogue_read.files_of_jobs, [5], limit=9)
    ] == ["one"]
    assert await store.read(catalogue_read.inputs_of_jobs, [5]) == {}
    assert await store.read(catalogue_read.jobs_reading, [1], limit=9) == []


async def test_many_at_once_register_each_file_once_whatever_fails_beside_them(
    store: Store, reopen: Reopen
) -> None:
    await store.write(file_records.add_keys, CTAO, {"run": KeyType.NUMBER})
    wrong = {"run": KeyType.STRING, "other": KeyType.NUMBER}

    async def refused() -> None:
        with pytest.raises(BadCatalogueField):
            await store.write(file_records.add_keys, CTAO, wrong)

    async def some(start: int) -> list[ItemOutcome]:
        files = [
            a_file(
                f"run{n}",
                {"run": n, f"key{n % 7}": n % 3, "site": f"S{n % 2}"},
                did=Did(f"scope{n % 5}", f"run{n}"),
            )
            for n in range(start, start + 50)
        ]
        return await store.write(registration.register_files, CTAO, files, at=NOW)

    calls = [call for n in range(6) for call in (some(25 * n), refused(), some(25 * n))]
    answers = [one for one in await asyncio.gather(*calls) if one is not None]
    store = await reopen(store)
    rows = await store.read(catalogue_read.files_changed, CTAO, 0, limit=1_000)

    outcomes = [outcome for answer in answers for outcome in answer]
    assert all(outcome.clash is None for outcome in outcomes)
    assert sum(outcome.new for outcome in outcomes) == len(rows) == 175
    assert len({row.did for row in rows}) == len({row.file_id for row in rows}) == 175
    assert await found(store, {"run": {">=": 170}, "site": "S1"}) == ["run171", "run173"]
    assert "other" not in [key.key for key in await store.read(catalogue_read.keys, CTAO)]


async def test_what_is_searched_for_is_no_statement(store: Store) -> None:
    strange = ["'; DROP TABLE file; --", "%_*?[a]", '"quoted"', "\\back", "ünï", "a=b,c>d"]
    await register(
        store, *[a_file(f"f{n}", {"word": word}) for n, word in enumerate(strange)], a_file("'x'")
    )

    for n, word in enumerate(strange):
        assert await found(store, {"word": word}) == [f"f{n}"]
        assert await found(store, {"word": {"in": [word]}}) == [f"f{n}"]
    assert (await the_file(store, "'x'")).metadata == {}
    assert await found(store, {"word": {"like": "%_[*]?[a]"}}) == []
    assert await found(store, {"word": {"like": "*[a]"}}) == ["f1"]


async def test_a_file_has_so_many_keys_and_no_more(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"k{n}": n for n in range(64)}
    outcomes = await register(store, a_file("a", many), a_file("b", {"k0": 0}))
    more = MetadataChange(did=Did("prod6", "a"), metadata={"one": 1})
    (full,) = await store.write(file_records.set_metadata, CTAO, [more])
    for module in ("record_registration", "record_files"):
        monkeypatch.setattr(f"pilotage.central.catalogue.{module}.KEYS_MAX", 64)
    beyond = await register(store, a_file("c", {"new": 1}), a_file("d", {"k1": 1}))
    change = MetadataChange(did=Did("prod6", "b"), metadata={"new": 1})
    changed = await store.write(file_records.set_metadata, CTAO, [change])

    assert clashes(outcomes) == ["", ""]
    assert full.clash is not None and full.clash.field == "metadata"
    assert clashes(beyond) == ["metadata.new", ""]
    assert clashes(changed) == ["metadata.new"]


async def test_files_are_listed_by_a_pattern_of_their_names(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_read, "PAGE_READ", 2)
    names = ["a", "run", "run/1.h5", "run/2.h5", "run/2.log", "run/é[1].h5", "rune", "z"]
    await register(store, *(a_file(name) for name in names))
    await register(store, a_file("run/3.h5", did=Did("other", "run/3.h5")))
    await store.write(file_records.remove_files, CTAO, [Did("prod6", "run/1.h5")], at=NOW)

    async def like(pattern: str) -> list[str]:
        listed, after = list[str](), ""
        while True:
            rows, following = await store.read(
                catalogue_read.files_like, CTAO, Did("prod6", pattern), after=after, limit=2
            )
            listed += [row.did.name for row in rows]
            if following is None:
                return listed
            after = following

    assert await like("run*.h5") == ["run/2.h5", "run/é[1].h5"]
    assert await like("run/?.*") == ["run/2.h5", "run/2.log"]
    assert await like("run/é[1]*") == ["run/é[1].h5"]
    assert await like("*") == [name for name in names if name != "run/1.h5"]
    assert await like("run") == ["run"]
    assert await like("nothing*") == []


async def test_bytes_are_counted_by_scope_dataset_and_storage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_read, "COUNTED_MAX", 2)
    largest = 2**53 - 1
    both = (NewReplica(storage="PIC", path="x"), NewReplica(storage="CSCS", path="x"))
    bad = (NewReplica(storage="CSCS", path="y", state=ReplicaState.BAD),)
    new = NewDataset(did=Did("prod6", "set"), metadata={}, owner_id=7)
    made = await store.write(dataset_records.make_dataset, CTAO, new, at=NOW)
    inside: dict[str, Any] = {"datasets": (Did("prod6", "set"),)}
    await register(
        store,
        a_file("one", bytes=largest, replicas=both, **inside),
        a_file("two", bytes=largest, replicas=bad, **inside),
        a_file("three", bytes=5, **inside),
        a_file("four", bytes=7),
        a_file("gone", bytes=9, **inside),
        a_file("b", bytes=3, did=Did("prod6.b", "b")),
        a_file("a", bytes=1, did=Did("a", "a")),
    )
    await store.write(file_records.remove_files, CTAO, [Did("prod6", "gone")], at=NOW)

    async def counted(count: Any, *given: Any, first: Any) -> dict[tuple[str, str], list[int]]:
        found, after = dict[tuple[str, str], list[int]](), first
        while True:
            rows, following = await store.read(count, *given, after=after)
            for scope, storage, files, size in rows:
                sums = found.setdefault((scope, storage), [0, 0])
                sums[0], sums[1] = sums[0] + files, sums[1] + size
            if following is None:
                return found
            after = type(first)(following)

    of_prod6 = {
        ("prod6", ""): [4, 2 * largest + 12],
        ("prod6", "PIC"): [3, largest + 12],
        ("prod6", "CSCS"): [1, largest],
    }
    scopes = catalogue_read.usage_of_scopes
    assert await counted(scopes, CTAO, "prod6", first="") == of_prod6
    others = {("a", ""): [1, 1], ("a", "PIC"): [1, 1], ("prod6.b", ""): [1, 3]}
    assert await counted(scopes, CTAO, "", first="") == {
        **of_prod6,
        **others,
        ("prod6.b", "PIC"): [1, 3],
    }
    assert await counted(scopes, CTAO, "prod", first="") == {}
    assert await counted(scopes, "other", "", first="") == {}
    assert await counted(catalogue_read.usage_of_dataset, "prod6", made.dataset_id, first=0) == {
        ("prod6", ""): [3, 2 * largest + 5],
        ("prod6", "PIC"): [2, largest + 5],
        ("prod6", "CSCS"): [1, largest],
    }
