"""The mirror of a Rucio server: what gets into the catalogue, when, and what never does."""

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.central.catalogue import (
    record_datasets as dataset_records,
    record_read as catalogue_read,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.record_types import (
    PRESENT,
    FileCursor,
    FileRow,
    NewFile,
    NewReplica,
)
from pilotage.central.catalogue.storages import (
    StorageBook,
    StorageCredential,
    StorageEntry,
    Storages,
)
from pilotage.central.rucio import remote_files
from pilotage.central.rucio.files import RucioEntry, RucioInput
from pilotage.central.rucio.server_mirror import (
    COMPARE_FIRST_S,
    COMPARE_S,
    PAUSE_S,
    ServerMirror,
)
from pilotage.proto.catalogue import Did, FileState, Query
from tests.fake_central import FakeClock
from tests.fake_rucio import FakeRucio
from tests.memory_store import MemoryStore

OWNER = 7
DATASET = RucioInput(scope="raw", dataset="/night")


def storage(host: str) -> StorageEntry:
    return StorageEntry(type="http", url=f"https://{host}.example.org/top", readable=True)


class World:
    """A server with a dataset of a file, and its mirror."""

    def __init__(self, *inputs: RucioInput) -> None:
        self.clock = FakeClock()
        self.rucio = FakeRucio(self.clock.wall, "A", "B", "C")
        self.store = MemoryStore(clock_wall=self.clock.wall)
        self.storages = Storages()
        places = {"sa": storage("a"), "sb": storage("b")}
        davs = {name: StorageEntry(type="davs", url=one.url) for name, one in places.items()}
        self.storages.book = StorageBook(davs)
        self.said: list[tuple[str, dict[str, Any]]] = []
        entry = RucioEntry(
            url="https://rucio.example.org",
            account="pilotage",
            community="ctao",
            credential=StorageCredential(source="issuer"),
            storages={"A": "sa", "B": "sb"},
            strip="/",
            inputs=inputs or (DATASET,),
        )
        self.mirror = ServerMirror(
            "one",
            entry,
            self.rucio,
            OWNER,
            store=self.store,
            storages=self.storages,
            clock=self.clock,
            log=lambda event, **fields: self.said.append((event, fields)),
            hide=lambda: None,
        )
        self.rucio.add("raw:/f1", run=1)
        self.rucio.dataset("raw:/night", "raw:/f1")

    async def after(self, seconds: float = 60.0) -> None:
        """Let one turn happen after some time."""
        await self.mirror.turn()
        self.clock.move(seconds)
        await self.mirror.turn()

    async def compared(self) -> None:
        self.mirror.compare_now()
        await self.mirror.turn()

    async def file(self, name: str, scope: str = "raw") -> FileRow | None:
        (row,) = await self.store.read(catalogue_read.files_by_did, "ctao", [Did(scope, name)])
        return row

    async def state(self, name: str) -> FileState | None:
        row = await self.file(name)
        return row.state if row else None

    async def copies(self, name: str) -> dict[str, str]:
        row = await self.file(name)
        assert row is not None
        found = await self.store.read(catalogue_read.replicas_of, [row.file_id])
        return {one.storage: one.path for one in found.get(row.file_id, ())}

    async def inside(self, name: str = "night") -> list[str]:
        query = Query((), Did("raw", name))
        page = await self.store.read(
            catalogue_read.find_files,
            "ctao",
            query,
            states=PRESENT,
            after=FileCursor(),
            limit=100,
        )
        return sorted(row.did.name for row in page.files)

    async def is_open(self, name: str = "night") -> bool:
        row = await self.store.read(dataset_records.dataset, "ctao", Did("raw", name))
        assert row is not None
        return row.is_open

    def troubles(self) -> dict[str, str]:
        return {name: why for one in self.mirror.inputs for name, why in one.troubles.items()}


async def test_a_file_of_a_dataset_gets_its_copies_metadata_and_dataset() -> None:
    world = World()
    world.rucio.file("raw:/f1").meta |= {"kind": "gamma", "good": True}
    world.rucio.file("raw:/f1").copies["B"] = "davs://b.example.org/top//other/f1"
    world.rucio.file("raw:/f1").copies["C"] = "davs://c.example.org/elsewhere"

    await world.mirror.turn()

    row = await world.file("f1")
    assert row is not None
    assert (row.bytes, row.adler32, row.sha256, row.owner_id) == (3, "0000000a", "", OWNER)
    assert row.metadata == {"run": 1, "kind": "gamma", "good": True}
    assert await world.copies("f1") == {"sa": "data/f1", "sb": "other/f1"}
    assert await world.inside() == ["f1"]
    assert await world.is_open()


async def test_a_file_without_required_keys_is_looked_at_again() -> None:
    world = World(RucioInput(scope="raw", dataset="/night", required=("run", "energy")))
    await world.mirror.turn()
    (state,) = world.mirror.inputs
    before = await world.file("f1"), state.waiting
    world.rucio.file("raw:/f1").meta["energy"] = 20

    await world.after()

    assert before == (None, 1)
    assert await world.state("f1") is FileState.AVAILABLE
    assert (state.waiting, state.files) == (0, 1)


async def test_a_file_without_a_copy_here_waits_for_one() -> None:
    world = World()
    world.rucio.file("raw:/f1").copies = {"C": "davs://c.example.org/x"}
    await world.mirror.turn()
    before = await world.file("f1"), dict(world.mirror.inputs[0].content(("raw", "/night")).waiting)
    world.rucio.file("raw:/f1").copies["B"] = "davs://b.example.org/top/f1"

    await world.after()

    assert before == (None, {("raw", "/f1"): "it has no copy on A, B"})
    assert await world.copies("f1") == {"sb": "f1"}


async def test_a_dataset_that_is_closed_and_here_is_asked_for_its_state_alone() -> None:
    world = World()
    world.rucio.dataset("raw:/night").open = False
    await world.mirror.turn()
    closed = not await world.is_open()
    world.rucio.asked.clear()

    await world.after()

    assert closed
    assert world.rucio.asked == ["/rses/A", "/rses/B", "/dids/raw//night"]


async def test_a_dataset_that_opens_again_is_followed() -> None:
    world = World()
    dataset = world.rucio.dataset("raw:/night")
    dataset.open = False
    await world.mirror.turn()
    world.rucio.add("raw:/f2")
    dataset.names.append(("raw", "/f2"))
    dataset.open = True

    await world.after()
    opened = await world.inside(), await world.is_open()
    dataset.open = False
    dataset.names.remove(("raw", "/f1"))
    await world.after()

    assert opened == (["f1", "f2"], True)
    assert (await world.inside(), await world.is_open()) == (["f2"], False)


async def test_an_event_makes_the_next_poll_come_at_once() -> None:
    world = World()
    await world.mirror.turn()
    world.clock.move(5.0)
    world.rucio.add("raw:/f2")
    world.rucio.dataset("raw:/night", "raw:/f2").open = False
    await world.mirror.turn()
    before = await world.inside()

    world.mirror.hint("raw", "/night", changed=False)
    await world.mirror.turn()

    assert before == ["f1"]
    assert (await world.inside(), await world.is_open()) == (["f1", "f2"], False)


async def test_many_events_make_one_poll_a_second() -> None:
    world = World()
    await world.mirror.turn()
    world.rucio.asked.clear()

    for _ in range(100):
        world.mirror.hint("raw", "/f1", changed=False)
        await world.mirror.turn()
        world.clock.move(0.02)

    assert world.rucio.asked.count("/dids/raw//night/dids") == 1


async def test_files_whose_events_are_lost_are_found_by_the_next_poll() -> None:
    world = World()
    await world.mirror.turn()
    world.rucio.add("raw:/f2")
    world.rucio.dataset("raw:/night", "raw:/f2")

    await world.after(60.0)

    assert await world.inside() == ["f1", "f2"]


async def test_a_container_is_a_dataset_of_all_its_files() -> None:
    world = World(RucioInput(scope="raw", container="/all"))
    world.rucio.add("raw:/f2")
    world.rucio.dataset("raw:/night2", "raw:/f2")
    world.rucio.dataset("raw:/inner", "raw:/night2", kind="CONTAINER")
    world.rucio.dataset("raw:/all", "raw:/night", "raw:/inner", kind="CONTAINER")
    await world.mirror.turn()
    first = await world.inside("all"), await world.inside("night2"), await world.is_open("all")
    for name in ("raw:/night", "raw:/night2", "raw:/all"):
        world.rucio.dataset(name).open = False

    await world.after()

    assert first == (["f1", "f2"], ["f2"], True)
    assert not await world.is_open("all")


async def test_a_scope_with_a_filter_takes_the_files_that_match() -> None:
    world = World(RucioInput(scope="raw", filter="run>=2,kind=gamma"))
    world.rucio.add("raw:/f2", run=2, kind="gamma")
    world.rucio.add("raw:/f3", run=3, kind="proton")
    world.rucio.add("other:/f4", run=4, kind="gamma")
    await world.mirror.turn()
    first = [await world.state(name) for name in ("f1", "f2", "f3")]
    world.clock.move(10_000.0)
    world.rucio.add("raw:/f5", run=5, kind="gamma")
    world.rucio.file("raw:/f1").meta |= {"run": 2, "kind": "gamma"}  # it had no kind before

    await world.after()

    assert first == [None, FileState.AVAILABLE, None]
    assert await world.state("f1") is FileState.AVAILABLE
    assert await world.state("f5") is FileState.AVAILABLE
    assert await world.file("f4", "other") is None


async def test_a_known_file_is_not_asked_for_after_a_restart() -> None:
    world = World(RucioInput(scope="raw"))
    await world.mirror.turn()
    again = World(RucioInput(scope="raw"))
    again.mirror._store = world.store
    again.rucio.asked.clear()

    await again.mirror.turn()

    assert again.rucio.asked == ["/rses/A", "/rses/B", "/dids/raw/dids/search"]
    assert again.mirror.inputs[0].files == 1


@pytest.mark.parametrize("other", [{"size": 4}, {"adler32": "0000000b"}])
@pytest.mark.parametrize("knows", [True, False])
async def test_other_bytes_under_a_known_name_are_named_and_never_taken_over(
    other: dict[str, Any], knows: bool
) -> None:
    """`knows`: the list of the dataset has the bytes already."""
    world = World(DATASET if knows else RucioInput(scope="raw"))
    copy = NewReplica(storage="sb", path="mine")
    mine = NewFile(did=Did("raw", "f1"), bytes=3, adler32="0000000a", replicas=(copy,), owner_id=1)
    await world.store.write(registration.register_files, "ctao", [mine], at=1.0)
    world.rucio.add("raw:/f1", **other)

    await world.compared()

    row = await world.file("f1")
    assert row is not None and (row.bytes, row.adler32) == (3, "0000000a")
    assert await world.copies("f1") == {"sb": "mine"}
    assert "the file of this name here has" in world.troubles()["raw:/f1"]
    assert [event for event, _ in world.said] == ["rucio_skipped"]


async def test_a_file_of_a_job_keeps_its_metadata_and_gets_copies() -> None:
    world = World()
    mine = NewFile(
        did=Did("raw", "f1"), bytes=3, adler32="0000000a", owner_id=1, metadata={"run": 9}
    )
    await world.store.write(registration.register_files, "ctao", [mine], at=1.0)

    await world.mirror.turn()

    row = await world.file("f1")
    assert row is not None and (row.metadata, row.owner_id) == ({"run": 9}, 1)
    assert await world.copies("f1") == {"sa": "data/f1"}
    assert await world.inside() == ["f1"]


BAD: dict[str, tuple[Callable[[FakeRucio], object], str]] = {
    "a name": (lambda rucio: rucio.dataset("raw:/night", "raw:/a//b"), "raw:/a//b"),
    "no prefix": (lambda rucio: rucio.dataset("raw:/night", "raw:a"), "raw:a"),
    "no checksum": (lambda rucio: rucio.dataset("raw:/night", "raw:/md5"), "raw:/md5"),
    "a checksum": (lambda rucio: rucio.dataset("raw:/night", "raw:/rot"), "raw:/rot"),
    "a way out": (lambda rucio: rucio.dataset("raw:/night", "raw:/out"), "raw:/out"),
    "a place": (lambda rucio: rucio.dataset("raw:/night", "raw:/far"), "raw:/far"),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_file_that_we_cannot_hold_is_named_and_skipped(what: str) -> None:
    make, name = BAD[what]
    world = World()
    for did in ("raw:/a//b", "raw:a", "raw:/far"):
        world.rucio.add(did)
    world.rucio.add("raw:/md5", adler32=None)
    world.rucio.add("raw:/rot", adler32="xyz")
    world.rucio.add("raw:/out")
    world.rucio.file("raw:/out").copies = {"A": "davs://a.example.org/top/../etc/x"}
    world.rucio.file("raw:/far").copies = {"A": "davs://a.example.org/topless/far"}
    make(world.rucio)

    await world.after()

    assert list(world.troubles()) == [name]
    assert await world.inside() == ["f1"]
    assert len(world.said) == 1


async def test_a_key_of_another_type_is_left_out_or_converted() -> None:
    world = World()
    mine = NewFile(
        did=Did("raw", "mine"), bytes=3, adler32="1", metadata={"good": True, "energy": 1.5}
    )
    await world.store.write(registration.register_files, "ctao", [mine], at=1.0)
    world.rucio.file("raw:/f1").meta = {
        "good": "true",
        "energy": "20",
        "list": [1],
        "none": None,
        "9x": 1,
    }

    await world.mirror.turn()

    row = await world.file("f1")
    assert row is not None and row.metadata == {"good": True, "energy": 20}
    assert sorted(world.troubles()) == ["the key 9x", "the key list"]


async def test_a_comparison_removes_erased_files_and_follows_copies_and_metadata() -> None:
    world = World(DATASET, RucioInput(scope="raw"))
    world.rucio.add("raw:/f2", run=2)
    world.rucio.add("raw:/f3", run=3)
    world.rucio.dataset("raw:/night", "raw:/f2")
    await world.mirror.turn()
    world.rucio.erase("raw:/f1")
    world.rucio.file("raw:/f2").copies = {"B": "davs://b.example.org/top/moved"}
    world.rucio.file("raw:/f2").meta["run"] = 22
    world.rucio.dataset("raw:/night").names.clear()

    await world.after(COMPARE_FIRST_S)

    assert await world.state("f1") is FileState.REMOVED
    assert await world.copies("f1") == {}
    row = await world.file("f2")
    assert row is not None and row.metadata == {"run": 22}
    assert await world.copies("f2") == {"sb": "moved"}
    assert await world.state("f3") is FileState.AVAILABLE
    assert await world.inside() == []
    assert ("rucio_erased", {"rucio": "one", "count": 1, "first": "raw:f1"}) in world.said


async def test_erased_bytes_of_rucio_are_not_removed_by_us() -> None:
    world = World()
    await world.mirror.turn()
    world.rucio.erase("raw:/f1")

    await world.compared()

    row = await world.file("f1")
    assert row is not None and row.state is FileState.REMOVED
    assert await world.store.read(remnant_records.remnants_of_files, [row.file_id]) == []


async def test_an_erased_file_may_come_back() -> None:
    world = World()
    await world.mirror.turn()
    world.rucio.erase("raw:/f1")
    await world.compared()
    world.rucio.add("raw:/f1", run=1)
    world.rucio.dataset("raw:/night", "raw:/f1")

    await world.after()

    assert await world.state("f1") is FileState.AVAILABLE


async def test_a_server_that_shows_none_of_its_files_empties_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pilotage.central.rucio.server_mirror.LOST_MAX", 1)
    world = World(RucioInput(scope="raw"))
    world.rucio.add("raw:/f2")
    world.rucio.add("raw:/f3")
    await world.mirror.turn()
    for name in ("f1", "f2", "f3"):
        world.rucio.erase(f"raw:/{name}")

    await world.compared()

    assert await world.state("f1") is FileState.AVAILABLE
    assert world.said[-1][1]["why"] == "Rucio shows 0 of 3 files: none is removed here"


async def test_an_event_about_a_file_has_it_looked_at_again() -> None:
    world = World(DATASET, RucioInput(scope="raw"))
    world.rucio.add("raw:/f2")
    await world.mirror.turn()
    world.clock.move(2.0)
    world.rucio.file("raw:/f1").copies["B"] = "davs://b.example.org/top/f1"
    world.rucio.erase("raw:/f2")

    world.mirror.hint("raw", "/f1", changed=True)
    world.mirror.hint("raw", "/f2", changed=True)
    await world.mirror.turn()

    assert sorted(await world.copies("f1")) == ["sa", "sb"]
    assert await world.state("f2") is FileState.REMOVED


async def test_an_rse_that_is_off_is_told() -> None:
    world = World()
    await world.mirror.turn()
    world.rucio.readable["B"] = False

    await world.after()
    off = dict(world.mirror.off)
    world.rucio.readable["B"] = True
    await world.after()

    assert off == {"sb": "B"}
    assert world.mirror.off == {}
    assert [event for event, _ in world.said] == ["rse_off", "rse_on"]


async def test_a_server_that_is_away_is_asked_again_later_and_loses_nothing() -> None:
    world = World()
    world.rucio.is_away = True
    for _ in range(20):
        await world.after(1.0)
    tries = len(world.rucio.asked)
    world.rucio.is_away = False

    await world.after(8 * PAUSE_S)

    assert tries == 3  # at 0, 5 and 15 s
    assert await world.state("f1") is FileState.AVAILABLE
    assert world.mirror.why == ""


async def test_an_answer_that_ends_too_early_registers_nothing_and_comes_again() -> None:
    world = World()
    world.rucio.cut_at = "/dids/raw//night/dids"
    await world.mirror.turn()
    before = await world.file("f1"), world.mirror.why

    await world.after(PAUSE_S)

    assert before == (None, "/dids/raw//night/dids: incomplete")
    assert await world.inside() == ["f1"]


async def test_an_unknown_dataset_is_named_and_the_other_inputs_go_on() -> None:
    world = World(RucioInput(scope="raw", dataset="/nix"), DATASET)

    await world.mirror.turn()

    assert [one.why for one in world.mirror.inputs] == ["DataIdentifierNotFound: raw:/nix", ""]
    assert await world.inside() == ["f1"]


async def test_too_many_files_are_cut_and_named() -> None:
    world = World(RucioInput(scope="raw", files_max=2))
    for i in range(5):
        world.rucio.add(f"raw:/g{i}")

    await world.after()

    assert world.mirror.inputs[0].files == 2
    assert world.troubles() == {"scope raw": "has more files than files_max: 2"}


async def test_a_comparison_comes_once_a_day() -> None:
    world = World()
    await world.mirror.turn()
    compared: list[float] = []
    for _ in range(int((COMPARE_FIRST_S + COMPARE_S) / 600) + 1):
        await world.after(600.0)
        if world.mirror.compared_at and world.mirror.compared_at not in compared:
            compared.append(world.mirror.compared_at)

    assert len(compared) == 2
    assert compared[1] - compared[0] == COMPARE_S


async def test_a_hidden_storage_is_as_its_file_says_again_when_it_is_shown() -> None:
    world = World()
    world.storages.hide({"sa", "none"})
    hidden = {name: one.readable for name, one in world.storages.book.storages.items()}

    world.storages.hide(set())

    assert hidden == {"sa": False, "sb": True}
    assert world.storages.book.storages["sa"].readable


@pytest.mark.parametrize("size", [-1, 2**70])
async def test_an_impossible_size_holds_no_other_file(size: int) -> None:
    world = World()
    world.rucio.add("raw:/f2", size=size)
    world.rucio.dataset("raw:/night", "raw:/f2")
    await world.mirror.turn()

    assert await world.inside() == ["f1"]
    assert world.troubles()["raw:/f2"].startswith(f"bytes: found {size}, expected a size of 0 to")


async def test_a_number_too_large_for_a_filter_meets_it_as_a_text() -> None:
    world = World(RucioInput(scope="raw", filter="run>=0"))
    world.rucio.file("raw:/f1").meta["run"] = 10**400
    await world.mirror.turn()

    assert await world.state("f1") is FileState.AVAILABLE


@pytest.mark.parametrize(
    ("name", "inside"), [("night", ["g1"]), ("other", ["f1"]), ("season", list[str]())]
)
async def test_a_file_with_the_name_of_a_dataset_holds_that_one_alone(
    name: str, inside: list[str]
) -> None:
    world = World(RucioInput(scope="raw", container="/season"))
    world.rucio.add("raw:/g1")
    world.rucio.dataset("raw:/other", "raw:/g1")
    world.rucio.dataset("raw:/season", "raw:/night", "raw:/other", kind="CONTAINER")
    file = NewFile(did=Did("raw", name), bytes=1, adler32="00000001", owner_id=1)
    await world.store.write(registration.register_files, "ctao", [file], at=0.0)
    await world.mirror.turn()

    why = f"did: found 'raw:{name}', expected another name: a file has this one"
    assert world.troubles()[f"raw:/{name}"] == why
    assert [one for one in ("f1", "g1") if await world.file(one)] == inside


async def test_containers_in_containers_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_files, "DATASETS_MAX", 20)
    world = World(RucioInput(scope="raw", container="/c0"))
    for n in range(40):
        world.rucio.dataset(f"raw:/c{n}", f"raw:/c{n + 1}", kind="CONTAINER")
    world.rucio.dataset("raw:/c40")
    await world.mirror.turn()

    assert world.mirror.inputs[0].why == "Container: raw:/c0 has more than 20 datasets"
