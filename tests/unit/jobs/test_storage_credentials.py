"""Which credentials for storages attempts and people get, and which are refused."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pilotage.central.catalogue import (
    record_read as catalogue_read,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.publications import folder_of
from pilotage.central.catalogue.record_types import JobInput, ReplicaRow
from pilotage.central.catalogue.storages import (
    StorageBook,
    StorageCredential,
    StorageEntry,
    Storages,
)
from pilotage.central.errors import Refused
from pilotage.central.identity.callers import AttemptCaller, User
from pilotage.central.identity.record_types import Owner
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.attempt_callers import AttemptCallers
from pilotage.central.jobs.leases import LeasePhase
from pilotage.central.jobs.record_types import JobBody
from pilotage.central.jobs.storage_credentials import SCOPES_MAX, StorageCredentials
from pilotage.central.leadership import ALONE
from pilotage.proto.catalogue import ReplicaState
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import DataOutput, Job, JobData
from pilotage.proto.problems import Code
from pilotage.proto.storages import StorageOperation, StorageTokenReply, StorageTokenRequest
from tests.fake_central import FakeClock
from tests.fake_storage_server import FakeStorageNetwork, FakeStorageTokens, fake_remote

READ, CREATE = StorageOperation.READ, StorageOperation.CREATE
GENERATION = "0123456789abcdef"
FOLDER = folder_of("ctao", GENERATION, 7, 2)
ATTEMPT = AttemptCaller(job=7, epoch=2, attempt_id=70, community="ctao")
KEYS = StorageCredential(source="keys", options={"file": "/keys"})


class Store:
    """Answers the reads of the service."""

    generation = GENERATION

    def __init__(self) -> None:
        self.paths = ["raw/a.h5", "raw/b.h5"]
        self.begun: list[tuple[str, str, int, str]] = []  # uploads of people

    async def write(self, verb: Any, places: Any, *, at: float) -> None:
        assert verb is remnant_records.begin_uploads
        self.begun += [(one.storage, one.path, one.owner_id, one.group) for one in places]

    async def read(self, verb: Any, *given: Any) -> Any:
        if verb is catalogue_read.inputs_of_job:
            return [JobInput(0, number) for number in range(len(self.paths))]
        if verb is catalogue_read.replicas_of:
            good = ReplicaState.AVAILABLE
            return {
                number: [ReplicaRow(number, "pic", path, good, 0.0)]
                for number, path in enumerate(self.paths)
            }
        if verb is catalogue_read.paths_of_community:
            community, storage, paths = given
            return (
                set(paths) & set(self.paths) if (community, storage) == ("ctao", "pic") else set()
            )
        assert verb is job_records.bodies
        data = JobData(outputs=(DataOutput(pattern="*", storages=("pic", "bucket")),))
        body = msgspec.json.encode(Job(command=("true",), data=data))
        return {7: JobBody(job_id=7, template=None, body=body)}


class Known:
    """Knows one person."""

    async def get(self, community: str, caller: User) -> Owner:
        return Owner(owner_id=4, community=community, issuer="here", subject=caller.subject)


class World:
    def __init__(self) -> None:
        self.store, self.tokens = Store(), FakeStorageTokens()
        self.lease: Any = SimpleNamespace(
            attempt_id=70,
            job=7,
            epoch=2,
            phase=LeasePhase.LIVE,
            kind=SimpleNamespace(community="ctao"),
        )
        storages = Storages()
        issuer = StorageCredential(source="issuer")
        davs = StorageEntry(
            type="davs", url="https://pic.test/x", prefix="/data", credential=issuer
        )
        entries = {
            "pic": davs,
            "other": davs,
            "bucket": StorageEntry(type="s3", url="https://s3.test/bucket", credential=KEYS),
            "plain": StorageEntry(type="davs", url="https://plain.test/x"),
        }
        storages.book = StorageBook(storages=entries)
        memory: Any = SimpleNamespace(
            leases=SimpleNamespace(find=lambda job, epoch: self.lease if job == 7 else None)
        )
        self.service = StorageCredentials(
            store=self.store,  # type: ignore[arg-type]
            attempts=AttemptCallers(memory, ALONE),
            owners=Known(),  # type: ignore[arg-type]
            storages=storages,
            remote=fake_remote(FakeStorageNetwork(), self.tokens),
            clock=FakeClock(),
        )

    async def asks(
        self,
        operation: StorageOperation,
        *paths: str,
        storage: str = "pic",
        who: AttemptCaller | User = ATTEMPT,
        sha256: str = "",
    ) -> StorageTokenReply:
        job, epoch = (0, 0) if isinstance(who, User) else (7, 2)
        request = StorageTokenRequest(job, epoch, storage, operation, paths, sha256)
        return await self.service.give(who, request)

    async def refused(self, *given: Any, **more: Any) -> Code:
        with pytest.raises(Refused) as why:
            await self.asks(*given, **more)
        return why.value.code


def user(role: Role = Role.USER, community: str = "ctao") -> User:
    return User(
        issuer="here",
        subject="ada",
        name="",
        community=community,
        groups=("users",),
        role=role,
        expires_at=1e12,
        jti="",
    )


async def test_an_attempt_reads_its_inputs_and_creates_in_its_folder_alone() -> None:
    world = World()
    read = await world.asks(READ, "raw/a.h5", "raw/b.h5")
    create = await world.asks(CREATE, f"{FOLDER}/~2/out.h5")

    assert read.token == "pic|storage.read:/data/raw/a.h5 storage.read:/data/raw/b.h5"
    assert create.token == f"pic|storage.create:/data/{FOLDER}"


async def test_a_copy_that_is_gone_costs_no_other() -> None:
    reply = await World().asks(READ, "raw/a.h5", "raw/gone.h5")

    assert reply.token == "pic|storage.read:/data/raw/a.h5"


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        (READ, "raw/c.h5"),
        (READ, f"{FOLDER}/out.h5"),
        (CREATE, "raw/a.h5"),
        (CREATE, FOLDER),
        (CREATE, f"{FOLDER}0/out.h5"),
        (CREATE, f"{folder_of('ctao', GENERATION, 7, 1)}/out.h5"),
    ],
)
async def test_other_paths_are_refused(operation: StorageOperation, path: str) -> None:
    assert await World().refused(operation, path) is Code.FORBIDDEN


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"storage": "gone"}, Code.NOT_FOUND),
        ({"storage": "other"}, Code.FORBIDDEN),
        ({"storage": "bucket", "sha256": "abc"}, Code.INVALID),
    ],
)
async def test_wrong_storages_and_hashes_are_refused(given: dict[str, str], code: Code) -> None:
    assert await World().refused(CREATE, f"{FOLDER}/x", **given) is code


@pytest.mark.parametrize(
    "path", [f"{FOLDER}/../x", "", "/raw/a.h5", "raw//a.h5", f"{FOLDER}/" + "\U0001f980" * 700]
)
async def test_odd_paths_are_refused(path: str) -> None:
    assert await World().refused(CREATE, path) is Code.INVALID


@pytest.mark.parametrize("change", [{"attempt_id": 71}, {"phase": LeasePhase.OPEN}])
async def test_an_attempt_that_is_over_gets_nothing(change: dict[str, Any]) -> None:
    world = World()
    for name, value in change.items():
        setattr(world.lease, name, value)

    assert await world.refused(READ, "raw/a.h5") is Code.FORBIDDEN


async def test_many_files_become_folders_in_a_small_token() -> None:
    world = World()
    world.store.paths = [f"raw/night{n % 3}/run{n:05}.h5" for n in range(100)]
    reply = await world.asks(READ, *world.store.paths)

    scopes = reply.token.partition("|")[2]
    assert scopes.split() == [f"storage.read:/data/raw/night{n}" for n in range(3)]
    assert len(scopes) <= SCOPES_MAX


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ('raw/n1/run "7".h5', "storage.read:/data/raw/n1"),
        ("raw/n1/Läufe/run7.h5", "storage.read:/data/raw/n1"),
        ("Läufe/run7.h5", "storage.read:/data/"),
        ("raw/n1/%2e%2e/run7.h5", "storage.read:/data/raw/n1"),
    ],
)
async def test_a_path_that_no_scope_can_name_is_read_by_its_folder(path: str, scope: str) -> None:
    world = World()
    world.store.paths = [path.replace(" ", "_")]
    reply = await world.asks(READ, *world.store.paths)

    assert reply.token.partition("|")[2] == scope


async def test_an_object_store_gets_a_signed_url_for_each_path() -> None:
    reply = await World().asks(CREATE, f"{FOLDER}/x", storage="bucket", sha256="0" * 64)

    assert [one.method for one in reply.urls] == ["PUT", "HEAD"]
    assert all("X-Amz-Signature=" in one.url for one in reply.urls)
    assert "secret" not in "".join(one.url for one in reply.urls)
    assert "x-amz-checksum-sha256" in reply.urls[0].url and reply.token == ""


async def test_people_read_files_of_the_catalogue_and_create_where_put_stores() -> None:
    world = World()
    read = await world.asks(READ, "raw/a.h5", who=user())
    create = await world.asks(CREATE, "ctao/put/0a1b/run7.h5", who=user())

    assert read.token == "pic|storage.read:/data/raw/a.h5"
    assert create.token == "pic|storage.create:/data/ctao/put/0a1b"
    anonymous = await world.asks(CREATE, "ctao/put/0a1b/run8.h5", storage="plain", who=user())

    assert anonymous.token == ""
    assert world.store.begun == [
        ("pic", "ctao/put/0a1b/run7.h5", 4, "users"),
        ("plain", "ctao/put/0a1b/run8.h5", 4, "users"),
    ]


@pytest.mark.parametrize(
    ("who", "operation", "path"),
    [
        (user(), READ, "raw/c.h5"),
        (user(community="lst"), READ, "raw/a.h5"),
        (user(), CREATE, "ctao/put/run7.h5"),
        (user(), CREATE, "ctao/put/%2e%2e/run7.h5"),
        (user(), CREATE, 'ctao/put/"/run7.h5'),
        (user(), CREATE, "ctao/put/\u0661/run7.h5"),
        (user(), CREATE, "lst/put/0a1b/run7.h5"),
        (user(), CREATE, f"{FOLDER}/out.h5"),
        (user(Role.READER), CREATE, "ctao/put/0a1b/run7.h5"),
    ],
)
async def test_people_get_no_more(who: User, operation: StorageOperation, path: str) -> None:
    assert await World().refused(operation, path, who=who) is Code.FORBIDDEN


async def test_a_source_that_refuses_is_no_outage() -> None:
    world = World()
    world.tokens.refuses = True

    assert await world.refused(READ, "raw/a.h5") is Code.ILLEGAL_STATE
