"""What ended long ago goes, whole; what is still of use stays."""

import msgspec

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.identity import record as token_records
from pilotage.central.jobs import (
    record as job_records,
    record_retention as retention_records,
    record_search as job_search,
    record_submissions as submission_records,
)
from pilotage.central.jobs.record_types import JobSearch, UncountedReport
from pilotage.central.pilots import record as pilot_records
from pilotage.central.pilots.record_types import NewSecret, Registration
from pilotage.central.store.engine import Store
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Output
from pilotage.proto.pilot_states import PilotState
from tests import turns

from .conftest import NOW, Reopen
from .rows import (
    a_class,
    a_move,
    a_submission,
    an_end,
    matched,
    some_jobs,
    submitted,
    waiting_jobs,
)
from .test_pilots import a_token

AGES = 10_000.0
D, F, K, W = JobState.DONE, JobState.FAILED, JobState.KILLED, JobState.WAITING
SHA = "ab" * 32


async def ended(store: Store, job_id: int, *, at: float = 40.0) -> int:
    attempt = await matched(store, job_id)
    out = Output(name="a", size_bytes=1, sha256=SHA)
    assert await turns.change(store, [an_end(attempt, job_id, at=at, outputs=(out,))]) == [True]
    return attempt


async def test_ended_jobs_are_listed_with_what_they_are_counted_under(store: Store) -> None:
    first, second, third = await waiting_jobs(store, 3)
    await ended(store, first)
    await store.write(job_records.move, [a_move(second, W, K)])
    await store.write(job_records.delete, [first], 60.0, "ada")
    jobs, after = await store.read(retention_records.ended_jobs, after=0, before=AGES)

    assert after is None
    assert [(one.job_id, one.state, one.ended_at, one.site, one.deleted) for one in jobs] == [
        (first, D, 40.0, "PIC", True),
        (second, K, 50.0, "", False),
    ]
    assert (jobs[0].community, jobs[0].group, jobs[0].type) == ("ctao", "sim", "User")
    assert third not in [one.job_id for one in jobs]
    assert await store.read(retention_records.ended_jobs, after=first, before=50.0) == ([], None)


async def test_a_pruned_job_leaves_nothing_and_its_neighbours_stay(
    store: Store, reopen: Reopen
) -> None:
    first, second = await waiting_jobs(store, 2)
    await ended(store, first)
    await ended(store, second)
    evidence = [
        UncountedReport(job_id=i, epoch=1, at=1.0, pilot="p", why="", report=b"") for i in (1, 2)
    ]
    await store.write(job_records.keep_evidence, evidence)
    await store.write(job_records.delete, [first], 60.0, "ada")

    assert await store.write(retention_records.prune_jobs, [(first, 40.0)]) == [(first, True)]
    store = await reopen(store)

    assert await store.read(job_records.job, first) is None
    assert await store.read(job_records.attempts, first) == []
    assert await store.read(job_records.notes, first) == []
    assert await store.read(job_records.evidence, first) == []
    assert list(await store.read(job_records.bodies, [first, second])) == [second]
    assert await store.read(job_search.ids, JobSearch(include_deleted=True), limit=9) == [second]
    assert [(row.state, row.count) for row in await store.read(job_records.counts)] == [(D, 1)]
    assert (
        len(await store.read(job_records.attempts, second))
        == len(await store.read(job_records.evidence, second))
        == 1
    )


async def test_a_job_that_was_opened_again_is_not_pruned(store: Store) -> None:
    (job,) = await waiting_jobs(store, 1)
    await ended(store, job)
    await store.write(job_records.move, [a_move(job, D, W, new_round=True)])

    assert await store.write(retention_records.prune_jobs, [(job, 40.0)]) == []
    assert await store.write(retention_records.prune_jobs, [(job, 39.0), (99, 40.0)]) == []
    assert await store.read(job_records.job, job) is not None


async def test_all_attempts_of_a_pruned_job_go(store: Store) -> None:
    (job,) = await waiting_jobs(store, 1)
    await ended(store, job)
    await store.write(job_records.move, [a_move(job, D, W, new_round=True)])
    attempt = await matched(store, job, 2)
    await turns.change(store, [an_end(attempt, job, 2, at=70.0, new=F, failed=True)])

    assert await store.write(retention_records.prune_jobs, [(job, 70.0)]) == [(job, False)]
    assert await store.read(job_records.attempts, job) == []
    assert [
        one.text
        async for part in quota_records.blob_names(store)
        for one in part
        if SHA.encode() in one.text
    ] == []


async def test_the_key_of_a_pruned_submission_is_never_free_again(store: Store) -> None:
    kind = await a_class(store)
    record = await submitted(store, kind, 1)
    job = record.ranges[0][0]
    await ended(store, job)
    await store.write(retention_records.prune_jobs, [(job, 40.0)])
    again = await store.write(submission_records.submit, a_submission(kind), some_jobs(kind, 1))

    assert again.repeated
    assert again.ranges == record.ranges
    assert again.template is None


