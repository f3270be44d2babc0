"""What people may do with files, and what they are told when something is wrong."""

from typing import Any

import pytest

from pilotage.central.catalogue import record_registration as registration
from pilotage.central.catalogue.record_types import NewFile
from pilotage.central.catalogue.service import CatalogueService
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import User
from pilotage.central.identity.scope import Owners
from pilotage.central.transfers.service import RuleService
from pilotage.proto.api.data import (
    DatasetAction,
    DatasetActionName,
    DatasetRequest,
    DeclareItem,
    DeclareRequest,
    DidsRequest,
    Direction,
    FileItem,
    FindRequest,
    ItemsReply,
    KeysRequest,
    ListBy,
    ListRequest,
    MetadataItem,
    MetadataRequest,
    RegisterRequest,
    ReplicaItem,
    RuleRequest,
)
from pilotage.proto.api.jobs import Action
from pilotage.proto.catalogue import Did, KeyType
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code
from tests.fake_central import FakeClock
from tests.memory_store import MemoryStore


def a_user(name: str, *groups: str, role: Role = Role.USER, community: str = "ctao") -> User:
    return User(
        issuer="here",
        subject=name,
        name=name,
        community=community,
        groups=groups,
        role=role,
        expires_at=1e12,
        jti=name,
    )


ADA = a_user("ada", "users", "ctao")
BOB = a_user("bob", "users")
EVE = a_user("eve", "others")
MAY = a_user("may", "users", role=Role.MANAGER)
TOP = a_user("top", role=Role.MANAGER)
READER = a_user("rea", role=Role.READER)
ALIEN = a_user("ali", "users", community="lhcb")


