"""Who may register copies where attempts and `data put` store."""

import pytest

from pilotage.central.catalogue.publications import folder_of
from pilotage.central.catalogue.service import CatalogueService
from pilotage.central.identity.scope import Owners
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.queries import jobs_by_id
from pilotage.central.jobs.record_types import JobClassRow, NewJob, NewSubmission
from pilotage.proto.api.data import DidsRequest, ReplicaItem
from pilotage.proto.job_states import JobState
from tests import turns
from tests.contract.store.conftest import NOW
from tests.contract.store.rows import matched
from tests.contract.store.test_remnants import an_end
from tests.fake_central import FakeClock

from .test_catalogue_service import ADA, BOB, MAY, TOP, World, words

CALLERS = {"ada": ADA, "bob": BOB, "may": MAY, "top": TOP}


class Reserved(World):
    """A catalogue that knows the jobs."""

    def __init__(self) -> None:
        super().__init__()
        owners = Owners(self.store, "here")
        self.owners = owners
        self.service = CatalogueService(
            self.store, owners, FakeClock(), self.log, job_of=jobs_by_id(self.store)
        )
        self.at = 0

    async def job(self, *, ended: bool) -> int:
        """Return a job of ada's."""
        owner = await self.owners.get("ctao", ADA)
        kind = JobClassRow(
            community="ctao", group="users", owner_id=owner.owner_id, type="any", needs=b"[]"
        )
        (class_id,) = await self.store.write(submission_records.classes, [kind])
        self.at += 1
        new = NewSubmission(
            community="ctao",
            owner_id=owner.owner_id,
            key=f"k{self.at}",
            body_hash="",
            name="",
            template=None,
            at=NOW,
        )
        record = await self.store.write(
            submission_records.submit, new, [NewJob(class_id=class_id, body=b"{}")]
        )
        job_id = record.ranges[0][0]
        attempt_id = await matched(self.store, job_id, 1)
        if ended:
            await turns.change(self.store, [an_end(attempt_id, job_id, 1, new=JobState.DONE)])
        return job_id

    def folder(self, job_id: int, epoch: int = 1) -> str:
        return folder_of("ctao", self.store.generation, job_id, epoch)

    async def says(self, who: str, path: str, did: str = "") -> str:
        """Let somebody register a file there; return what becomes of it."""
        self.at += 1
        copies = (ReplicaItem(storage="disk", path=path),)
        reply = await self.register(CALLERS[who], did or f"users:{self.at}", replicas=copies)
        return words(reply)


@pytest.mark.parametrize("who", CALLERS)
async def test_nobody_registers_at_or_above_a_folder_of_an_attempt(who: str) -> None:
    world = Reserved()
    done = await world.job(ended=True)
    epoch = world.folder(done)
    above = [epoch, epoch.rpartition("/")[0], epoch.rsplit("/", 2)[0], "ctao"]
    to_come = [world.folder(done + 390).rpartition("/")[0], world.folder(done + 390, 7)]

    assert [await world.says(who, path) for path in (*above, *to_come)] == ["refused"] * 6
    assert await world.says(who, epoch.replace("/", "0/", 2) + "/2") == "new"
    assert await world.says(who, f"ctao/raw/{done}/1") == "new"


@pytest.mark.parametrize(
    ("who", "ended", "says"),
    [
        ("ada", True, "new"),
        ("ada", False, "refused"),
        ("bob", True, "refused"),  # of the group, and it is not his
        ("may", True, "new"),
        ("may", False, "refused"),
        ("top", False, "new"),  # of the whole community
    ],
)
async def test_in_a_folder_of_an_attempt_registers_whose_job_has_ended(
    who: str, ended: bool, says: str
) -> None:
    world = Reserved()
    job_id = await world.job(ended=ended)

    assert await world.says(who, f"{world.folder(job_id)}/out") == says


async def test_in_a_folder_of_a_job_to_come_nobody_registers() -> None:
    world = Reserved()

    assert await world.says("ada", f"{world.folder(400)}/out") == "refused"
    name = f"{world.folder(400).removeprefix('ctao/')}/out"  # the path that a name gives
    reply = await world.register(ADA, f"users:ctao/{name}", replicas=(ReplicaItem(storage="x"),))
    assert words(reply) == "refused"
    assert "job 400 does not exist" in reply.refused[0].message


async def test_what_is_there_is_registered_again_whoever_made_it() -> None:
    world = Reserved()
    job_id = await world.job(ended=True)
    path = f"{world.folder(job_id)}/out"
    first = await world.says("ada", path, "users:out")
    again = await world.says("bob", path, "users:out")
    await world.service.remove(ADA, DidsRequest(dids=("users:out",)))
    await world.store.write(job_records.delete, [job_id], NOW, "ada")
    back = await world.says("ada", path, "users:out")

    assert (first, again, back) == ("new", "same", "changed")


async def test_nobody_registers_where_storages_copy_among_themselves() -> None:
    world = Reserved()
    done = await world.job(ended=True)
    folder = world.folder(done).replace(f"/{done}/", "/t12/")

    assert await world.says("top", f"{folder}/run7.h5") == "refused"
    assert await world.says("top", f"{folder}/run7.h5".replace("/t12/", "/t12x/")) == "new"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("ctao/put", "refused"),
        ("ctao/put/0a1b", "refused"),
        ("ctao/put/0a1b/run7.h5", "new"),
        ("ctao/putting", "new"),
        ("raw/put", "new"),
    ],
)
async def test_nobody_registers_above_what_others_put(path: str, says: str) -> None:
    assert await Reserved().says("ada", path) == says
