"""The contract of a store: submissions, jobs, attempts, pilots, tokens. Runs on every driver."""

import asyncio

import msgspec
import pytest

from pilotage.central.store.errors import (
    BadSecret,
    KeyReused,
    PilotNotFound,
    StoreError,
)
from pilotage.central.store.protocol import CHUNK_MAX, Store
from pilotage.central.store.records import (
    Evidence,
    JobClass,
    NewSecret,
    Owner,
    Progress,
    Registration,
    Search,
    Start,
    TakeBack,
    TokenRow,
)
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Output, Why
from pilotage.proto.pilot_states import PilotState

from .conftest import NOW, Reopen
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
    some_jobs,
    state_of,
    submitted,
    waiting_jobs,
)

S = JobState


# -- the store itself ---------------------------------------------------------------------------


async def test_a_generation_stays_while_the_store_is_opened_again(
    store: Store, reopen: Reopen
) -> None:
    before = store.generation
    again = await reopen(store)

    assert before and again.generation == before


async def test_everything_acknowledged_is_there_after_opening_again(
    store: Store, reopen: Reopen
) -> None:
    first, second, third = await waiting_jobs(store, 3)
    await store.change([an_end(await matched(store, first), first)])
    await matched(store, second)
    expected = await store.search(Search(), after=0, limit=10)
    again = await reopen(store)

    assert await again.search(Search(), after=0, limit=10) == expected
    assert [job.state for job in expected] == [S.DONE, S.MATCHED, S.WAITING]
    assert [live.job_id for live in await again.live_attempts()] == [second]
    assert [row[2] async for rows in again.waiting() for row in rows] == [third]


async def test_many_callers_at_once_each_get_their_own_answer(store: Store) -> None:
    ids = await waiting_jobs(store, 50)
    first = await store.reserve_attempts(100)
    async with asyncio.TaskGroup() as tasks:
        twice = [
            tasks.create_task(store.match([an_attempt(first + 2 * i + again, job_id)]))
            for i, job_id in enumerate(ids)
            for again in (0, 1)
        ]
    bodies = [task.result()[0] for task in twice]

    assert sum(body is not None for body in bodies) == 50
    assert {body.job_id for body in bodies if body} == set(ids)


# -- interning ----------------------------------------------------------------------------------


async def test_an_owner_keeps_its_id_and_takes_a_new_name(store: Store) -> None:
    ada = await store.owner(Owner(community="ctao", issuer="local", subject="ada"))
    again = await store.owner(Owner(community="ctao", issuer="local", subject="ada", name="Ada L."))
    nameless = await store.owner(Owner(community="ctao", issuer="local", subject="ada"))
    other = await store.owner(Owner(community="lhcb", issuer="local", subject="ada"))

    assert ada.owner_id == again.owner_id == nameless.owner_id != other.owner_id
    assert again.name == nameless.name == "Ada L."
    assert await store.owners() == [nameless, other]


async def test_equal_classes_are_one_and_every_field_tells_them_apart(store: Store) -> None:
    ada = await store.owner(Owner(community="ctao", issuer="local", subject="ada"))
    bob = await store.owner(Owner(community="ctao", issuer="local", subject="bob"))
    plain = JobClass(
        community="ctao", group="sim", owner_id=ada.owner_id, type="User", needs=b"[1]"
    )
    wanted = [
        plain,
        msgspec.structs.replace(plain, group="ana"),
        msgspec.structs.replace(plain, owner_id=bob.owner_id),
        msgspec.structs.replace(plain, type="Test"),
        msgspec.structs.replace(plain, needs=b"[2]"),
        msgspec.structs.replace(plain, preference=b'{"sites":["PIC"]}'),
    ]
    ids = await store.classes([*wanted, plain])
    again = await store.classes(wanted)

    assert len(set(ids)) == 6 and ids[-1] == ids[0]
    assert again == ids[:-1]
    assert await store.all_classes() == [
        msgspec.structs.replace(one, class_id=class_id)
        for class_id, one in zip(again, wanted, strict=True)
    ]


# -- submission ---------------------------------------------------------------------------------


