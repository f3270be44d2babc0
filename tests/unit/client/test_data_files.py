"""Files between this machine and storages: nothing of either is lost on the way."""

import asyncio
import fcntl
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from pilotage.central.client.data_files import DataFileCalls
from pilotage.central.client.errors import (
    FilesClash,
    FileThere,
    Invalid,
    NoCopy,
    NoCredential,
    NoStorage,
    NotFound,
    NotStored,
    StorageTrouble,
)
from pilotage.central.client.transfers import storage_copies
from pilotage.central.client.transfers.fetching import Wanted
from pilotage.central.client.transfers.storage_copies import StorageCopies
from pilotage.central.client.transport import Transport
from pilotage.pilot.data.file_storage import FileStorage
from pilotage.pilot.data.storages import (
    CopyChecksums,
    CopyLocation,
    CreatingStorage,
    CredentialRejected,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from pilotage.proto.api.data import (
    CopyPage,
    FileCopies,
    FileDetail,
    FileItem,
    FileView,
    ItemsReply,
    ListRequest,
    Refusal,
    RegisterRequest,
    ReplicaView,
)
from pilotage.proto.api.storages import StorageList, StorageView
from pilotage.proto.api.tokens import WhoAmI
from pilotage.proto.catalogue import FileState, ReplicaState
from pilotage.proto.claims import Role
from pilotage.proto.storages import StorageOperation, StorageTokenReply, StorageTokenRequest

from .stub_central import HandPace

PHOTONS = b"photons of run 8\n"


class Client(DataFileCalls):
    """Knows a storage in a folder, and what a test lays into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.known: dict[str, FileDetail] = {}
        self.registered: list[FileItem] = []
        self.tokens: list[StorageTokenRequest] = []
        self.credential, self.deletes = "", False  # of the storage
        self._pace = HandPace()
        self._transport = cast("Transport", self)

    def lay(self, did: str, content: bytes = PHOTONS, **given: Any) -> None:
        """Make a file known; without `there` its copy is not where it should be."""
        fields: dict[str, Any] = {"state": FileState.AVAILABLE, "there": True, **given}
        path = did.rpartition(":")[2]
        if fields.pop("there"):
            (self.folder / path).write_bytes(content)
        adler32 = f"{zlib.adler32(content):08x}"
        view = FileView(did=did, bytes=len(content), adler32=adler32, metadata={}, **fields)
        of_copy = ReplicaState.AVAILABLE if view.state is FileState.AVAILABLE else ReplicaState.BAD
        copy = ReplicaView(storage="pic", path=path, state=of_copy, at="")
        self.known[did] = FileDetail(file=view, replicas=[copy])

    async def file(self, did: str) -> FileDetail:
        if did not in self.known:
            raise NotFound("not-found", f"there is no file {did}")
        return self.known[did]

    async def whoami(self) -> WhoAmI:
        return WhoAmI(
            subject="ada",
            issuer="here",
            name="Ada",
            community="ctao",
            groups=("users",),
            role=Role.USER,
            expires_in_s=60.0,
        )

    async def storages(self) -> StorageList:
        url = self.folder.as_uri()
        one = StorageView(
            name="pic",
            type="file",
            url=url,
            readable=True,
            writable=True,
            default=True,
            credential=self.credential,
            deletes=self.deletes,
        )
        return StorageList(storages=[one])

    async def find_files(self, query: Mapping[str, Any]) -> AsyncIterator[FileView]:
        for detail in self.known.values():
            yield detail.file

    async def register_files(self, files: Iterable[FileItem]) -> ItemsReply:
        self.registered += files
        raise Invalid("invalid", "did: found it, expected a scope of one of your groups", "did")

    async def ask(self, kind: type, method: str, path: str, *, body: Any, query: Any = ()) -> Any:
        """Answer requests that the transfers make themselves."""
        if isinstance(body, StorageTokenRequest):
            self.tokens.append(body)
            return StorageTokenReply(expires_in_s=100.0, token=f"token {len(self.tokens)}")
        if isinstance(body, ListRequest):
            found = [self.known[one] for one in body.which if one in self.known]
            return CopyPage(
                files=[FileCopies(file=one.file, replicas=one.replicas) for one in found]
            )
        assert isinstance(body, RegisterRequest) and body.dry_run
        wrong = [
            Refusal(item=i, did=one.did, field="did", message="did: expected one of your groups")
            for i, one in enumerate(body.files)
            if one.did.startswith("others:")
        ]
        return ItemsReply(results=[], refused=wrong)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "pic")


async def test_a_file_here_with_other_bytes_is_replaced_only_by_force(
    client: Client, tmp_path: Path
) -> None:
    client.lay("users:a.h5")
    mine = tmp_path / "a.h5"
    mine.write_bytes(b"PHOTONS of run 8\n")

    with pytest.raises(FileThere, match=r"users:a\.h5: .*a\.h5 exists with other bytes"):
        await client.get_file("users:a.h5", tmp_path)
    assert mine.read_bytes() == b"PHOTONS of run 8\n"
    assert await client.get_file("users:a.h5", tmp_path, force=True) == mine
    assert mine.read_bytes() == PHOTONS


async def test_a_file_that_is_here_already_is_not_fetched(client: Client, tmp_path: Path) -> None:
    client.lay("users:a.h5", there=False)
    (tmp_path / "a.h5").write_bytes(PHOTONS)

    assert await client.get_file("users:a.h5", tmp_path) == tmp_path / "a.h5"


async def test_all_that_can_be_fetched_is_and_the_others_are_told(
    client: Client, tmp_path: Path
) -> None:
    for name in ("a", "b", "c", "d"):
        client.lay(f"users:{name}", name.encode(), there=name != "a")
    to = tmp_path / "to"
    to.mkdir()
    (to / "c").write_bytes(b"other")
    got: list[str] = []

    with pytest.raises(FileThere, match="users:c: .*c exists with other bytes"):
        _ = [path async for path in client.get_found({}, to)]
    (to / "c").unlink()
    with pytest.raises(NoCopy) as told:
        async for path in client.get_found({}, to):
            got.append(path.name)
    lines = str(told.value).splitlines()

    assert sorted(got) == ["b", "c", "d"]
    assert lines[0] == "1 of 4 files were not fetched:"
    assert lines[1].startswith("  users:a: storage pic: a: No such file")
    assert sorted(path.name for path in to.iterdir()) == ["b", "c", "d"]


async def test_a_copy_with_wrong_bytes_tells_the_command_that_declares_it_bad(
    client: Client, tmp_path: Path
) -> None:
    client.lay("users:a b", b"right")
    (client.folder / "a b").write_bytes(b"wrong")

    with pytest.raises(NoCopy) as told:
        await client.get_file("users:a b", tmp_path)

    assert "has the checksum" in str(told.value)
    assert str(told.value).endswith("pilotage data bad 'users:a b' --storage pic")


@pytest.mark.parametrize(
    ("first", "second"),
    [("users:a", "ana:a"), ("users:a", "users:A"), ("users:\u00e9", "users:E\u0301")],
)
async def test_files_that_would_be_one_file_are_refused_before_any_is_fetched(
    client: Client, tmp_path: Path, first: str, second: str
) -> None:
    for did in ("users:0", first, second):
        client.lay(did, did.encode())
    to = tmp_path / "to"

    with pytest.raises(FilesClash, match=f"{first} and {second} clash in .*one by one"):
        _ = [path async for path in client.get_found({}, to)]
    assert not to.exists()


async def test_a_file_with_the_name_of_a_partial_file_is_refused(
    client: Client, tmp_path: Path
) -> None:
    client.lay("users:a", b"a")
    to = tmp_path / "to"
    (copies,) = [one async for one in client.list_files("users:a")]
    part = Wanted(copies, to / "a").part.name
    client.lay(f"users:{part}", b"b")

    with pytest.raises(FilesClash, match="has the name of the partial file of users:a"):
        _ = [path async for path in client.get_found({}, to)]
    assert not to.exists()


@pytest.mark.parametrize(
    ("state", "says"),
    [(FileState.REMOVED, "it is Removed"), (FileState.LOST, "it is Lost: all copies")],
)
async def test_a_file_without_copies_says_its_state(
    client: Client, tmp_path: Path, state: FileState, says: str
) -> None:
    client.lay("users:a", state=state)

    with pytest.raises(NoCopy, match=says):
        await client.get_file("users:a", tmp_path)


async def test_a_name_that_is_taken_or_wrong_is_refused_before_anything_is_copied(
    client: Client, tmp_path: Path
) -> None:
    client.lay("users:a")
    source = tmp_path / "source"
    source.write_bytes(b"PHOTONS of run 8\n")

    with pytest.raises(Invalid, match="adler32: found .* is there with other bytes"):
        await client.put_file(source, "users:a")
    with pytest.raises(Invalid, match="SCOPE:NAME"):
        await client.put_file(source, "a.h5")
    assert client.registered == []
    assert [path.name for path in client.folder.iterdir()] == ["a"]


async def test_what_the_central_refuses_leaves_nothing_on_the_storage(
    client: Client, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(PHOTONS)

    (client.folder / "ctao").mkdir()

    with pytest.raises(Invalid, match="others:a.h5: did: expected one of your groups"):
        await client.put_file(source, "others:a.h5")
    assert list((client.folder / "ctao").iterdir()) == []
    with pytest.raises(Invalid, match="one of your groups"):  # refused after the upload
        await client.put_file(source, "users:a.h5")
    assert len(client.registered) == 1
    assert list((client.folder / "ctao").iterdir()) == []


async def test_files_and_folders_may_be_named_by_texts(client: Client, tmp_path: Path) -> None:
    client.lay("users:a.h5")
    (tmp_path / "mine").write_bytes(b"other")

    assert await client.get_file("users:a.h5", str(tmp_path)) == tmp_path / "a.h5"
    found = [path async for path in client.get_found({}, f"{tmp_path}/to")]
    assert found == [tmp_path / "to" / "a.h5"]
    with pytest.raises(Invalid, match="there with other bytes"):
        await client.put_file(str(tmp_path / "mine"), "users:a.h5")


async def test_without_any_storage_none_is_to_be_named(client: Client, tmp_path: Path) -> None:
    async def none() -> StorageList:
        return StorageList(storages=[])

    client.storages = none  # type: ignore[method-assign]
    (tmp_path / "mine").write_bytes(b"other")
    with pytest.raises(NoStorage, match="^this central has no storages: an operator adds one"):
        await client.put_file(tmp_path / "mine", "users:b")


async def test_the_progress_counts_bytes_of_all_files(client: Client, tmp_path: Path) -> None:
    for n in range(9):
        client.lay(f"users:{n}", bytes(100 * n))
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "8").write_bytes(bytes(800))
    shown: list[tuple[int, int]] = []

    names = [f"users:{n}" for n in range(9)]
    got = client.get_files(
        names, tmp_path / "to", on_progress=lambda done, total: shown.append((done, total))
    )
    paths = [path.name async for path in got]

    assert sorted(paths) == [str(n) for n in range(9)]
    assert {total for _, total in shown} == {3_600}
    assert [done for done, _ in shown] == sorted(done for done, _ in shown)
    assert shown[-1][0] == 3_600


async def test_two_processes_do_not_write_one_file(client: Client, tmp_path: Path) -> None:
    client.lay("users:a")
    want = Wanted(FileCopies(file=client.known["users:a"].file), tmp_path / "a")

    with want.part.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FileThere, match="another process fetches it"):
            await client.get_file("users:a", tmp_path)


async def test_a_credential_is_for_many_files_and_a_rejected_one_is_renewed(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.credential = "issuer"
    used: list[str] = []
    get = FileStorage.get

    def with_credential(self: FileStorage, place: CopyLocation, *a: Any, **b: Any) -> CopyChecksums:
        assert place.credential is not None and place.options.needs_credential
        used.append(place.credential.token)
        if place.path == "3" and place.credential.token == "token 1":
            raise CredentialRejected("HTTP 401")
        return get(self, place, *a, **b)

    monkeypatch.setattr(FileStorage, "get", with_credential)
    for n in range(5):
        client.lay(f"users:{n}", f"{n}".encode())
    names = [f"users:{n}" for n in range(5)]
    got = [path async for path in client.get_files(names, tmp_path / "to", parallel=1)]

    assert len(got) == 5
    assert used == [*["token 1"] * 4, "token 2", "token 2"]
    first, second = client.tokens
    assert (first.storage, first.operation, first.paths) == (
        "pic",
        StorageOperation.READ,
        ("0", "1", "2", "3", "4"),
    )
    assert (second.job, second.epoch, second.paths[0]) == (0, 0, "3")
    assert isinstance(client._pace, HandPace)
    client._pace.now += 80.0  # three quarters of its life
    (tmp_path / "to" / "4").unlink()
    await client.get_file("users:4", tmp_path / "to")
    assert len(client.tokens) == 3


async def test_the_central_knows_an_upload_before_a_byte_is_stored(
    client: Client, tmp_path: Path
) -> None:
    client.deletes = True
    (tmp_path / "mine").write_bytes(PHOTONS)
    with pytest.raises(Invalid):
        await client.put_file(tmp_path / "mine", "users:b")

    (asked,), (item,) = client.tokens, client.registered
    assert asked.operation is StorageOperation.CREATE
    assert [asked.paths] == [(one.path,) for one in item.replicas]


async def test_bytes_that_cannot_be_taken_back_are_named(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> CopyChecksums:
        raise StorageFull("HTTP 507")

    def not_here(*_: object, **__: object) -> None:
        raise StorageRefused("the central does it")

    (tmp_path / "a").write_bytes(PHOTONS)
    (client.folder / "b").touch()  # an empty folder may be one that is not mounted
    monkeypatch.setattr(FileStorage, "put", full)
    with pytest.raises(StorageTrouble, match="^storage pic: HTTP 507$"):
        await client.put_file(tmp_path / "a", "users:a")
    monkeypatch.setattr(FileStorage, "sweep", not_here)
    left = "^storage pic: HTTP 507; ctao/put/.*/a may stay there: the central does it$"
    with pytest.raises(StorageTrouble, match=left):
        await client.put_file(tmp_path / "a", "users:a")


class OnlyCreates(CreatingStorage, FileStorage):
    """A storage on which only the central removes files."""


@pytest.mark.parametrize("deletes", [True, False])
async def test_the_central_knows_of_an_anonymous_upload_before_its_first_byte(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deletes: bool
) -> None:
    seen: list[int] = []  # announced uploads, when the first byte is sent

    def cut(*_: object, **__: object) -> CopyChecksums:
        seen.append(len(client.tokens))
        raise StorageUnavailable("the connection broke")

    monkeypatch.setattr(storage_copies, "storages", lambda left_out: {"file": OnlyCreates()})
    monkeypatch.setattr(FileStorage, "put", cut)
    client.deletes = deletes
    (tmp_path / "a").write_bytes(PHOTONS)
    with pytest.raises(StorageTrouble, match="^storage pic: the connection broke") as why:
        await client.put_file(tmp_path / "a", "users:a")

    ((path,),) = [one.paths for one in client.tokens]
    assert (seen, client.tokens[0].operation) == ([1], StorageOperation.CREATE)
    stays = f"{path} may stay there: the storage's file does not set deletes: true"
    assert (stays in str(why.value)) is not deletes


async def test_an_upload_that_gets_no_credential_leaves_nothing_to_name(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(*_: object, **__: object) -> None:
        raise NoCredential("pic", "the central gives no credential: no keys")

    monkeypatch.setattr(StorageCopies, "_credential", refuses)
    client.credential = "issuer"
    (tmp_path / "a").write_bytes(PHOTONS)

    with pytest.raises(NoCredential, match="no keys$"):
        await client.put_file(tmp_path / "a", "users:a")


async def test_a_text_that_ends_with_a_slash_is_a_new_folder(
    client: Client, tmp_path: Path
) -> None:
    client.lay("users:a")

    assert await client.get_file("users:a", f"{tmp_path}/new/") == tmp_path / "new" / "a"
    assert await client.get_file("users:a", f"{tmp_path}/one") == tmp_path / "one"


async def test_failures_do_not_stop_other_uploads(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = FileStorage.put

    def some(self: FileStorage, source: Path, place: CopyLocation, **more: Any) -> CopyChecksums:
        if source.name == "1":
            raise StorageFull("HTTP 507")
        return put(self, source, place, **more)

    async def register_files(files: Iterable[FileItem]) -> ItemsReply:
        client.registered += files
        return ItemsReply(results=[])

    monkeypatch.setattr(FileStorage, "put", some)
    monkeypatch.setattr(client, "register_files", register_files)
    for n in range(4):
        (tmp_path / f"{n}").write_bytes(PHOTONS)
    stored: list[str] = []

    with pytest.raises(NotStored, match="1 of 4 files were not stored; .*:\n  storage pic: HTTP"):
        async for one in client.put_files([tmp_path / f"{n}" for n in range(4)], "users:x/"):
            stored.append(one.did)
    assert sorted(stored) == ["users:x/0", "users:x/2", "users:x/3"]
    assert sorted(one.did for one in client.registered) == sorted(stored)
    copies = [one for one in (client.folder / "ctao" / "put").rglob("*") if one.is_file()]
    assert len(copies) == 3


@pytest.mark.parametrize("is_refused", [False, True])
async def test_an_interrupted_registration_keeps_the_copy_unless_it_is_refused(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_refused: bool
) -> None:
    begun, answer = asyncio.Event(), asyncio.Event()

    async def register_files(files: Iterable[FileItem]) -> ItemsReply:
        begun.set()
        await answer.wait()
        why = Refusal(item=0, did="users:a", field="did", message="no")
        return ItemsReply(results=[], refused=[why] if is_refused else [])

    monkeypatch.setattr(client, "register_files", register_files)
    (tmp_path / "a").write_bytes(PHOTONS)
    (client.folder / "ctao").mkdir()
    async with asyncio.TaskGroup() as group:
        putting = group.create_task(client.put_file(tmp_path / "a", "users:a"))
        await begun.wait()
        putting.cancel()
        await asyncio.sleep(0)
        answer.set()

    assert putting.cancelled()
    copies = [one for one in (client.folder / "ctao").rglob("*") if one.is_file()]
    assert len(copies) == (0 if is_refused else 1)