class World:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.service = CatalogueService(
            self.store, Owners(self.store, "here"), FakeClock(), self.log
        )

    def log(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    async def register(self, caller: User, *dids: str, **given: Any) -> ItemsReply:
        fields: dict[str, Any] = {"bytes": 1, "adler32": "00000001", **given}
        files = tuple(FileItem(did=did, **fields) for did in dids)
        return await self.service.register(caller, RegisterRequest(files=files))


def words(reply: ItemsReply) -> str:
    return " ".join(one.value for one in reply.results)


async def test_scopes_belong_to_the_groups_of_their_names() -> None:
    world = World()
    dids = ("users:a", "users.raw:a", "usersx:a", "others:a", "ctao:a")

    assert words(await world.register(ADA, *dids)) == "new new refused refused new"
    assert words(await world.register(BOB, *dids)) == "same same refused refused refused"
    assert words(await world.register(MAY, *dids)) == "same same refused refused refused"
    assert words(await world.register(TOP, *dids)) == "same same new new same"
    assert words(await world.register(ALIEN, *dids)) == "new new refused refused refused"
    with pytest.raises(Refused, match="may not change the file catalogue .data_write."):
        await world.register(READER, "users:a")


async def test_a_dry_run_refuses_the_same_and_stores_nothing() -> None:
    world = World()
    for did in ("users:open", "users:shut"):
        await world.service.make_dataset(ADA, DatasetRequest(did=did))
    shut = DatasetAction(dataset="users:shut", action=DatasetActionName.CLOSE)
    await world.service.act_on_dataset(ADA, shut)
    given: list[tuple[str, str]] = [
        ("users:a", "users:open"),
        ("others:a", "users:open"),
        ("users:b", "users:shut"),
        ("users:c", "users:none"),
    ]
    files = tuple(
        FileItem(did=did, bytes=1, adler32="00000001", datasets=(dataset,))
        for did, dataset in given
    )
    reply = await world.service.register(ADA, RegisterRequest(files=files, dry_run=True))

    assert words(reply) == "same refused refused refused"
    assert [one.field for one in reply.refused] == ["did", "datasets", "datasets"]
    listed = await world.service.list_copies(
        ADA, ListRequest(which=("users:*",), by=ListBy.PATTERN)
    )
    assert listed.files == []


async def test_files_are_listed_with_their_copies_in_pages() -> None:
    world = World()
    await world.service.make_dataset(ADA, DatasetRequest(did="users:set"))
    copy = (ReplicaItem(storage="pic"),)
    dids = [f"users:run/{n}" for n in range(5)]
    await world.register(ADA, *dids, replicas=copy, datasets=("users:set",))
    await world.service.remove(ADA, DidsRequest(dids=("users:run/3",)))

    async def listed(which: str, by: ListBy) -> list[str]:
        found, after = list[str](), ""
        while True:
            asked = ListRequest(which=(which,), by=by, after=after, limit=2)
            page = await world.service.list_copies(ADA, asked)
            assert all(one.replicas[0].storage == "pic" for one in page.files)
            found += [one.file.did for one in page.files]
            if page.after is None:
                return found
            after = page.after

    present = [did for did in dids if did != "users:run/3"]
    assert await listed("users:run/*", ListBy.PATTERN) == present
    assert await listed("users:set", ListBy.DATASET) == present
    by_name = ListRequest(which=("users:run/3", "users:none", "users:run/0"))
    page = await world.service.list_copies(ADA, by_name)
    assert [one.file.did for one in page.files] == ["users:run/3", "users:run/0"]
    usage = await world.service.usage(ADA, scope="", dataset="users:set", after="")
    assert [(one.storage, one.files, one.bytes) for one in usage.rows] == [
        ("", 4, 4),
        ("pic", 4, 4),
    ]
    assert (await world.service.usage(ALIEN, scope="users", dataset="", after="")).rows == []

    for which, by, field in [
        (("users:a", "users:b"), ListBy.DATASET, "which"),
        (("users:none",), ListBy.DATASET, "dataset"),
        (("us*rs:a",), ListBy.PATTERN, "which[0]"),
    ]:
        with pytest.raises(Refused) as raised:
            await world.service.list_copies(ADA, ListRequest(which=which, by=by))
        assert raised.value.field == field
    bad = ListRequest(which=("users:set",), by=ListBy.DATASET, after="x")
    with pytest.raises(Refused, match="after: found 'x'"):
        await world.service.list_copies(ADA, bad)


@pytest.mark.parametrize(
    ("caller", "says"),
    [
        (ADA, "changed"),
        (BOB, "refused"),  # of the group, but not the one whose it is
        (EVE, "refused"),
        (MAY, "changed"),
        (TOP, "changed"),
        (ALIEN, "refused"),  # there is no such file in their community
    ],
)
async def test_files_are_changed_by_whose_they_are_and_by_managers(caller: User, says: str) -> None:
    world = World()
    await world.register(ADA, "users:a", replicas=(ReplicaItem(storage="pic"),))
    item = MetadataItem(did="users:a", set={"run": 1})
    meta = await world.service.set_metadata(caller, MetadataRequest(changes=(item,)))
    copy = DeclareItem(did="users:a", storage="pic")
    bad = await world.service.declare(caller, DeclareRequest(replicas=(copy,), reason="rot"))
    gone = await world.service.remove(caller, DidsRequest(dids=("users:a",)))

    assert [words(meta), words(bad), words(gone)] == [says] * 3
    assert [event for event, _ in world.said] == (
        ["replica_declared", "files_removed"] if says == "changed" else []
    )


async def test_a_user_registers_nothing_new_of_files_of_others() -> None:
    world = World()
    await world.register(ADA, "users:a", replicas=(ReplicaItem(storage="pic"),))
    more: dict[str, Any] = {"metadata": {"run": 1}}
    bobs = await world.register(BOB, "users:a", "users:b", **more)

    assert words(bobs) == "refused new"
    assert "no change of users:a: the file has another owner" in bobs.refused[0].message
    assert words(await world.register(MAY, "users:a", **more)) == "changed"
    assert words(await world.register(BOB, "users:a")) == "same"
    assert words(await world.register(ADA, "users:a", metadata={"nsb": 1})) == "changed"


async def test_all_of_a_community_see_its_files_and_nobody_else() -> None:
    world = World()
    await world.register(ADA, "users:a", metadata={"run": 7})
    await world.register(ADA, "users:b", replicas=(ReplicaItem(storage="pic"),))
    asked = FindRequest(query={})

    for caller in (ADA, EVE, READER):
        page = await world.service.find(caller, asked)
        assert [(view.did, view.owner) for view in page.files] == [("users:b", "ada")]
    assert (await world.service.find(ALIEN, asked)).files == []
    with pytest.raises(Refused, match="there is no file users:a"):
        await world.service.file(ALIEN, "users:a")
    with pytest.raises(Refused, match="names no community"):
        await world.service.find(a_user("op", role=Role.OPERATOR, community=""), asked)


async def test_a_dataset_that_is_asked_for_as_a_file_is_told_as_such() -> None:
    world = World()
    await world.service.make_dataset(ADA, DatasetRequest(did="users:set"))

    with pytest.raises(Refused, match="users:set is a dataset, no file: `pilotage data ls users:"):
        await world.service.file(ADA, "users:set")


async def test_each_item_is_told_what_is_wrong_with_it() -> None:
    world = World()
    long = "x" * 600
    files = (
        FileItem(did="users:a", bytes=1, adler32="00000001"),
        FileItem(did="nonsense", bytes=1, adler32="00000001"),
        FileItem(did="users:b", bytes=1),
        FileItem(did="users:c", bytes=1, adler32="00000001", metadata={"run": [1]}),
        FileItem(did="users:d", bytes=1, adler32="00000001", metadata={"a": long}),
        FileItem(did="users:e", bytes=1, adler32="00000001", datasets=("users:none",)),
        FileItem(
            did="users:f",
            bytes=1,
            adler32="00000001",
            replicas=(ReplicaItem(storage="s", path="../x"),),
        ),
        FileItem(did="users:a", bytes=2, adler32="00000001"),
        FileItem(did="users:g", bytes=1, adler32="00000001", metadata={"x y": 1}),
    )
    reply = await world.service.register(ADA, RegisterRequest(files=files))

    assert words(reply) == "new" + " refused" * 8
    assert [(one.item, one.field) for one in reply.refused] == [
        (1, "did"),
        (2, "adler32"),
        (3, "metadata.run"),
        (4, "metadata.a"),
        (5, "datasets"),
        (6, "replicas.path"),
        (7, "bytes"),
        (8, "metadata.x y"),
    ]
    assert all("expected" in one.message and len(one.message) < 400 for one in reply.refused)


async def test_a_storage_with_another_name_is_refused_where_there_are_some() -> None:
    world = World()
    storages = Storages()
    entry = StorageEntry(type="file", url="file:///x")
    storages.book = StorageBook(storages={"pic-disk": entry}, troubles={"cscs": "no url"})
    world.service = CatalogueService(
        world.store,
        Owners(world.store, "here"),
        FakeClock(),
        world.log,
        storages,
    )
    copies = [(ReplicaItem(storage=name),) for name in ("pic-disk", "cscs", "pic-dsk")]
    replies = [await world.register(ADA, f"users:{n}", replicas=c) for n, c in enumerate(copies)]

    assert [words(one) for one in replies] == ["new", "new", "refused"]
    assert "did you mean 'pic-disk'" in replies[2].refused[0].message


@pytest.mark.parametrize(
    ("path", "any_path", "lies"),
    [
        ("", False, "ctao/a"),
        ("ctao/raw/a", False, "ctao/raw/a"),
        ("lhcb/secret", False, None),
        ("ctao-b/secret", False, None),
        ("ctao", False, None),
        ("raw/a", True, "raw/a"),
        ("", True, "a"),
    ],
)
async def test_a_community_registers_copies_below_its_own_folder(
    path: str, any_path: bool, lies: str | None
) -> None:
    world, storages = World(), Storages()
    entry = StorageEntry(type="file", url="file:///x", any_path=any_path)
    storages.book = StorageBook(storages={"disk": entry})
    world.service = CatalogueService(
        world.store,
        Owners(world.store, "here"),
        FakeClock(),
        world.log,
        storages,
    )
    reply = await world.register(ADA, "users:a", replicas=(ReplicaItem(storage="disk", path=path),))

    if lies is None:
        assert "a path below ctao/" in reply.refused[0].message
    else:
        found = await world.service.file(ADA, "users:a")
        assert [copy.path for copy in found.replicas] == [lies]


@pytest.mark.parametrize("unlisted", ["", "cannot be listed"])
async def test_a_storage_whose_file_has_never_been_read_is_shared(unlisted: str) -> None:
    """What lies there may be anybody's, and would go with the file that names it."""
    world, storages = World(), Storages()
    troubles = {} if unlisted else {"disk": "disk.yaml:1: no"}
    storages.book = StorageBook(troubles=troubles, unlisted=unlisted)
    world.service = CatalogueService(
        world.store,
        Owners(world.store, "here"),
        FakeClock(),
        world.log,
        storages,
    )
    copies = [(ReplicaItem(storage="disk", path=path),) for path in ("lhcb/raw", "", "ctao/raw")]
    replies = [await world.register(ADA, f"users:{n}", replicas=c) for n, c in enumerate(copies)]
    found = await world.service.file(ADA, "users:1")

    assert [words(one) for one in replies] == ["refused", "new", "new"]
    assert [copy.path for copy in found.replicas] == ["ctao/1"]


async def test_files_are_registered_into_own_datasets_alone() -> None:
    world = World()
    for caller, did in ((ADA, "users:ada"), (BOB, "users:bob"), (ADA, "ctao:far")):
        await world.service.make_dataset(caller, DatasetRequest(did=did))
    into = [("users:bob",), ("users:ada", "users:bob"), ("users:ada",), ("no-colon",)]
    mine = [await world.register(ADA, f"users:f{n}", datasets=some) for n, some in enumerate(into)]
    theirs = await world.register(MAY, "users:g", datasets=("users:ada", "users:bob"))
    far = await world.register(MAY, "users:h", datasets=("ctao:far",))

    assert [words(one) for one in mine] == ["refused", "refused", "new", "refused"]
    assert "found 'users:bob', expected a dataset that you own" in mine[0].refused[0].message
    assert (words(theirs), words(far)) == ("new", "refused")


async def test_a_search_in_a_dataset_that_is_not_there_names_the_nearest() -> None:
    world = World()
    await world.service.make_dataset(ADA, DatasetRequest(did="users:good"))
    assert (await world.service.find(ADA, FindRequest(query={"dataset": "users:good"}))).files == []

    with pytest.raises(Refused, match="did you mean 'users:good'") as refused:
        await world.service.find(ADA, FindRequest(query={"dataset": "users:god"}))
    assert refused.value.field == "query.dataset"


async def test_pages_follow_each_other_and_a_wrong_place_is_refused() -> None:
    world = World()
    names = [f"users:f{n}" for n in range(7)]
    await world.register(ADA, *names, replicas=(ReplicaItem(storage="pic"),))
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await world.service.find(ADA, FindRequest(query={}, after=after, limit=3))
        found += [view.did for view in page.files]
        after = page.after

    assert found == names
    for wrong in ("x", "1", "1.2.3", "-1.2", "9" * 17 + ".1", "1.²"):
        with pytest.raises(Refused, match=r"after: found"):
            await world.service.find(ADA, FindRequest(query={}, after=wrong))


async def test_datasets_are_their_makers_and_the_managers() -> None:
    world = World()
    await world.register(ADA, "users:a")
    made = await world.service.make_dataset(ADA, DatasetRequest(did="users:set"))
    attach = DatasetAction(
        dataset="users:set", action=DatasetActionName.ATTACH, dids=("users:a", "users:x", "y")
    )
    reply = await world.service.act_on_dataset(MAY, attach)

    assert (made.is_open, made.owner) == (True, "ada")
    assert words(reply) == "changed refused refused"
    assert (await world.service.file(READER, "users:a")).datasets == ["users:set"]
    for caller in (BOB, EVE):
        with pytest.raises(Refused) as caught:
            await world.service.act_on_dataset(caller, attach)
        assert caught.value.code is Code.FORBIDDEN
    with pytest.raises(Refused, match="a scope of one of your groups"):
        await world.service.make_dataset(EVE, DatasetRequest(did="users:other"))
    with pytest.raises(Refused, match="there is no dataset users:none"):
        none = DatasetAction(dataset="users:none", action=DatasetActionName.OPEN)
        await world.service.act_on_dataset(ADA, none)


async def test_a_query_is_checked_and_keys_have_one_type() -> None:
    world = World()
    await world.register(ADA, "users:a", metadata={"run": 7})
    await world.service.add_keys(ADA, KeysRequest(keys={"site": KeyType.STRING}))

    with pytest.raises(Refused, match=r"query\.rum: .*expected run"):
        await world.service.find(ADA, FindRequest(query={"rum": 7}))
    with pytest.raises(Refused, match=r"query\.run: .*expected a number"):
        await world.service.find(ADA, FindRequest(query={"run": "7"}))
    with pytest.raises(Refused, match=r"keys\.run"):
        await world.service.add_keys(ADA, KeysRequest(keys={"run": KeyType.STRING}))
    with pytest.raises(Refused, match="a key"):
        await world.service.add_keys(ADA, KeysRequest(keys={"x y": KeyType.STRING}))


async def test_lineage_goes_both_ways_step_by_step() -> None:
    world = World()
    made = [("users:raw", None), ("users:dl1", 1), ("users:dl2", 2), ("users:plot", 3)]
    files = [
        NewFile(did=Did.parse(name), bytes=1, adler32="00000001", job_id=job, epoch=job and 1)
        for name, job in made
    ]
    outcomes = await world.store.write(registration.register_files, "ctao", files, at=0.0)
    for job in (1, 2, 3):
        file_id = outcomes[job - 1].file_id
        world.store.by_hand("INSERT INTO job_input VALUES (?, 0, ?)", job, file_id)
    up = await world.service.lineage(ADA, "users:plot", Direction.UP, limit=10)
    down = await world.service.lineage(ADA, "users:raw", Direction.DOWN, limit=2)

    assert [(link.job, link.inputs, link.outputs, link.step) for link in up.links] == [
        (3, ["users:dl2"], ["users:plot"], 1),
        (2, ["users:dl1"], ["users:dl2"], 2),
        (1, ["users:raw"], ["users:dl1"], 3),
    ]
    assert ([link.job for link in down.links], down.more) == ([1, 2], True)
    assert not up.more


async def never(caller: User, action: Action) -> None:
    raise AssertionError(action)


async def test_a_rule_on_a_storage_that_is_not_there_names_those_that_are() -> None:
    storages = Storages()
    storages.book = StorageBook(storages={"web": StorageEntry(type="file", url="file:///w")})
    store = MemoryStore()
    rules = RuleService(
        store, storages, Owners(store, "here"), FakeClock(), act=never, added=lambda: None
    )

    with pytest.raises(Refused) as told:
        await rules.add(ADA, RuleRequest(copies=1, storages=("pic",), did="users:a"))
    assert str(told.value) == (
        "storages: found 'pic', expected a configured storage: unknown storage 'pic': known are web"
    )