async def test_a_submission_gives_consecutive_ids_and_waiting_jobs(store: Store) -> None:
    kind = await a_class(store)
    record = await submitted(store, kind, 3)

    assert record.complete and record.ranges == ((1, 3),)
    assert await store.submission(record.submission_id) == record
    assert await store.submission_by_key("ctao", kind.owner_id, "key") == record
    assert await store.submission_by_key("lhcb", kind.owner_id, "key") is None
    assert await store.submission(99) is None
    assert [await state_of(store, i) for i in (1, 2, 3)] == [S.WAITING] * 3


async def test_the_same_key_and_body_gives_the_first_submission(store: Store) -> None:
    kind = await a_class(store)
    first = await submitted(store, kind, 2)
    again = await store.submit(a_submission(kind, at=99.0), some_jobs(kind, 2))

    assert again == first
    assert await store.ids(Search(), limit=10) == [1, 2]


async def test_the_same_key_with_another_body_is_refused(store: Store) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 1)
    with pytest.raises(KeyReused):
        await store.submit(a_submission(kind, body_hash="other"), some_jobs(kind, 1))
    other = await a_class(store, subject="bob")
    await submitted(store, other, 1)

    assert await store.ids(Search(), limit=10) == [1, 2]


async def test_one_refused_submission_leaves_its_neighbours_alone(store: Store) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 1, key="known")
    bad = a_submission(kind, "known", body_hash="other")
    answers = await asyncio.gather(
        submitted(store, kind, 1, key="before"),
        store.submit(bad, some_jobs(kind, 5)),
        submitted(store, kind, 1, key="after"),
        return_exceptions=True,
    )

    assert isinstance(answers[1], KeyReused)
    assert sorted(await store.ids(Search(), limit=10)) == [1, 2, 3]


async def test_a_submission_in_chunks_is_visible_nowhere_until_it_is_finished(
    store: Store,
) -> None:
    kind = await a_class(store)
    record = await store.begin_submission(a_submission(kind, body_hash=""))
    assert await store.add_jobs(record.submission_id, some_jobs(kind, 2)) == 1
    await submitted(store, kind, 1, key="between")
    assert await store.add_jobs(record.submission_id, some_jobs(kind, 2, name="x")) == 4
    hidden = [1, 2, 4, 5]

    assert not record.complete
    assert await store.ids(Search(), limit=10) == [3]
    assert await store.ids(Search(ids=(1, 2, 3, 4)), limit=10) == [3]
    assert await store.ids(Search(name="x"), limit=10) == []
    assert await store.ids(Search(name="shower"), limit=10) == [3]
    assert await store.ids(Search(submission_id=record.submission_id), limit=10) == []
    assert [row[2] async for rows in store.waiting() for row in rows] == [3]
    assert sum(row.count for row in await store.counts()) == 1
    assert await store.standing(hidden) == {} and await store.bodies(hidden) == {}
    assert await store.job(1) is None
    assert await store.match([an_attempt(1, 1)]) == [None]
    assert await store.move([a_move(1, S.WAITING, S.KILLED)]) == [False]
    assert await store.set_priority([1], 9, 5.0, "ada") == [False]

    finished = await store.finish_submission(record.submission_id, "hash")

    assert finished.complete and finished.body_hash == "hash"
    assert finished.ranges == ((1, 2), (4, 2))
    assert await store.ids(Search(), limit=10) == [1, 2, 3, 4, 5]
    assert await store.ids(Search(submission_id=record.submission_id), limit=10) == hidden
    assert sum(row.count for row in await store.counts()) == 5
    assert await store.match([an_attempt(1, 1)]) != [None]


async def test_beginning_again_gives_the_submission_that_is_there(store: Store) -> None:
    kind = await a_class(store)
    begun = await store.begin_submission(a_submission(kind, body_hash=""))
    again = await store.begin_submission(a_submission(kind, body_hash=""))
    await store.add_jobs(begun.submission_id, some_jobs(kind, 1))
    finished = await store.finish_submission(begun.submission_id, "hash")
    late = await store.begin_submission(a_submission(kind, body_hash=""))

    assert begun == again
    assert late == finished == await store.finish_submission(begun.submission_id, "other")


