"""The contract of moves that give jobs another class, because their needs change."""

from typing import Any

import pytest

from pilotage.central.jobs import (
    record as job_records,
    record_submissions as submission_records,
    record_token_classes as token_records,
)
from pilotage.central.store.engine import Store
from pilotage.central.store.session import Session
from pilotage.proto.job_states import JobState
from tests import turns

from .rows import a_class, a_move, a_submission, an_attempt, an_end, matched, some_jobs, submitted

S = JobState


def a_set(job: int, state: JobState, old: int, new: int, **fields: Any) -> Any:
    given = {"event": "set", "reason": "", "detail": "memory_mb=8", "close": False}
    return a_move(job, state, state, old_class=old, new_class=new, **{**given, **fields})


async def standing(store: Store, job: int) -> tuple[JobState, int, int]:
    one = (await store.write(job_records.standing, [job]))[job]
    return one.state, one.class_id, one.priority


async def test_a_change_keeps_state_and_reason_and_is_counted_in_the_new_class(
    store: Store,
) -> None:
    old = await a_class(store)
    new = await a_class(store, needs=b"[1]")
    first, second = await two_jobs(store, old)
    await store.write(job_records.move, [a_move(second, S.WAITING, S.HELD, reason="wrong seed")])
    moves = [
        a_set(first, S.WAITING, old.class_id, new.class_id),
        a_set(second, S.HELD, old.class_id, new.class_id, priority=9),
    ]

    assert await store.write(job_records.move, moves) == [True, True]
    assert await standing(store, first) == (S.WAITING, new.class_id, 5)
    assert await standing(store, second) == (S.HELD, new.class_id, 9)
    row = await store.read(job_records.job, second)
    assert row is not None and row.reason == "wrong seed"
    assert (await store.read(job_records.notes, first))[-1].detail == "memory_mb=8"
    assert await store.read(wrong_zones) == []


async def two_jobs(store: Store, kind: Any) -> tuple[int, int]:
    ((first, _),) = (await submitted(store, kind, 2)).ranges
    return first, first + 1


def wrong_zones(session: Session) -> list[str]:
    """Return the zones that count other numbers of jobs than there are."""
    return [row[0] for row in session.rows("check_zones", {"limit": 9})]


async def test_only_the_first_of_two_changes_of_one_class_wins(store: Store) -> None:
    old = await a_class(store)
    one, other = [await a_class(store, needs=needs) for needs in (b"[1]", b"[2]")]
    first, second = await two_jobs(store, old)
    both = [a_set(first, S.WAITING, old.class_id, new.class_id) for new in (one, other)]

    assert await store.write(job_records.move, both) == [True, False]
    assert await standing(store, first) == (S.WAITING, one.class_id, 5)
    held = a_move(second, S.WAITING, S.HELD)
    assert await store.write(job_records.move, [held]) == [True], "no class: none is compared"
    assert await standing(store, second) == (S.HELD, old.class_id, 5)


async def test_a_match_of_the_needs_before_a_change_loses(store: Store) -> None:
    old = await a_class(store)
    new = await a_class(store, needs=b"[1]")
    first, second = await two_jobs(store, old)
    await matched(store, second)
    moves = [a_set(job, S.WAITING, old.class_id, new.class_id) for job in (first, second)]
    start = await store.write(job_records.reserve_attempts, 2)

    assert await store.write(job_records.move, moves) == [True, False], "one has an attempt"
    stale, fresh = [
        an_attempt(start + i, first, class_id=kind.class_id) for i, kind in enumerate((old, new))
    ]
    assert await turns.match(store, [stale]) == [None]
    assert await turns.match(store, [fresh]) != [None]


@pytest.mark.parametrize("has_tokens", [True, False])
async def test_a_failed_job_runs_again_with_more_and_keeps_its_tokens(
    store: Store, has_tokens: bool
) -> None:
    old = await a_class(store)
    new = await a_class(store, needs=b"[1]")
    jobs = some_jobs(old, 1, has_tokens=has_tokens)
    made = await store.write(submission_records.submit, a_submission(old), jobs)
    job = made.ranges[0][0]
    attempt = await matched(store, job)
    await turns.change(store, [an_end(attempt, job, new=S.FAILED, failed=True)])
    again = a_move(
        job, S.FAILED, S.WAITING,
        event="rescheduled", new_round=True, old_class=old.class_id, new_class=new.class_id,
    )  # fmt: skip

    assert await store.write(job_records.move, [again]) == [True]
    assert await standing(store, job) == (S.WAITING, new.class_id, 5)
    found = await store.read(token_records.has_jobs_with_tokens, "ctao", "local", "ada")
    assert found is has_tokens
    assert await store.read(wrong_zones) == []
