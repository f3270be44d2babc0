"""The contract of matches and of everything that becomes of an attempt."""

from asyncio import gather

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.dispatch import record as turn_records
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.record_types import (
    AdriftEnd,
    ApplicationStatus,
    AttemptStart,
    JobBody,
    NewJob,
    TakeBack,
    UncountedReport,
)
from pilotage.central.store.engine import Store
from pilotage.matcher.types import Grant
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Output
from tests import turns

from .conftest import Reopen
from .rows import (
    USAGE,
    a_class,
    a_move,
    a_requeue,
    a_submission,
    a_want,
    an_attempt,
    an_end,
    matched,
    state_of,
    waiting_jobs,
)

S = JobState


# -- attempts -----------------------------------------------------------------------------------


async def test_a_match_gives_the_body_and_a_live_attempt(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1, retries=2, queue_until=500.0, priority=7)
    attempt_id = await store.write(job_records.reserve_attempts, 1)
    (body,) = await turns.match(store, [an_attempt(attempt_id, job_id)])
    (live,) = await store.read(job_records.live_attempts)
    standing = (await store.write(job_records.standing, [job_id]))[job_id]
    row = await store.read(job_records.job, job_id)

    assert body is not None and (body.job_id, body.body, body.retries) == (job_id, b'{"i":0}', 2)
    assert (live.attempt_id, live.job_id, live.epoch, live.round) == (attempt_id, job_id, 1, 1)
    assert (live.live, live.started, live.community) == (True, False, "ctao")
    assert (live.priority, live.retries, live.queue_until) == (7, 2, 500.0)
    assert (live.pilot, live.session, live.ask, live.site) == ("pilot-1", 1, 4, "PIC")
    assert (live.element, live.lease_s) == ("slurm", 90.0)
    assert live.grant == an_attempt(live.attempt_id, live.job_id).grant
    assert (standing.state, standing.epoch, standing.live) == (S.MATCHED, 1, True)
    assert (standing.attempt_id, standing.pilot, standing.site) == (attempt_id, "pilot-1", "PIC")
    assert row is not None
    assert (row.state, row.epoch, row.site, row.pilot) == (S.MATCHED, 1, "PIC", "pilot-1")


async def test_many_matches_are_written_as_one_is(store: Store) -> None:
    """Eighteen: more than a statement takes, and the last statement is not full."""
    ids = await waiting_jobs(store, 18)
    first = await store.write(job_records.reserve_attempts, len(ids))
    grants = [Grant(n, 10 + n, 20 + n, 30.5 + n, 40 + n, 50.5 + n, {"net": n}) for n in range(18)]
    made = [
        an_attempt(first + n, job_id, grant=grants[n], host=f"node{n}", at=60.0 + n, lease_s=80.0)
        for n, job_id in enumerate(ids)
    ]
    bodies = await turns.match(store, made)
    found = await store.read(job_records.attempts_of_jobs, ids)

    assert all(bodies)
    rows = [row for job_id in ids for row in found[job_id]]
    assert [row.attempt_id for row in rows] == [first + n for n in range(18)]
    assert [row.grant for row in rows] == grants
    assert [(row.host, row.matched_at, row.lease_s, row.live) for row in rows] == [
        (f"node{n}", 60.0 + n, 80.0, True) for n in range(18)
    ]


async def test_a_match_at_another_epoch_or_state_gives_nothing(store: Store) -> None:
    first, second, third = await waiting_jobs(store, 3)
    await store.write(job_records.move, [a_move(second, S.WAITING, S.HELD)])
    bodies = await turns.match(
        store,
        [
            an_attempt(1, first, epoch=2),
            an_attempt(2, second),
            an_attempt(3, third),
            an_attempt(4, third),
            an_attempt(5, third, epoch=2),
            an_attempt(6, 99),
        ],
    )

    assert [body is not None for body in bodies] == [False, False, True, False, False, False]
    assert [live.attempt_id for live in await store.read(job_records.live_attempts)] == [3]