async def test_neighbouring_chunks_make_one_range(store: Store) -> None:
    kind = await a_class(store)
    record = await store.begin_submission(a_submission(kind))
    for _ in range(3):
        await store.add_jobs(record.submission_id, some_jobs(kind, CHUNK_MAX))
    finished = await store.finish_submission(record.submission_id, "hash")

    assert finished.ranges == ((1, 3 * CHUNK_MAX),)
    assert len(await store.ids(Search(), limit=10_000)) == 3 * CHUNK_MAX


async def test_a_dropped_submission_frees_its_key_but_never_its_ids(
    store: Store, reopen: Reopen
) -> None:
    kind = await a_class(store)
    begun = await store.begin_submission(a_submission(kind))
    for _ in range(2):
        await store.add_jobs(begun.submission_id, some_jobs(kind, 1_500))
    await store.drop_submission(begun.submission_id)
    await store.drop_submission(begun.submission_id)
    assert await store.submission(begun.submission_id) is None
    with pytest.raises(StoreError):
        await store.add_jobs(begun.submission_id, some_jobs(kind, 1))
    again = await reopen(store)
    record = await submitted(again, kind, 2)

    assert record.submission_id == begun.submission_id + 1
    assert record.ranges == ((3_001, 2),)
    assert await again.ids(Search(), limit=10) == [3_001, 3_002]


async def test_a_finished_submission_is_not_dropped_and_takes_no_more(store: Store) -> None:
    kind = await a_class(store)
    record = await submitted(store, kind, 2)
    await store.drop_submission(record.submission_id)
    with pytest.raises(StoreError):
        await store.add_jobs(record.submission_id, some_jobs(kind, 1))

    assert await store.ids(Search(), limit=10) == [1, 2]


async def test_what_never_finished_is_gone_when_the_store_is_opened_again(
    store: Store, reopen: Reopen
) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 1, key="kept")
    begun = await store.begin_submission(a_submission(kind, "cut"))
    await store.add_jobs(begun.submission_id, some_jobs(kind, CHUNK_MAX))
    await store.add_jobs(begun.submission_id, some_jobs(kind, 5))
    again = await reopen(store)
    record = await submitted(again, kind, 1, key="cut")

    assert record.submission_id > begun.submission_id
    assert await again.ids(Search(), limit=10) == [1, CHUNK_MAX + 7]
    assert sum(row.count for row in await again.counts()) == 2


async def test_a_chunk_that_is_too_long_is_refused(store: Store) -> None:
    kind = await a_class(store)
    with pytest.raises(ValueError):
        await store.submit(a_submission(kind), some_jobs(kind, CHUNK_MAX + 1))

    assert await store.ids(Search(), limit=10) == []


async def test_bodies_come_with_the_template_and_what_the_round_has_cost(store: Store) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 2, retries=3)
    own = a_submission(kind, "own", template=None)
    await store.submit(own, some_jobs(kind, 1))
    await store.change([an_end(await matched(store, 2), 2, new=S.WAITING, failed=True)])
    found = await store.bodies([3, 2, 99])

    assert found.keys() == {2, 3}
    assert found[2].template == a_submission(kind).template and found[2].body == b'{"i":1}'
    assert (found[2].round, found[2].retries, found[2].failures, found[2].losses) == (1, 3, 1, 0)
    assert found[3].template is None and found[3].body == b'{"i":0}'


# -- moves, priorities, deletion ----------------------------------------------------------------