async def test_ids_of_pruned_jobs_are_not_used_again(store: Store, reopen: Reopen) -> None:
    kind = await a_class(store)
    (job,) = await waiting_jobs(store, 1)
    await ended(store, job)
    await store.write(retention_records.prune_jobs, [(job, 40.0)])
    store = await reopen(store)

    assert (await submitted(store, kind, 1, "other")).ranges[0][0] > job


async def test_a_class_that_no_job_names_goes_with_the_next_start(
    store: Store, reopen: Reopen
) -> None:
    old = await a_class(store, needs=b"[1]")
    used = await a_class(store, needs=b"[2]")
    last = await a_class(store, needs=b"[3]")
    first = await submitted(store, old, 1, "old")
    await submitted(store, used, 1, "used")
    await ended(store, first.ranges[0][0])
    await store.write(retention_records.prune_jobs, [(first.ranges[0][0], 40.0)])
    ids = [old.class_id, used.class_id, last.class_id]

    assert len(await store.read(submission_records.classes_given, ids)) == 3
    store = await reopen(store)
    left = [one.class_id for one in await store.read(submission_records.classes_given, ids)]

    assert used.class_id in left
    assert old.class_id not in left
    again = await a_class(store, needs=b"[4]")
    assert again.class_id > last.class_id  # an id never means two classes


async def test_texts_that_name_blobs_are_all_seen(store: Store) -> None:
    kind = await a_class(store)
    made = await submitted(store, kind, 2)
    await store.write(
        submission_records.submit,
        a_submission(kind, "own", template=None),
        [msgspec.structs.replace(some_jobs(kind, 1)[0], body=b'{"inputs":["cd"]}')],
    )
    await ended(store, made.ranges[0][0])
    texts = b" ".join([one.text async for part in quota_records.blob_names(store) for one in part])

    assert all(word in texts for word in (b'"shower"', b'"inputs":["cd"]', SHA.encode()))


async def test_old_evidence_goes_from_the_oldest_on(store: Store) -> None:
    rows = [
        UncountedReport(job_id=7, epoch=i, at=float(i), pilot="p", why="late", report=b"{}")
        for i in range(1, 6)
    ]
    await store.write(job_records.keep_evidence, rows)

    assert await store.write(retention_records.prune_evidence, 4.0, limit=2) == 2
    assert await store.write(retention_records.prune_evidence, 4.0, limit=2) == 1
    assert [one.epoch for one in await store.read(job_records.evidence, 7)] == [4, 5]


def a_secret(pilot: str, expires_at: float) -> NewSecret:
    return NewSecret(
        secret_hash=f"hash of {pilot}",
        pilot=pilot,
        community="ctao",
        site="PIC",
        element="slurm",
        expires_at=expires_at,
        made_by="op",
        at=1.0,
    )


async def test_a_pilot_goes_when_it_ended_long_ago(store: Store) -> None:
    await store.write(
        pilot_records.add_secrets,
        [a_secret("old", NOW), a_secret("new", NOW), a_secret("lives", NOW)],
    )
    for pilot, at in (("old", 100.0), ("new", 900.0)):
        await store.write(
            pilot_records.register,
            Registration(
                secret_hash=f"hash of {pilot}",
                nonce="n",
                renewal_hash="r",
                host="h",
                node=b"{}",
                at=2.0,
            ),
        )
        await store.write(
            pilot_records.move_pilot,
            pilot,
            PilotState.RUNNING,
            PilotState.DONE,
            at,
            "said good-bye",
        )

    assert await store.read(retention_records.ended_pilots, after="", before=500.0, limit=9) == [
        "old"
    ]
    await store.write(retention_records.prune_pilots, ["old", "new", "lives"], 500.0)
    left = [
        row.pilot
        for row in await store.read(pilot_records.pilots, None, states=(), after="", limit=9)
    ]

    assert left == ["lives", "new"]


async def test_pilots_whose_secret_was_not_used_in_time_are_named(store: Store) -> None:
    await store.write(pilot_records.add_secrets, [a_secret("late", 500.0), a_secret("waits", NOW)])

    assert await store.read(retention_records.never_registered, 600.0, limit=9) == ["late"]


async def test_tokens_that_expired_before_go_with_their_revocations(store: Store) -> None:
    for jti, end in [("first", 10.0), ("second", 20.0), ("third", 30.0), ("live", NOW + 100)]:
        await store.write(token_records.add_token, a_token(jti, expires_at=end))
    for jti in ("first", "live"):
        await store.write(token_records.revoke_token, jti, 5.0)

    gone = [await store.write(retention_records.prune_tokens, 30.0, limit=1) for _ in range(3)]

    assert gone == [1, 1, 0]
    assert {one.jti for one in await store.read(token_records.tokens, None, limit=9)} == {
        "third",
        "live",
    }
    assert await store.read(token_records.revoked, NOW) == [("live", NOW + 100)]
