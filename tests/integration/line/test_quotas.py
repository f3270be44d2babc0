"""Quotas of jobs, from the submission to the end, on a central without a world."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.accounts.quotas import EVERY_S
from pilotage.central.accounts.record_quotas import Holding, HoldingState
from pilotage.central.errors import Refused
from pilotage.central.identity import record as identity_records
from pilotage.central.identity.callers import AttemptCaller, Caller, User
from pilotage.central.identity.record_types import Owner
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.blobs.removal import BlobSweep
from pilotage.central.sent_messages import Assignment
from pilotage.proto.api.jobs import Action, ActionName, BlobQuery, Submission
from pilotage.proto.api.quotas import QuotaChange, UsageRow
from pilotage.proto.claims import Role
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Answer, How, Output, Report, What
from pilotage.proto.problems import Code

from .test_protocol import Scene, scene

OWNER = "admin"


async def set_quota(one: Scene, **limits: object) -> None:
    fields: dict[str, object] = {"kind": "community", "community": "ctao", **limits}
    change = msgspec.convert(fields, QuotaChange)
    await one.world.central.services.quotas.change(one.world.user(), change)


async def rows(one: Scene) -> dict[str, UsageRow]:
    view = await one.world.central.services.quotas.usage(one.world.user())
    return {f"{row.kind} {row.name}".strip(): row for row in view.rows}


async def used(one: Scene) -> int:
    return (await rows(one))["community"].jobs


async def ended(one: Scene, job: int) -> None:
    """Let the pilot run a job to its end."""
    given = await one.ask()
    assert given.job == job
    await one.turn(Report(job, given.epoch, given.attempt_id, 1, What.STARTED))
    end = Report(job, given.epoch, given.attempt_id, 2, What.ENDED, How.EXITED, 0)
    await one.turn(end)


def test_usage_shows_what_has_not_ended_and_the_limits() -> None:
    async def tell(one: Scene) -> None:
        await set_quota(one, jobs=10, bytes=5)
        first, _, third = await one.submit(3)
        await ended(one, first)
        await one.kill(third)
        found = await rows(one)

        assert {name: row.jobs for name, row in found.items()} == {
            "community": 1,
            "group dpps": 1,
            f"owner {OWNER}": 1,
        }
        assert (found["community"].jobs_max, found["community"].bytes_max) == (10, 5)
        assert found["group dpps"].jobs_max is None

    scene(tell)


def test_jobs_over_quota_are_refused_until_some_have_ended() -> None:
    async def tell(one: Scene) -> None:
        await set_quota(one, jobs=2)
        first, _ = await one.submit(2)
        with pytest.raises(Refused) as refused:
            await one.submit()
        await ended(one, first)
        await one.submit()  # at once: nobody waits until the end is taken off
        with pytest.raises(Refused):
            await one.submit()

        assert refused.value.code is Code.OVER_QUOTA
        assert await used(one) == 2

    scene(tell)


def test_a_parametric_submission_over_quota_leaves_nothing_behind() -> None:
    async def tell(one: Scene) -> None:
        await set_quota(one, jobs=2_500)
        parameters = [msgspec.Raw(b'{"n":%d}' % n) for n in range(3_000)]
        body = msgspec.convert(
            {"key": uuid.uuid4().hex, "template": {"command": ["run", "{n}"]}}, Submission
        )
        whole = msgspec.structs.replace(body, parameters=parameters)
        submits = one.world.central.services.submissions
        with pytest.raises(Refused, match="has 0 of 2500 unended jobs, and this adds at least"):
            await submits.submit(one.world.user(), whole, body_hash="x")
        less = msgspec.structs.replace(body, parameters=parameters[:2_500])
        made = await submits.submit(one.world.user(), less, body_hash="y")

        assert made.count == 2_500
        assert await used(one) == 2_500

    scene(tell)


def test_ended_jobs_that_shall_run_again_count_and_are_refused_over_quota() -> None:
    async def tell(one: Scene) -> None:
        first, second = await one.submit(2)
        for job in (first, second):
            await one.kill(job)
        await set_quota(one, jobs=1)
        control, user = one.world.central.services.control, one.world.user()
        again = [
            await control.act(user, Action(action=ActionName.RESCHEDULE, ids=(job,)))
            for job in (first, second)
        ]

        assert [reply.done for reply in again] == [1, 0]
        assert again[1].refused[0].code == Code.OVER_QUOTA.value
        assert await one.state(second) is JobState.KILLED
        assert await used(one) == 1

    scene(tell)


def test_one_reschedule_of_many_lets_as_many_run_again_as_the_quota_has_room_for() -> None:
    async def tell(one: Scene) -> None:
        jobs = await one.submit(4)
        for job in jobs:
            await one.kill(job)
        await set_quota(one, jobs=2)
        action = Action(action=ActionName.RESCHEDULE, ids=tuple(jobs))
        reply = await one.world.central.services.control.act(one.world.user(), action)

        assert reply.done == 2
        assert [each.code for each in reply.refused] == [Code.OVER_QUOTA.value] * 2
        assert await used(one) == 2

    scene(tell)


def test_a_reschedule_and_a_submission_at_the_same_time_do_not_exceed_the_quota() -> None:
    async def tell(one: Scene) -> None:
        jobs = await one.submit(5)
        for job in jobs:
            await one.kill(job)
        await set_quota(one, jobs=5)
        control, user = one.world.central.services.control, one.world.user()
        again = control.act(user, Action(action=ActionName.RESCHEDULE, ids=tuple(jobs)))
        await asyncio.gather(again, one.submit(5), return_exceptions=True)

        assert await used(one) == 5

    scene(tell)


def test_what_is_used_is_right_after_a_kill_of_the_central() -> None:
    async def tell(one: Scene) -> None:
        first, *_ = await one.submit(3)
        await asyncio.sleep(2 * EVERY_S)
        await ended(one, first)
        await one.world.kill()  # the end was not taken off yet
        await one.world.start()

        assert await used(one) == 2

    scene(tell)


def test_an_end_counts_though_its_owner_is_over_quota() -> None:
    async def tell(one: Scene) -> None:
        first, *_ = await one.submit(3)
        await set_quota(one, jobs=0, bytes=0)
        await ended(one, first)

        assert await one.state(first) is JobState.DONE
        assert await used(one) == 2

    scene(tell)


def test_a_quota_that_is_removed_holds_no_more() -> None:
    async def tell(one: Scene) -> None:
        await set_quota(one, jobs=0)
        with pytest.raises(Refused):
            await one.submit()
        await set_quota(one, remove=True)
        await one.submit()

        assert (await rows(one))["community"].jobs_max is None

    scene(tell)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "users"}, "a community has no name, found 'users'"),
        ({"kind": "group"}, "a quota of kind group needs a name"),
    ],
)
def test_a_quota_that_names_nobody_is_refused(fields: dict[str, str], message: str) -> None:
    async def tell(one: Scene) -> None:
        with pytest.raises(Refused, match=message) as refused:
            await set_quota(one, **fields)

        assert (refused.value.code, refused.value.field) == (Code.INVALID, "name")

    scene(tell)


# -- contents -----------------------------------------------------------------------------------


async def brought(one: Scene, caller: Caller, content: bytes, *, announced: bool = True) -> str:
    sha256 = hashlib.sha256(content).hexdigest()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100):
            yield content[start : start + 100]

    length = len(content) if announced else None
    await one.world.central.services.sandbox.put(caller, sha256, chunks(), length)
    return sha256


def person(one: Scene, name: str, **fields: object) -> User:
    groups: dict[str, object] = {"groups": ("dpps",), "role": Role.USER, **fields}
    return msgspec.structs.replace(one.world.user(), subject=name, **groups)


def attempt_of(given: Assignment) -> AttemptCaller:
    return AttemptCaller(
        job=given.job, epoch=given.epoch, attempt_id=given.attempt_id, community="ctao"
    )


async def missing(one: Scene, caller: User, *hashes: str) -> list[str]:
    query = BlobQuery(sha256=hashes)
    return (await one.world.central.services.sandbox.missing(caller, query)).missing


async def may_read(one: Scene, caller: Caller, sha256: str) -> bool:
    try:
        await one.world.central.services.sandbox.read(caller, sha256)
    except Refused as why:
        assert why.code is Code.NOT_FOUND
        return False
    return True


def test_what_strangers_brought_is_missing_and_cannot_be_read() -> None:
    async def tell(one: Scene) -> None:
        ada, bob, admin = person(one, "ada"), person(one, "bob"), one.world.user()
        manager = person(one, "mia", role=Role.MANAGER)
        other = person(one, "max", role=Role.MANAGER, groups=("acada",))
        sha256 = await brought(one, ada, b"secret")

        assert await missing(one, ada, sha256) == []
        assert await missing(one, bob, sha256) == [sha256]
        readers = [await may_read(one, who, sha256) for who in (ada, bob, admin, manager, other)]
        assert readers == [True, False, True, True, False]
        await brought(one, bob, b"secret")
        assert await missing(one, bob, sha256) == []
        assert await may_read(one, bob, sha256)

    scene(tell)


def test_an_attempt_reads_what_the_owner_of_its_job_holds_and_nothing_else() -> None:
    async def tell(one: Scene) -> None:
        own = await brought(one, one.world.user(), b"input")
        foreign = await brought(one, person(one, "bob"), b"secret")
        await one.submit()
        attempt = attempt_of(await one.ask())

        assert await may_read(one, attempt, own)
        assert not await may_read(one, attempt, foreign)

    scene(tell)


def test_an_output_that_somebody_else_brought_is_missing_until_the_pilot_brings_it() -> None:
    async def tell(one: Scene) -> None:
        sha256 = await brought(one, person(one, "bob"), b"secret")
        await one.submit()
        given = await one.ask()
        out = Output("out", sha256, 6)
        end = Report(given.job, 1, given.attempt_id, 2, What.ENDED, How.EXITED, 0, outputs=(out,))
        first = (await one.turn(end)).reports[0]
        await brought(one, attempt_of(given), b"secret")
        second = (await one.turn(end)).reports[0]

        assert (first.answer, first.missing) == (Answer.MISSING, (sha256,))
        assert second.answer is Answer.OK

    scene(tell)


def test_an_output_has_the_size_of_its_bytes_whatever_its_pilot_says() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        given = await one.ask()
        sha256 = await brought(one, attempt_of(given), b"")
        out = Output("out", sha256, 10**12, 10**15)
        await one.turn(
            Report(job, 1, given.attempt_id, 2, What.ENDED, How.EXITED, 0, outputs=(out,))
        )
        kept = (await one.world.store.read(job_records.attempts, job))[0].outputs[0]

        assert kept.size_bytes == 0
        assert kept.of_bytes < 10**12

    scene(tell)


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_over_quota_is_refused_and_nothing_of_it_stays(announced: bool) -> None:
    async def tell(one: Scene) -> None:
        await set_quota(one, bytes=1_000)
        ada = person(one, "ada")
        await brought(one, ada, b"a" * 600, announced=announced)
        with pytest.raises(Refused, match="has 600 of 1000 bytes") as refused:
            await brought(one, ada, b"b" * 600, announced=announced)
        await brought(one, ada, b"a" * 600, announced=announced)  # it is held already
        await brought(one, ada, b"c" * 400, announced=announced)

        assert refused.value.code is Code.OVER_QUOTA
        assert len(one.world.blobs.blobs) == 2
        assert (await rows(one))["community"].bytes == 1_000

    scene(tell)


def test_files_of_one_owner_that_come_at_the_same_time_do_not_exceed_the_quota() -> None:
    async def tell(one: Scene) -> None:
        await set_quota(one, bytes=1_000)
        ada = person(one, "ada")
        calls = [brought(one, ada, b"%d" % n * 300) for n in range(9)]
        found = await asyncio.gather(*calls, return_exceptions=True)

        assert sum(isinstance(each, Refused) for each in found) == 6
        assert (await rows(one))["owner ada"].bytes == 900
        assert len(one.world.blobs.blobs) == 3

    scene(tell)


def test_a_report_counts_without_the_outputs_that_were_over_quota() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        given = await one.ask()
        await set_quota(one, bytes=10)
        with pytest.raises(Refused) as refused:
            await brought(one, attempt_of(given), b"x" * 11)
        end = Report(
            job, 1, given.attempt_id, 2, What.ENDED, How.QUOTA, 0, detail=str(refused.value)
        )
        answer = (await one.turn(end)).reports[0].answer
        detail = await one.world.central.services.queries.job(one.world.user(), job)

        assert answer is Answer.OK
        assert detail.view.state is JobState.FAILED
        assert detail.view.reason.startswith("quota: ")

    scene(tell)


def test_a_pilot_of_before_that_says_output_ended_by_its_quota_too() -> None:
    async def tell(one: Scene) -> None:
        (job,) = await one.submit()
        given = await one.ask()
        said = "out was not stored: 403 over_quota owner 'ada' has 5 of 5 bytes"
        end = Report(job, 1, given.attempt_id, 2, What.ENDED, How.OUTPUT, 0, detail=said)
        await one.turn(end)

        assert (await one.world.store.read(job_records.attempts, job))[0].how is How.QUOTA

    scene(tell)


def test_bytes_are_given_back_when_no_job_of_the_owner_names_them_any_more() -> None:
    async def tell(one: Scene) -> None:
        world, ada, bob = one.world, person(one, "ada"), person(one, "bob")
        sweep = BlobSweep(world.store, world.blobs, world.clock, hold_s=3_600)
        named = await brought(one, ada, b"input")
        for who in (ada, bob):
            await brought(one, who, b"shared")
        await brought(one, bob, b"input")
        job = {"command": ["run"], "inputs": [{"name": "in", "sha256": named, "size_bytes": 5}]}
        body = Submission(key="k", jobs=[msgspec.Raw(msgspec.json.encode(job))])
        await world.central.services.submissions.submit(ada, body, body_hash="x")
        await sweep.sweep()
        early = (await rows(one))["community"].bytes
        await asyncio.sleep(3_601)
        asked = await missing(one, bob, hashlib.sha256(b"shared").hexdigest())
        await sweep.sweep()
        found = await rows(one)

        assert (early, asked) == (22, [])
        # Each has what the own jobs name, and what was asked for a moment ago.
        assert (found["owner ada"].bytes, found["owner bob"].bytes) == (5, 6)
        assert set(map(len, world.blobs.blobs.values())) == {5, 6}

    scene(tell)


def test_a_content_whose_owner_died_with_its_upload_is_given_back_and_can_come_again() -> None:
    async def tell(one: Scene) -> None:
        ada = person(one, "ada")
        sha256 = hashlib.sha256(b"lost").hexdigest()
        await one.world.central.services.quotas.usage(ada)
        owner = await one.world.store.write(
            identity_records.owner,
            Owner(community="ctao", issuer=ada.issuer, subject="ada", name=""),
        )
        await one.world.store.write(
            quota_records.hold,  # the central died before the file had its name
            Holding(
                sha256=sha256,
                owner_id=owner.owner_id,
                community="ctao",
                group="dpps",
                bytes=4,
                at=one.world.clock.wall(),
            ),
        )
        assert await missing(one, ada, sha256) == [sha256]
        await brought(one, ada, b"lost")
        assert await missing(one, ada, sha256) == []
        assert (await rows(one))["owner ada"].bytes == 4

    scene(tell)


def test_an_output_is_held_in_the_group_of_its_job_though_its_owner_holds_it_in_another() -> None:
    async def tell(one: Scene) -> None:
        ada = person(one, "ada", groups=("dpps", "acada"))
        sha256 = await brought(one, ada, b"same")
        job = msgspec.Raw(b'{"command":["run"],"group":"acada"}')
        body = Submission(key="k", jobs=[job])
        await one.world.central.services.submissions.submit(ada, body, body_hash="x")
        given = await one.ask()
        attempt = attempt_of(given)
        asked = BlobQuery(sha256=(sha256,))
        answer = await one.world.central.services.sandbox.missing(attempt, asked)
        out = Output("out", sha256, 4)
        end = Report(given.job, 1, given.attempt_id, 2, What.ENDED, How.EXITED, 0, outputs=(out,))
        first = (await one.turn(end)).reports[0]
        await brought(one, attempt, b"same")
        second = (await one.turn(end)).reports[0]
        manager = person(one, "mia", role=Role.MANAGER, groups=("acada",))

        assert answer.missing == [sha256]
        assert (first.answer, second.answer) == (Answer.MISSING, Answer.OK)
        assert await may_read(one, manager, sha256)
        found = await rows(one)
        assert (found["group acada"].bytes, found["group dpps"].bytes) == (4, 4)

    scene(tell)


def test_a_report_names_no_content_that_was_given_back_after_it_was_brought() -> None:
    async def tell(one: Scene) -> None:
        world = one.world
        sweep = BlobSweep(world.store, world.blobs, world.clock, hold_s=3_600)
        sha256 = await brought(one, world.user(), b"old")
        bob = person(one, "bob")
        await brought(one, bob, b"old")
        await asyncio.sleep(3_601)
        await missing(one, bob, sha256)  # so that the file stays
        await sweep.sweep()
        await one.submit()
        given = await one.ask()
        may = await may_read(one, attempt_of(given), sha256)
        out = Output("out", sha256, 3)
        end = Report(given.job, 1, given.attempt_id, 2, What.ENDED, How.EXITED, 0, outputs=(out,))
        answer = (await one.turn(end)).reports[0]

        assert not may
        assert (answer.answer, answer.missing) == (Answer.MISSING, (sha256,))

    scene(tell)


def test_in_a_store_of_before_only_contents_without_a_holder_are_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def tell(one: Scene) -> None:
        world = one.world

        async def state(plain: object) -> HoldingState:
            return HoldingState(True, world.clock.wall() + 10_000)

        world.store.ways[quota_records.holding_state] = state
        ada, bob = person(one, "ada"), person(one, "bob")
        new, old = await brought(one, ada, b"new"), hashlib.sha256(b"old").hexdigest()
        world.blobs.blobs[old] = b"old"
        opened = [await may_read(one, bob, sha256) for sha256 in (new, old)]
        await one.submit()
        given = await one.ask()
        outputs = (Output("new", new, 3), Output("old", old, 3))
        end = Report(given.job, 1, given.attempt_id, 2, What.ENDED, How.EXITED, 0, outputs=outputs)
        answer = (await one.turn(end)).reports[0]

        assert opened == [False, True]
        assert (answer.answer, answer.missing) == (Answer.MISSING, (new,))

    scene(tell)


def test_an_empty_file_fits_a_full_quota() -> None:
    async def tell(one: Scene) -> None:
        await set_quota(one, bytes=3)
        ada = person(one, "ada")
        await brought(one, ada, b"all")
        empty = await brought(one, ada, b"")

        assert await missing(one, ada, empty) == []
        with pytest.raises(Refused):
            await brought(one, ada, b"x")

    scene(tell)