async def test_a_move_wins_once_and_leaves_a_note(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    killed = a_move(job_id, S.WAITING, S.KILLED)
    won = [await store.move([killed]), await store.move([killed])]
    row = await store.job(job_id)
    notes = await store.notes(job_id)

    assert won == [[True], [False]]
    assert row is not None
    assert (row.state, row.reason, row.ended_at) == (S.KILLED, "by hand", 50.0)
    assert [(n.at, n.who, n.event, n.detail) for n in notes] == [(50.0, "ada", "killed", "by hand")]


async def test_each_move_of_a_batch_is_judged_by_itself(store: Store) -> None:
    first, second, third = await waiting_jobs(store, 3)
    await matched(store, second)
    moves = [a_move(i, S.WAITING, S.HELD) for i in (first, second, third, 99)]
    won = await store.move([*moves, a_move(first, S.HELD, S.WAITING)])

    assert won == [True, False, True, False, True]
    assert [await state_of(store, i) for i in (first, second, third)] == [
        S.WAITING,
        S.MATCHED,
        S.HELD,
    ]
    assert [len(await store.notes(i)) for i in (first, second, third)] == [2, 0, 1]


async def test_no_move_leads_into_a_state_that_only_an_attempt_has(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    with pytest.raises(StoreError):
        await store.move([a_move(first, S.WAITING, S.HELD), a_move(second, S.WAITING, S.RUNNING)])

    assert [await state_of(store, i) for i in (first, second)] == [S.WAITING, S.WAITING]


async def test_killing_a_job_that_waits_again_closes_its_open_attempt(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await store.change([a_requeue(attempt_id, job_id)])
    assert (await store.standing([job_id]))[job_id].attempt_id == attempt_id
    assert await store.move([a_move(job_id, S.WAITING, S.KILLED)]) == [True]
    (late,) = await store.change([an_end(attempt_id, job_id)])
    (attempt,) = await store.attempts(job_id)

    assert not late and not attempt.open
    assert await state_of(store, job_id) is S.KILLED
    assert (await store.standing([job_id]))[job_id].attempt_id is None


async def test_a_held_job_whose_attempt_stays_open_takes_no_result(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await store.change([a_requeue(attempt_id, job_id)])
    await store.move([a_move(job_id, S.WAITING, S.HELD, close=False)])
    (late,) = await store.change([an_end(attempt_id, job_id)])
    (attempt,) = await store.attempts(job_id)

    assert not late and attempt.open and attempt.usage is None
    assert await state_of(store, job_id) is S.HELD


async def test_a_reschedule_opens_a_new_round(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    await store.change([an_end(await matched(store, job_id), job_id, new=S.FAILED, failed=True)])
    again = a_move(job_id, S.FAILED, S.WAITING, event="rescheduled", new_round=True)
    assert await store.move([again]) == [True]
    row = await store.job(job_id)
    second = await matched(store, job_id, epoch=2)
    attempts = await store.attempts(job_id)

    assert row is not None
    assert (row.state, row.round, row.failures, row.epoch) == (S.WAITING, 2, 0, 1)
    assert row.ended_at is None
    assert [(a.epoch, a.round, a.live) for a in attempts] == [(1, 1, False), (2, 2, True)]
    assert attempts[1].attempt_id == second and attempts[0].usage == USAGE


async def test_only_final_jobs_are_deleted_and_only_once(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    await store.move([a_move(first, S.WAITING, S.KILLED)])
    won = [await store.delete([first, second, 99], 60.0, "ada") for _ in range(2)]

    assert won == [[True, False, False], [False, False, False]]
    assert await store.ids(Search(), limit=10) == [second]
    assert await store.ids(Search(include_deleted=True), limit=10) == [first, second]
    assert [row.count for row in await store.counts()] == [1]
    assert await store.move([a_move(first, S.KILLED, S.WAITING)]) == [False]
    assert [note.event for note in await store.notes(first)] == ["killed", "deleted"]


async def test_a_priority_changes_until_the_job_is_final(store: Store) -> None:
    first, second, third = await waiting_jobs(store, 3)
    await matched(store, second)
    await store.move([a_move(third, S.WAITING, S.KILLED)])
    won = await store.set_priority([first, second, third, 99], 9, 60.0, "ada")
    rows = await store.search(Search(), after=0, limit=10)

    assert won == [True, True, False, False]
    assert [row.priority for row in rows] == [9, 9, 5]
    assert [(n.event, n.detail) for n in await store.notes(second)] == [("priority", "9")]


# -- what is wanted of attempts -----------------------------------------------------------------


async def test_a_wanted_kill_is_never_overwritten(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    wants = [a_want(attempt_id, job_id, why) for why in (Why.HOLD, Why.KILL, Why.HOLD, Why.KILL)]
    won = [(await store.want([want]))[0] for want in wants]
    row = await store.job(job_id)

    assert won == [True, True, False, False]
    assert row is not None
    assert (row.state, row.wanted, row.reason) == (S.MATCHED, Why.KILL, "enough")
    assert [note.event for note in await store.notes(job_id)] == ["hold", "kill"]


async def test_nothing_is_wanted_of_an_attempt_that_is_not_live(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    ended, live = await matched(store, first), await matched(store, second)
    await store.change([a_requeue(ended, first)])
    wants = [(ended, first), (live, second), (live, first), (99, first)]
    won = await store.want([a_want(attempt_id, job_id) for attempt_id, job_id in wants])

    assert won == [False, True, False, False]


async def test_after_an_acknowledged_kill_no_result_counts(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await store.want([a_want(attempt_id, job_id)])
    ended = await store.change([an_end(attempt_id, job_id)])
    unaware = await store.change([a_requeue(attempt_id, job_id)])
    killed = a_requeue(
        attempt_id, job_id, new=S.KILLED, close=True, wanted=Why.KILL, how=How.KILLED
    )
    aware = await store.change([killed])
    (attempt,) = await store.attempts(job_id)

    assert (ended, unaware, aware) == ([False], [False], [True])
    assert (attempt.open, attempt.how, attempt.usage) == (False, How.KILLED, None)
    assert await state_of(store, job_id) is S.KILLED


async def test_a_wanted_hold_lets_a_result_count(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await store.want([a_want(attempt_id, job_id, Why.HOLD)])

    assert await store.change([an_end(attempt_id, job_id)]) == [True]
    assert await state_of(store, job_id) is S.DONE


# -- attempts -----------------------------------------------------------------------------------


async def test_a_match_gives_the_body_and_a_live_attempt(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1, retries=2, queue_until=500.0, priority=7)
    attempt_id = await store.reserve_attempts(1)
    (body,) = await store.match([an_attempt(attempt_id, job_id)])
    (live,) = await store.live_attempts()
    standing = (await store.standing([job_id]))[job_id]
    row = await store.job(job_id)

    assert body is not None and (body.job_id, body.body, body.retries) == (job_id, b'{"i":0}', 2)
    assert (live.attempt_id, live.job_id, live.epoch, live.round) == (attempt_id, job_id, 1, 1)
    assert (live.live, live.started, live.community) == (True, False, "ctao")
    assert (live.priority, live.retries, live.queue_until) == (7, 2, 500.0)
    assert (live.pilot, live.session, live.ask, live.site) == ("pilot-1", 1, 4, "PIC")
    assert (live.element, live.cores, live.memory_mb, live.wall_s) == ("slurm", 2, 4_000, 3_600.0)
    assert (standing.state, standing.epoch, standing.live) == (S.MATCHED, 1, True)
    assert (standing.attempt_id, standing.pilot, standing.site) == (attempt_id, "pilot-1", "PIC")
    assert row is not None
    assert (row.state, row.epoch, row.site, row.pilot) == (S.MATCHED, 1, "PIC", "pilot-1")


async def test_a_match_at_another_epoch_or_state_gives_nothing(store: Store) -> None:
    first, second, third = await waiting_jobs(store, 3)
    await store.move([a_move(second, S.WAITING, S.HELD)])
    bodies = await store.match(
        [
            an_attempt(1, first, epoch=2),
            an_attempt(2, second),
            an_attempt(3, third),
            an_attempt(4, third),
            an_attempt(5, third, epoch=2),
            an_attempt(6, 99),
        ]
    )

    assert [body is not None for body in bodies] == [False, False, True, False, False, False]
    assert [live.attempt_id for live in await store.live_attempts()] == [3]


async def test_attempt_ids_are_never_given_twice(store: Store, reopen: Reopen) -> None:
    first = await store.reserve_attempts(10)
    second = await store.reserve_attempts(1)
    third = await (await reopen(store)).reserve_attempts(1)

    assert (first, second, third) == (1, 11, 12)


async def test_an_ordinary_life_leaves_its_history_in_the_attempt(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    outputs = [Output(name="out/a.dat", sha256="ab" * 32, size_bytes=5)]
    won = await store.change(
        [
            Start(attempt_id=attempt_id, job_id=job_id, at=22.5, isolation="unshare"),
            Progress(attempt_id=attempt_id, job_id=job_id, at=23.123456, status="10 %"),
            Progress(attempt_id=attempt_id, job_id=job_id, at=24.0, status='90 % "ü"'),
            an_end(attempt_id, job_id, outputs=outputs),
        ]
    )
    (attempt,) = await store.attempts(job_id)
    row = await store.job(job_id)

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


async def test_progress_keeps_the_newest_hundred(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    steps = [
        Progress(attempt_id=attempt_id, job_id=job_id, at=float(i), status=str(i))
        for i in range(105)
    ]
    await store.change(steps)
    (attempt,) = await store.attempts(job_id)

    assert [status for _, status in attempt.progress] == [str(i) for i in range(5, 105)]


async def test_an_end_without_a_start_brings_its_own(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    await store.change([an_end(await matched(store, job_id), job_id)])
    (attempt,) = await store.attempts(job_id)

    assert attempt.started_at == 21.0


async def test_a_start_counts_once_and_progress_only_while_live(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    start = Start(attempt_id=attempt_id, job_id=job_id, at=22.0)
    progress = Progress(attempt_id=attempt_id, job_id=job_id, at=23.0, status="half")
    won = await store.change([start, start, progress, an_end(attempt_id, job_id), progress])

    assert won == [True, False, True, True, False]


async def test_a_result_counts_once(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    end = an_end(attempt_id, job_id)
    other = an_end(attempt_id, job_id, epoch=2)
    won = await store.change([other, end, end])

    assert won == [False, True, False]


async def test_changes_of_many_jobs_are_each_judged_by_themselves(store: Store) -> None:
    ids = await waiting_jobs(store, 6)
    attempts = {job_id: await matched(store, job_id) for job_id in ids[:5]}
    one, two, three, four, five, six = ids
    await store.want([a_want(attempts[two], two)])
    won = await store.change(
        [
            an_end(attempts[five], five),
            an_end(attempts[two], two),  # killed
            an_end(attempts[one], one),
            Start(attempt_id=attempts[three], job_id=three, at=22.0),
            Start(attempt_id=attempts[one], job_id=six, at=22.0),  # of another job
            a_requeue(attempts[four], four),
        ]
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
    await store.change([an_end(first, job_id, new=S.WAITING, failed=True)])
    row = await store.job(job_id)
    second = await matched(store, job_id, epoch=2, site="CSCS")

    assert row is not None
    assert (row.state, row.failures, row.epoch, row.exit_code) == (S.WAITING, 1, 1, 3)
    assert (row.reason, row.ended_at, row.site) == ("exit code 3", None, "PIC")
    assert [a.attempt_id for a in await store.attempts(job_id)] == [first, second]
    assert (await store.standing([job_id]))[job_id].site == "CSCS"


async def test_a_requeued_attempt_stays_open_until_the_next_match(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    first = await matched(store, job_id)
    await store.change([a_requeue(first, job_id)])
    (adrift,) = await store.live_attempts()
    standing = (await store.standing([job_id]))[job_id]
    await matched(store, job_id, epoch=2)
    (late,) = await store.change([an_end(first, job_id)])
    attempts = await store.attempts(job_id)

    assert (adrift.attempt_id, adrift.live, adrift.losses) == (first, False, 1)
    assert (standing.state, standing.epoch, standing.live) == (S.WAITING, 1, False)
    assert (standing.attempt_id, standing.pilot, standing.losses) == (first, "pilot-1", 1)
    assert not late
    assert [(a.open, a.live) for a in attempts] == [(False, False), (True, True)]
    assert [live.epoch for live in await store.live_attempts()] == [2]


async def test_a_late_result_of_the_open_attempt_counts_though_the_job_waits(
    store: Store,
) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await store.change([a_requeue(attempt_id, job_id)])
    won = await store.change([an_end(attempt_id, job_id)])

    assert won == [True]
    assert await state_of(store, job_id) is S.DONE
    assert await store.match([an_attempt(50, job_id, epoch=2)]) == [None]
    assert await store.live_attempts() == []


async def test_a_closed_requeue_lets_nothing_count(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    back = TakeBack(attempt_id=attempt_id, job_id=job_id, at=33.0)
    await store.change([a_requeue(attempt_id, job_id, close=True, lost=False)])
    won = await store.change([back, an_end(attempt_id, job_id)])
    row = await store.job(job_id)

    assert won == [False, False]
    assert row is not None and (row.state, row.losses) == (S.WAITING, 0)
    assert await store.live_attempts() == []


async def test_a_beat_takes_the_job_back(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    attempt_id = await matched(store, job_id)
    await store.change([a_requeue(attempt_id, job_id)])
    back = TakeBack(attempt_id=attempt_id, job_id=job_id, at=33.0)
    won = await store.change([back, back])
    (attempt,) = await store.attempts(job_id)

    assert won == [True, False]
    assert (attempt.state, attempt.started_at, attempt.ended_at) == (S.RUNNING, 33.0, None)
    assert await state_of(store, job_id) is S.RUNNING
    assert await store.match([an_attempt(50, job_id, epoch=2)]) == [None]
    assert await store.change([an_end(attempt_id, job_id)]) == [True]
    assert await state_of(store, job_id) is S.DONE


async def test_a_beat_of_an_earlier_epoch_or_a_held_job_takes_nothing_back(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    old, held = await matched(store, first), await matched(store, second)
    await store.change([a_requeue(old, first), a_requeue(held, second)])
    await matched(store, first, epoch=2)
    await store.move([a_move(second, S.WAITING, S.HELD, close=False)])
    won = await store.change(
        [
            TakeBack(attempt_id=old, job_id=first, at=33.0),
            TakeBack(attempt_id=held, job_id=second, at=33.0),
        ]
    )

    assert won == [False, False]


async def test_all_attempts_of_a_job_are_found_oldest_first(store: Store) -> None:
    (job_id,) = await waiting_jobs(store, 1)
    for epoch in range(1, 6):
        attempt_id = await matched(store, job_id, epoch=epoch)
        await store.change([a_requeue(attempt_id, job_id, epoch)])

    assert [a.epoch for a in await store.attempts(job_id)] == [1, 2, 3, 4, 5]
    assert await store.attempts(99) == []


async def test_evidence_needs_no_job(store: Store) -> None:
    kept = [
        Evidence(job_id=99, epoch=3, at=1.0, pilot="pilot-1", why="gone", report=b"{}"),
        Evidence(job_id=99, epoch=4, at=2.0, pilot="pilot-2", why="stale", report=b"{1}"),
    ]
    await store.keep_evidence(kept)

    assert await store.evidence(99) == kept
    assert await store.evidence(1) == []


# -- pilots -------------------------------------------------------------------------------------


def a_secret(n: int, **fields: object) -> NewSecret:
    plain = NewSecret(
        secret_hash=f"hash-{n}",
        pilot=f"pilot-{n}",
        community="ctao",
        site="PIC",
        element="slurm",
        expires_at=100.0,
        made_by="ada",
        at=1.0,
    )
    return msgspec.structs.replace(plain, **fields)


def a_registration(n: int = 1, **fields: object) -> Registration:
    plain = Registration(
        secret_hash=f"hash-{n}",
        nonce="nonce",
        renewal_hash="renewal",
        host="node1",
        node=b'{"cores":8}',
        at=2.0,
    )
    return msgspec.structs.replace(plain, **fields)


async def test_a_secret_makes_a_pilot_that_is_submitted(store: Store) -> None:
    await store.add_secrets([a_secret(1)])
    row = await store.pilot("pilot-1")

    assert row is not None
    assert (row.state, row.session, row.registered_at) == (PilotState.SUBMITTED, 0, None)
    assert (row.community, row.site, row.element, row.made_at) == ("ctao", "PIC", "slurm", 1.0)
    assert await store.pilot("pilot-2") is None


async def test_known_secrets_are_refused_together(store: Store) -> None:
    await store.add_secrets([a_secret(1)])
    with pytest.raises(StoreError):
        await store.add_secrets([a_secret(2), a_secret(1)])

    assert await store.pilot("pilot-2") is None


async def test_registering_is_idempotent_by_nonce(store: Store) -> None:
    await store.add_secrets([a_secret(1)])
    first = await store.register(a_registration())
    again = await store.register(a_registration(renewal_hash="newer", at=200.0))

    assert (first.state, first.session, first.nonce) == (PilotState.RUNNING, 1, "nonce")
    assert (first.host, first.node, first.registered_at) == ("node1", b'{"cores":8}', 2.0)
    assert again == msgspec.structs.replace(first, renewal_hash="newer")
    assert await store.pilot("pilot-1") == again


async def test_a_secret_is_refused_when_unknown_used_expired_or_cancelled(store: Store) -> None:
    await store.add_secrets([a_secret(1), a_secret(2), a_secret(3)])
    await store.register(a_registration(1))
    await store.move_pilot("pilot-3", PilotState.SUBMITTED, PilotState.ABORTED, 2.0, "")
    for bad in (
        a_registration(9),
        a_registration(1, nonce="another"),
        a_registration(2, at=100.0),
        a_registration(3),
    ):
        with pytest.raises(BadSecret):
            await store.register(bad)

    row = await store.pilot("pilot-2")
    assert row is not None and row.state is PilotState.SUBMITTED


async def test_hello_opens_the_next_session_once_per_nonce(store: Store) -> None:
    await store.add_secrets([a_secret(1), a_secret(2)])
    await store.register(a_registration())
    second = await store.hello("pilot-1", "n2")
    again = await store.hello("pilot-1", "n2")
    third = await store.hello("pilot-1", "n3")
    for unknown in ("pilot-9", "pilot-2"):
        with pytest.raises(PilotNotFound):
            await store.hello(unknown, "n")

    assert (second.session, again.session, third.session) == (2, 2, 3)
    assert await store.pilot("pilot-1") == third


async def test_a_pilots_state_is_compared_and_set(store: Store) -> None:
    await store.add_secrets([a_secret(1)])
    await store.register(a_registration())
    lost = ("pilot-1", PilotState.RUNNING, PilotState.LOST, 9.0, "silent")
    won = [await store.move_pilot(*lost), await store.move_pilot(*lost)]
    row = await store.pilot("pilot-1")
    back = await store.move_pilot("pilot-1", PilotState.LOST, PilotState.RUNNING, 10.0, "")
    after = await store.pilot("pilot-1")

    assert won == [True, False] and back
    assert row is not None and (row.ended_at, row.reason) == (9.0, "silent")
    assert after is not None and (after.state, after.ended_at) == (PilotState.RUNNING, None)


async def test_pilots_come_in_pages_by_community_and_state(store: Store) -> None:
    secrets = [a_secret(n, community="ctao" if n < 5 else "lhcb") for n in range(1, 7)]
    await store.add_secrets(secrets)
    await store.register(a_registration(3))

    async def names(community: str | None, *states: PilotState, after: str = "") -> list[str]:
        page = await store.pilots(community, states=states, after=after, limit=3)
        return [row.pilot for row in page]

    assert await names(None) == ["pilot-1", "pilot-2", "pilot-3"]
    assert await names(None, after="pilot-3") == ["pilot-4", "pilot-5", "pilot-6"]
    assert await names("lhcb") == ["pilot-5", "pilot-6"]
    assert await names("ctao", PilotState.RUNNING) == ["pilot-3"]
    assert await names("ctao", PilotState.SUBMITTED, PilotState.DONE, after="pilot-2") == [
        "pilot-4"
    ]


# -- tokens -------------------------------------------------------------------------------------


def a_token(jti: str, **fields: object) -> TokenRow:
    plain = TokenRow(
        jti=jti,
        issuer="local",
        subject="ada",
        name="Ada",
        community="ctao",
        groups=("sim", "ana"),
        role="user",
        issued_at=1.0,
        expires_at=NOW + 100,
        issued_by="root",
    )
    return msgspec.structs.replace(plain, **fields)


async def test_a_token_is_revoked_once_and_named_until_it_expires(store: Store) -> None:
    live, old = a_token("live"), a_token("old", expires_at=NOW - 1)
    other = a_token("other", community="lhcb", groups=(), issued_at=0.5)
    for token in (live, old, other):
        await store.add_token(token)
    won = [await store.revoke_token(jti, 5.0) for jti in ("live", "live", "old", "none")]

    assert won == [True, False, True, False]
    assert await store.revoked() == [("live", NOW + 100)]
    assert await store.tokens("lhcb") == [other]
    assert await store.tokens(None) == [
        other,
        msgspec.structs.replace(live, revoked_at=5.0),
        msgspec.structs.replace(old, revoked_at=5.0),
    ]


async def test_a_token_is_added_once(store: Store) -> None:
    await store.add_token(a_token("one"))
    with pytest.raises(StoreError):
        await store.add_token(a_token("one", subject="bob"))

    assert await store.tokens(None) == [a_token("one")]
