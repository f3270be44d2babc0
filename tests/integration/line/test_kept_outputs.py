"""Outputs of many jobs in one answer: the shipped central and a pilot on fakes."""

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from pilotage.central.identity.callers import User
from pilotage.central.jobs import queries as queries_module
from pilotage.central.jobs.blobs import sandbox as sandbox_module
from pilotage.proto.api.file_bundles import BundleReader
from pilotage.proto.api.jobs import JobFilter, Submission
from pilotage.proto.api.outputs import OutputChoice, OutputName
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job, Need, OutputPattern
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Assignment
from tests import virtual
from tests.fake_pilot import Script
from tests.fakes import FakeInstallation

from .test_on_fakes import submission, submit, until_all_end

LARGE = b"large " * 20_000
RULES = (OutputPattern(pattern="*"),)


def script(given: Assignment) -> Script:
    """Write the word of the command, or many files."""
    _, word = given.body.command
    files = {"word.txt": word.encode(), "large": LARGE, "empty": b""}
    if word == "many":
        files = {f"f{n}": b"%d" % n for n in range(30)}
    return Script(files=files, stdout=b"printed")


def sweep() -> Submission:
    job = Job(command=("write", "{mass}"), outputs=RULES, needs=(Need(wall_s=3_600),))
    entries = [msgspec.json.encode({"mass": mass}) for mass in ("light", "heavy")]
    raw = [msgspec.Raw(one) for one in entries]
    return Submission(key=uuid.uuid4().hex, template=job, parameters=raw)


def story(tell: Callable[[FakeInstallation], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = FakeInstallation()
        await world.start()
        pilot = await world.pilot("PIC", script=script)
        life = asyncio.get_running_loop().create_task(pilot.agent().run())
        await tell(world)
        life.cancel()
        await asyncio.wait([life])
        await world.kill()

    virtual.run(whole(), limit_s=20_000.0)


async def fetched(
    world: FakeInstallation, caller: User, *files: tuple[int, str]
) -> list[bytes | None]:
    services, reader = world.central.services, BundleReader()
    choice = OutputChoice(files=tuple(OutputName(job=job, name=name) for job, name in files))
    hashes = await services.queries.chosen_outputs(caller, choice)
    parts = [part async for part in services.sandbox.bundle(caller, hashes)]
    assert max(map(len, parts)) <= sandbox_module.TOGETHER * (sandbox_module.BUNDLED_BYTES + 20)
    return [file for part in parts for file in reader.read(part)]


def person(world: FakeInstallation, name: str) -> User:
    return msgspec.structs.replace(world.user(), subject=name, role=Role.USER, groups=("dpps",))


def test_jobs_are_listed_with_outputs_places_and_parameters() -> None:
    async def tell(world: FakeInstallation) -> None:
        queries, user = world.central.services.queries, world.user()
        first = await submit(world, sweep())
        (alone,) = await submit(world, submission(1, command=("write", "one"), outputs=RULES))
        assert await until_all_end(world) == {JobState.DONE: 3}
        page = await queries.outputs_of(user, JobFilter(ids=(*first, alone, 999)), 0, 1_000)
        begun = await queries.outputs_of(user, JobFilter(), 0, 2)
        rest = await queries.outputs_of(user, JobFilter(), begun.after or 0, 2)

        assert [(one.view.id, one.index, one.parameters) for one in page.jobs] == [
            (first[0], 1, {"mass": "light"}),
            (first[1], 2, {"mass": "heavy"}),
            (alone, 1, {}),
        ]
        assert page.after is None and begun.after == first[1] and rest.after is None
        assert [one.view.id for one in rest.jobs] == [alone]
        names = {out.name for out in page.jobs[0].outputs}
        assert names == {"word.txt", "large", "empty"}  # not the streams that are kept too

    story(tell)


def test_a_page_with_many_outputs_is_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries_module, "OUTPUTS_A_PAGE", 30)
    monkeypatch.setattr(queries_module, "JOBS_TOGETHER", 1)

    async def tell(world: FakeInstallation) -> None:
        jobs = await submit(world, submission(3, command=("write", "many"), outputs=RULES))
        await until_all_end(world)
        after, seen = 0, list[list[int]]()
        while True:
            page = await world.central.services.queries.outputs_of(
                world.user(), JobFilter(), after, 1_000
            )
            seen.append([one.view.id for one in page.jobs])
            if page.after is None:
                break
            after = page.after

        assert seen == [[job] for job in jobs]

    story(tell)


def test_a_bundle_has_the_files_in_the_order_of_the_request() -> None:
    async def tell(world: FakeInstallation) -> None:
        first, second = await submit(world, sweep())
        await until_all_end(world)
        user = world.user()
        wanted = [(second, "large"), (first, "word.txt"), (first, "nosuch"), (999, "word.txt")]
        found = await fetched(world, user, *wanted, (second, "empty"), (second, "word.txt"))
        kept = await fetched(world, user, *[(first, "word.txt")] * 40)
        lost = world.blobs.blobs.pop(hashlib.sha256(LARGE).hexdigest())

        assert found == [LARGE, b"light", None, None, b"", b"heavy"]
        assert kept == [b"light"] * 40
        assert lost == LARGE and await fetched(world, user, (first, "large")) == [None]
        assert await fetched(world, user, (first, ".pilotage/stdout")) == [None]

    story(tell)


def test_nobody_gets_what_another_may_not_see() -> None:
    async def tell(world: FakeInstallation) -> None:
        first, _ = await submit(world, sweep())
        await until_all_end(world)
        bob = person(world, "bob")
        page = await world.central.services.queries.outputs_of(bob, JobFilter(), 0, 1_000)

        assert page.jobs == []
        assert await fetched(world, bob, (first, "word.txt")) == [None]

    story(tell)
