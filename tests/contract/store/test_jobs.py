"""The contract of moves, priorities, deletion, and of what is wanted of attempts."""

import pytest

from pilotage.central.jobs import (
    record as job_records,
    record_search as job_search,
    record_submissions as submission_records,
)
from pilotage.central.jobs.record import NOTES_MAX
from pilotage.central.jobs.record_types import JobSearch
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Why
from tests import turns

from .rows import (
    USAGE,
    a_class,
    a_move,
    a_requeue,
    a_want,
    an_end,
    matched,
    state_of,
    submitted,
    waiting_jobs,
)

S = JobState


async def test_the_ids_of_submissions_are_told_in_the_order_of_their_jobs(store: Store) -> None:
    kind = await a_class(store)
    made = [await submitted(store, kind, count, f"key {count}") for count in (3, 2)]
    ids = [one.submission_id for one in made]

    assert await store.read(submission_records.ranges_of, [*ids, 99]) == {
        one.submission_id: list(one.ranges) for one in made
    }
    assert [one.ranges[0][1] for one in made] == [3, 2]


# -- moves, priorities, deletion ----------------------------------------------------------------


async def test_a_move_wins_once_and_leaves_a_note(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    killed = a_move(job_id, S.WAITING, S.KILLED)
    won = [
        await store.write(job_records.move, [killed]),
        await store.write(job_records.move, [killed]),
    ]
    row = await store.read(job_records.job, job_id)
    notes = await store.read(job_records.notes, job_id)

    assert won == [[True], [False]]
    assert row is not None
    assert (row.state, row.reason, row.ended_at) == (S.KILLED, "by hand", 50.0)
    assert [(n.at, n.who, n.event, n.detail) for n in notes] == [(50.0, "ada", "killed", "by hand")]


async def test_each_move_of_a_batch_is_judged_by_itself(store: Store) -> None:
    first, second, third = await waiting_jobs(store, 3)
    await matched(store, second)
    moves = [a_move(i, S.WAITING, S.HELD) for i in (first, second, third, 99)]
    won = await store.write(job_records.move, [*moves, a_move(first, S.HELD, S.WAITING)])

    assert won == [True, False, True, False, True]
    assert [await state_of(store, i) for i in (first, second, third)] == [
        S.WAITING,
        S.MATCHED,
        S.HELD,
    ]
    assert [len(await store.read(job_records.notes, i)) for i in (first, second, third)] == [
        2,
        0,
        1,
    ]


async def test_no_move_leads_into_a_state_that_only_an_attempt_has(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    with pytest.raises(StoreError):
        await store.write(
            job_records.move,
            [a_move(first, S.WAITING, S.HELD), a_move(second, S.WAITING, S.RUNNING)],
        )

    assert [await state_of(store, i) for i in (first, second)] == [S.WAITING, S.WAITING]


async def test_killing_a_job_that_waits_again_closes_its_open_attempt(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await turns.change(store, [a_requeue(attempt_id, job_id)])
    assert (await store.write(job_records.standing, [job_id]))[job_id].attempt_id == attempt_id
    assert await store.write(job_records.move, [a_move(job_id, S.WAITING, S.KILLED)]) == [True]
    (late,) = await turns.change(store, [an_end(attempt_id, job_id)])
    (attempt,) = await store.read(job_records.attempts, job_id)

    assert not late and not attempt.open
    assert await state_of(store, job_id) is S.KILLED
    assert (await store.write(job_records.standing, [job_id]))[job_id].attempt_id is None


async def test_a_held_job_whose_attempt_stays_open_takes_no_result(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await turns.change(store, [a_requeue(attempt_id, job_id)])
    await store.write(job_records.move, [a_move(job_id, S.WAITING, S.HELD, close=False)])
    (late,) = await turns.change(store, [an_end(attempt_id, job_id)])
    (attempt,) = await store.read(job_records.attempts, job_id)

    assert not late and attempt.open and attempt.usage is None
    assert await state_of(store, job_id) is S.HELD


async def test_a_reschedule_opens_a_new_round(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    await turns.change(
        store, [an_end(await matched(store, job_id), job_id, new=S.FAILED, failed=True)]
    )
    again = a_move(job_id, S.FAILED, S.WAITING, event="rescheduled", new_round=True)
    assert await store.write(job_records.move, [again]) == [True]
    row = await store.read(job_records.job, job_id)
    second = await matched(store, job_id, epoch=2)
    attempts = await store.read(job_records.attempts, job_id)

    assert row is not None
    assert (row.state, row.round, row.failures, row.epoch) == (S.WAITING, 2, 0, 1)
    assert row.ended_at is None
    assert [(a.epoch, a.round, a.live) for a in attempts] == [(1, 1, False), (2, 2, True)]
    assert attempts[1].attempt_id == second and attempts[0].usage == USAGE


async def test_only_final_jobs_are_deleted_and_only_once(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    await store.write(job_records.move, [a_move(first, S.WAITING, S.KILLED)])
    won = [
        await store.write(job_records.delete, [first, second, 99], 60.0, "ada") for _ in range(2)
    ]

    assert won == [[True, False, False], [False, False, False]]
    assert await store.read(job_search.ids, JobSearch(), limit=10) == [second]
    assert await store.read(job_search.ids, JobSearch(include_deleted=True), limit=10) == [
        first,
        second,
    ]
    assert [row.count for row in await store.read(job_records.counts)] == [1]
    assert await store.write(job_records.move, [a_move(first, S.KILLED, S.WAITING)]) == [False]
    assert [note.event for note in await store.read(job_records.notes, first)] == [
        "killed",
        "deleted",
    ]


async def test_a_priority_changes_until_the_job_is_final(store: Store) -> None:
    first, second, third = await waiting_jobs(store, 3)
    await matched(store, second)
    await store.write(job_records.move, [a_move(third, S.WAITING, S.KILLED)])
    won = await store.write(job_records.set_priority, [first, second, third, 99], 9, 60.0, "ada")
    rows = await store.read(job_search.search, JobSearch(), after=0, limit=10)

    assert won == [True, True, False, False]
    assert [row.priority for row in rows] == [9, 9, 5]
    assert [(n.event, n.detail) for n in await store.read(job_records.notes, second)] == [
        ("priority", "9")
    ]


async def test_the_newest_notes_of_a_job_are_told_in_order(store: Store) -> None:
    job_id, other = await waiting_jobs(store, 2)
    turns = [(S.WAITING, S.HELD), (S.HELD, S.WAITING)] * (NOTES_MAX // 2 + 2)
    moves = [a_move(job_id, *turn, reason=str(number)) for number, turn in enumerate(turns)]
    await store.write(job_records.move, moves[:NOTES_MAX])
    await store.write(job_records.move, [a_move(other, S.WAITING, S.KILLED)])
    await store.write(job_records.move, moves[NOTES_MAX:])

    told = [note.detail for note in await store.read(job_records.notes, job_id)]

    assert told == [str(number) for number in range(4, NOTES_MAX + 4)]
    assert len(await store.read(job_records.notes, other)) == 1


# -- what is wanted of attempts -----------------------------------------------------------------


async def test_a_wanted_kill_is_never_overwritten(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    wants = [a_want(attempt_id, job_id, why) for why in (Why.HOLD, Why.KILL, Why.HOLD, Why.KILL)]
    won = [(await store.write(job_records.want, [want]))[0] for want in wants]
    row = await store.read(job_records.job, job_id)
    (live,) = await store.read(job_records.live_attempts)

    assert won == [True, True, False, False]
    assert (live.wanted, live.reason) == (Why.KILL, "enough")
    assert row is not None
    assert (row.state, row.wanted, row.reason) == (S.MATCHED, Why.KILL, "enough")
    assert [note.event for note in await store.read(job_records.notes, job_id)] == ["hold", "kill"]


async def test_nothing_is_wanted_of_an_attempt_that_is_not_live(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    ended, live = await matched(store, first), await matched(store, second)
    await turns.change(store, [a_requeue(ended, first)])
    wants = [(ended, first), (live, second), (live, first), (99, first)]
    won = await store.write(
        job_records.want, [a_want(attempt_id, job_id) for attempt_id, job_id in wants]
    )

    assert won == [False, True, False, False]


async def test_after_an_acknowledged_kill_no_result_counts(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await store.write(job_records.want, [a_want(attempt_id, job_id)])
    ended = await turns.change(store, [an_end(attempt_id, job_id)])
    unaware = await turns.change(store, [a_requeue(attempt_id, job_id)])
    killed = a_requeue(
        attempt_id, job_id, new=S.KILLED, close=True, wanted=Why.KILL, how=How.KILLED
    )
    aware = await turns.change(store, [killed])
    (attempt,) = await store.read(job_records.attempts, job_id)

    assert (ended, unaware, aware) == ([False], [False], [True])
    assert (attempt.open, attempt.how, attempt.usage) == (False, How.KILLED, None)
    assert await state_of(store, job_id) is S.KILLED


async def test_a_wanted_hold_lets_a_result_count(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await store.write(job_records.want, [a_want(attempt_id, job_id, Why.HOLD)])

    assert await turns.change(store, [an_end(attempt_id, job_id)]) == [True]
    assert await state_of(store, job_id) is S.DONE