async def test_a_turn_changes_first_and_then_matches(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    attempt_id = await matched(store, first)
    ended = an_end(attempt_id, first, new=S.WAITING, failed=True)
    again = an_attempt(50, first, epoch=2)
    won, bodies = await store.write(
        turn_records.turn, [ended, ended], [again, an_attempt(51, second, epoch=2)]
    )

    assert won == [True, False]
    assert bodies[0] is not None and (bodies[0].job_id, bodies[0].failures) == (first, 1)
    assert bodies[1] is None
    assert await store.write(turn_records.turn, [], []) == ([], [])
    assert await state_of(store, first) is S.MATCHED


async def test_matches_that_are_written_together_are_each_judged_by_themselves(
    store: Store,
) -> None:
    jobs = await waiting_jobs(store, 40)
    kind, body = await a_class(store), b'{"i":"%b"}' % (b"x" * 5_000)
    new = a_submission(kind, "long")
    long = (
        await store.write(
            submission_records.submit, new, [NewJob(class_id=kind.class_id, body=body)]
        )
    ).ranges[0][0]
    before = await matched(store, jobs[0])
    await turns.change(store, [a_requeue(before, jobs[0])])
    await store.write(job_records.move, [a_move(jobs[1], S.WAITING, S.HELD)])
    first = await store.write(job_records.reserve_attempts, 60)
    singly = [an_attempt(first + at, job) for at, job in enumerate(jobs[1:20])]
    wide = [an_attempt(first + 20 + at, job) for at, job in enumerate(jobs[20:])]
    again = an_attempt(first + 50, jobs[0], epoch=2)
    late = [an_attempt(first + 51, jobs[2]), an_attempt(first + 52, long)]
    (singles, [(won, of_wide)]), ([of_again, of_late],) = await gather(
        gather(
            gather(*[store.write(turn_records.turn, [], [one]) for one in singly]),
            gather(store.write(turn_records.turn, [], wide, lambda bodies: len(bodies) - 3)),
        ),
        gather(gather(turns.match(store, [again]), turns.match(store, late))),
    )
    live = {one.attempt_id for one in await store.read(job_records.live_attempts)}

    assert [bodies[0] is not None for _, bodies in singles] == [False] + [True] * 18
    assert _jobs_of([body for _, bodies in singles for body in bodies]) == jobs[2:20]
    assert _jobs_of(of_wide) == jobs[20:37] and won == []
    assert _jobs_of(of_again) == jobs[:1]
    assert of_late[0] is None and of_late[1] is not None and of_late[1].body == body
    assert live == {one.attempt_id for one in [*singly[1:], *wide[:17], again, late[1]]}
    assert not (await store.read(job_records.attempts, jobs[0]))[0].open


async def test_turns_that_are_written_together_are_each_judged_where_one_lost_its_race(
    store: Store,
) -> None:
    jobs = await waiting_jobs(store, 12)
    ids = [await matched(store, job) for job in jobs[:10]]
    starts = [
        AttemptStart(attempt_id=attempt_id, job_id=job, at=5.0)
        for attempt_id, job in zip(ids, jobs, strict=False)
    ]
    await turns.change(store, [starts[3]])
    first = await store.write(job_records.reserve_attempts, 3)
    new = [an_attempt(first, jobs[10]), an_attempt(first + 1, jobs[10])]
    (won, _), (both, _), (late, _), *others, (_, given), (_, refused) = await gather(
        store.write(turn_records.turn, [starts[0], an_end(ids[1], jobs[1])], []),
        store.write(turn_records.turn, [starts[2], an_end(ids[2], jobs[2])], []),
        store.write(turn_records.turn, [starts[3]], []),
        *[store.write(turn_records.turn, [start], []) for start in starts[4:]],
        store.write(turn_records.turn, [], new[:1]),
        store.write(turn_records.turn, [], new[1:]),
    )

    assert won == both == [True, True] and late == [False]
    assert [each for each, _ in others] == [[True]] * 6
    assert _jobs_of(given) == jobs[10:11] and refused == [None]
    assert [await state_of(store, job) for job in jobs[:4]] == [
        S.RUNNING,
        S.DONE,
        S.DONE,
        S.RUNNING,
    ]


def _jobs_of(bodies: list[JobBody | None]) -> list[int]:
    return [body.job_id for body in bodies if body is not None]


async def test_attempt_ids_are_never_given_twice(store: Store, reopen: Reopen) -> None:
    first = await store.write(job_records.reserve_attempts, 10)
    second = await store.write(job_records.reserve_attempts, 1)
    third = await (await reopen(store)).write(job_records.reserve_attempts, 1)

    assert (first, second, third) == (1, 11, 12)


async def test_an_ordinary_life_leaves_its_history_in_the_attempt(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    outputs = [Output(name="out/a.dat", sha256="ab" * 32, size_bytes=5)]
    won = await turns.change(
        store,
        [
            AttemptStart(attempt_id=attempt_id, job_id=job_id, at=22.5, isolation="unshare"),
            ApplicationStatus(attempt_id=attempt_id, job_id=job_id, at=23.123456, status="10 %"),
            ApplicationStatus(attempt_id=attempt_id, job_id=job_id, at=24.0, status='90 % "ü"'),
            an_end(attempt_id, job_id, outputs=outputs),
        ],
    )
    (attempt,) = await store.read(job_records.attempts, job_id)
    row = await store.read(job_records.job, job_id)

    assert won == [True] * 4
    assert (attempt.state, attempt.live, attempt.open) == (None, False, False)
    assert (attempt.matched_at, attempt.started_at, attempt.ended_at) == (20.0, 22.5, 40.0)
    assert (attempt.how, attempt.exit_code, attempt.isolation) == (How.EXITED, 0, "bwrap")
    assert (attempt.usage, attempt.outputs) == (USAGE, tuple(outputs))
    assert attempt.progress == ((23.123456, "10 %"), (24.0, '90 % "ü"'))
    assert attempt.event == "succeeded"
    assert row is not None
    assert (row.state, row.exit_code, row.status) == (S.DONE, 0, '90 % "ü"')
    assert (row.submitted_at, row.started_at, row.ended_at) == (10.0, 22.5, 40.0)


async def test_the_image_of_an_attempt_is_kept_from_its_start_or_its_end(store: Store) -> None:
    jobs = await waiting_jobs(store, 3)
    attempts = [await matched(store, job_id) for job_id in jobs]
    early, late, plain = zip(attempts, jobs, strict=True)
    name = "ghcr.io/a/b@sha256:" + "0a" * 32
    await turns.change(
        store,
        [
            AttemptStart(attempt_id=early[0], job_id=early[1], at=22.0, image=name),
            an_end(*late, image="/images/a.sif"),
            an_end(*plain),
        ],
    )
    await turns.change(store, [an_end(*early)])
    rows = [(await store.read(job_records.attempts, job_id))[0] for job_id in jobs]

    assert [row.image for row in rows] == [name, "/images/a.sif", ""]


async def test_progress_keeps_the_newest_hundred(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    steps = [
        ApplicationStatus(attempt_id=attempt_id, job_id=job_id, at=float(i), status=str(i))
        for i in range(105)
    ]
    await turns.change(store, steps)
    (attempt,) = await store.read(job_records.attempts, job_id)

    assert [status for _, status in attempt.progress] == [str(i) for i in range(5, 105)]


async def test_an_end_without_a_start_brings_its_own(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    await turns.change(store, [an_end(await matched(store, job_id), job_id)])
    (attempt,) = await store.read(job_records.attempts, job_id)

    assert attempt.started_at == 21.0


async def test_a_start_counts_once_and_progress_only_while_live(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    start = AttemptStart(attempt_id=attempt_id, job_id=job_id, at=22.0)
    progress = ApplicationStatus(attempt_id=attempt_id, job_id=job_id, at=23.0, status="half")
    won = await turns.change(store, [start, start, progress, an_end(attempt_id, job_id), progress])

    assert won == [True, False, True, True, False]


async def test_a_result_counts_once(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    end = an_end(attempt_id, job_id)
    other = an_end(attempt_id, job_id, epoch=2)
    won = await turns.change(store, [other, end, end])

    assert won == [False, True, False]


async def test_changes_of_many_jobs_are_each_judged_by_themselves(store: Store) -> None:
    ids = await waiting_jobs(store, 6)
    attempts = {job_id: await matched(store, job_id) for job_id in ids[:5]}
    one, two, three, four, five, six = ids
    await store.write(job_records.want, [a_want(attempts[two], two)])
    won = await turns.change(
        store,
        [
            an_end(attempts[five], five),
            an_end(attempts[two], two),  # killed
            an_end(attempts[one], one),
            AttemptStart(attempt_id=attempts[three], job_id=three, at=22.0),
            AttemptStart(attempt_id=attempts[one], job_id=six, at=22.0),  # of another job
            a_requeue(attempts[four], four),
        ],
    )

    assert won == [True, False, True, True, False, True]
    assert [await state_of(store, i) for i in ids] == [
        S.DONE,
        S.MATCHED,
        S.RUNNING,
        S.WAITING,
        S.DONE,
        S.WAITING,
    ]


async def test_a_failed_payload_with_a_retry_left_waits_again(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    first = await matched(store, job_id)
    await turns.change(store, [an_end(first, job_id, new=S.WAITING, failed=True)])
    row = await store.read(job_records.job, job_id)
    second = await matched(store, job_id, epoch=2, site="CSCS")

    assert row is not None
    assert (row.state, row.failures, row.epoch, row.exit_code) == (S.WAITING, 1, 1, 3)
    assert (row.reason, row.ended_at, row.site) == ("exit code 3", None, "PIC")
    assert [a.attempt_id for a in await store.read(job_records.attempts, job_id)] == [first, second]
    assert (await store.write(job_records.standing, [job_id]))[job_id].site == "CSCS"


async def test_what_a_pilot_says_of_an_attempt_without_a_result_is_kept(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    left = (Output(name=".pilotage/checkpoint.tar", sha256="cd" * 32, size_bytes=10_240),)
    end = a_requeue(
        attempt_id, job_id, close=True, lost=False, how=How.DRAINED, usage=USAGE, outputs=left,
        detail="the pilot's time is over", isolation="unshare",
    )  # fmt: skip
    await turns.change(store, [end])
    (attempt,) = await store.read(job_records.attempts, job_id)
    named = b" ".join([one.text async for part in quota_records.blob_names(store) for one in part])

    assert (attempt.how, attempt.usage, attempt.outputs) == (How.DRAINED, USAGE, left)
    assert (attempt.detail, attempt.isolation) == ("the pilot's time is over", "unshare")
    assert b"cd" * 32 in named, "else its file would be swept"
    assert await state_of(store, job_id) is S.WAITING


async def test_an_attempt_adrift_ends_without_a_result_once_and_its_job_waits(
    store: Store,
) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    left = AdriftEnd(
        attempt_id=attempt_id, job_id=job_id, epoch=1, how=How.DRAINED, detail="out of time",
        usage=USAGE, outputs=(Output(".pilotage/checkpoint.tar", "cd" * 32, 10_240),),
    )  # fmt: skip
    won = await turns.change(store, [left, a_requeue(attempt_id, job_id), left, left])
    (attempt,) = await store.read(job_records.attempts, job_id)
    standing = (await store.write(job_records.standing, [job_id]))[job_id]

    assert won == [False, True, True, False], "not while its lease is live"
    assert (attempt.open, attempt.live, attempt.how) == (False, False, How.DRAINED)
    assert (attempt.usage, attempt.outputs) == (left.usage, left.outputs)
    assert (attempt.detail, attempt.event, attempt.ended_at) == ("out of time", "lease_over", 30.0)
    assert (standing.state, standing.losses, standing.epoch) == (S.WAITING, 1, 1)
    assert await store.read(job_records.live_attempts) == []


async def test_a_requeued_attempt_stays_open_until_the_next_match(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    first = await matched(store, job_id)
    await turns.change(store, [a_requeue(first, job_id)])
    (adrift,) = await store.read(job_records.live_attempts)
    standing = (await store.write(job_records.standing, [job_id]))[job_id]
    await matched(store, job_id, epoch=2)
    (late,) = await turns.change(store, [an_end(first, job_id)])
    attempts = await store.read(job_records.attempts, job_id)

    assert (adrift.attempt_id, adrift.live, adrift.losses) == (first, False, 1)
    assert (standing.state, standing.epoch, standing.live) == (S.WAITING, 1, False)
    assert (standing.attempt_id, standing.pilot, standing.losses) == (first, "pilot-1", 1)
    assert not late
    assert [(a.open, a.live) for a in attempts] == [(False, False), (True, True)]
    assert [live.epoch for live in await store.read(job_records.live_attempts)] == [2]


async def test_a_late_result_of_the_open_attempt_counts_though_the_job_waits(
    store: Store,
) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await turns.change(store, [a_requeue(attempt_id, job_id)])
    won = await turns.change(store, [an_end(attempt_id, job_id)])

    assert won == [True]
    assert await state_of(store, job_id) is S.DONE
    assert await turns.match(store, [an_attempt(50, job_id, epoch=2)]) == [None]
    assert await store.read(job_records.live_attempts) == []


async def test_a_closed_requeue_lets_nothing_count(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    back = TakeBack(attempt_id=attempt_id, job_id=job_id, at=33.0)
    await turns.change(store, [a_requeue(attempt_id, job_id, close=True, lost=False)])
    won = await turns.change(store, [back, an_end(attempt_id, job_id)])
    row = await store.read(job_records.job, job_id)

    assert won == [False, False]
    assert row is not None and (row.state, row.losses) == (S.WAITING, 0)
    assert await store.read(job_records.live_attempts) == []


async def test_a_beat_takes_the_job_back(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await turns.change(store, [a_requeue(attempt_id, job_id)])
    back = TakeBack(attempt_id=attempt_id, job_id=job_id, at=33.0)
    won = await turns.change(store, [back, back])
    (attempt,) = await store.read(job_records.attempts, job_id)

    assert won == [True, False]
    assert (attempt.state, attempt.started_at, attempt.ended_at) == (S.RUNNING, 33.0, None)
    assert await state_of(store, job_id) is S.RUNNING
    assert await turns.match(store, [an_attempt(50, job_id, epoch=2)]) == [None]
    assert await turns.change(store, [an_end(attempt_id, job_id)]) == [True]
    assert await state_of(store, job_id) is S.DONE


async def test_a_beat_of_an_earlier_epoch_or_a_held_job_takes_nothing_back(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    old, held = await matched(store, first), await matched(store, second)
    await turns.change(store, [a_requeue(old, first), a_requeue(held, second)])
    await matched(store, first, epoch=2)
    await store.write(job_records.move, [a_move(second, S.WAITING, S.HELD, close=False)])
    won = await turns.change(
        store,
        [
            TakeBack(attempt_id=old, job_id=first, at=33.0),
            TakeBack(attempt_id=held, job_id=second, at=33.0),
        ],
    )

    assert won == [False, False]


async def test_all_attempts_of_a_job_are_found_oldest_first(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    for epoch in range(1, 6):
        attempt_id = await matched(store, job_id, epoch=epoch)
        await turns.change(store, [a_requeue(attempt_id, job_id, epoch)])

    assert [a.epoch for a in await store.read(job_records.attempts, job_id)] == [1, 2, 3, 4, 5]
    assert await store.read(job_records.attempts, 99) == []


async def test_evidence_needs_no_job(store: Store) -> None:
    kept = [
        UncountedReport(job_id=99, epoch=3, at=1.0, pilot="pilot-1", why="gone", report=b"{}"),
        UncountedReport(job_id=99, epoch=4, at=2.0, pilot="pilot-2", why="stale", report=b"{1}"),
    ]
    await store.write(job_records.keep_evidence, kept)

    assert await store.read(job_records.evidence, 99) == kept
    assert await store.read(job_records.evidence, 1) == []
