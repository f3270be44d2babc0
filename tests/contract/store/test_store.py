"""The contract of a store: what it keeps, interning, submissions. Runs on every driver."""

import asyncio
import random
import string

import msgspec
import pytest

from pilotage.central.identity import record as identity_records
from pilotage.central.identity.record_types import Owner
from pilotage.central.jobs import (
    record as job_records,
    record_search as job_search,
    record_submissions as submission_records,
)
from pilotage.central.jobs.record_types import JobClassRow, JobSearch, NewJob, ShareLevels
from pilotage.central.store.engine import CHUNK_MAX, Store
from pilotage.central.store.errors import KeyReused, StoreError
from pilotage.proto.job_states import JobState
from tests import turns

from .conftest import Reopen
from .rows import (
    a_class,
    a_move,
    a_submission,
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
    await turns.change(store, [an_end(await matched(store, first), first)])
    await matched(store, second)
    expected = await store.read(job_search.search, JobSearch(), after=0, limit=10)
    again = await reopen(store)

    assert await again.read(job_search.search, JobSearch(), after=0, limit=10) == expected
    assert [job.state for job in expected] == [S.DONE, S.MATCHED, S.WAITING]
    assert [live.job_id for live in await again.read(job_records.live_attempts)] == [second]
    assert [row[2] async for rows in job_search.waiting(again) for row in rows] == [third]


async def test_many_callers_at_once_each_get_their_own_answer(store: Store) -> None:
    ids = await waiting_jobs(store, 50)
    first = await store.write(job_records.reserve_attempts, 100)
    async with asyncio.TaskGroup() as tasks:
        twice = [
            tasks.create_task(turns.match(store, [an_attempt(first + 2 * i + again, job_id)]))
            for i, job_id in enumerate(ids)
            for again in (0, 1)
        ]
    bodies = [task.result()[0] for task in twice]

    assert sum(body is not None for body in bodies) == 50
    assert {body.job_id for body in bodies if body} == set(ids)


async def test_levels_replace_those_of_before_and_are_there_after_opening_again(
    store: Store, reopen: Reopen
) -> None:
    assert await store.read(job_records.levels) is None
    await store.write(job_records.keep_levels, ShareLevels(at=5.0, levels={"ctao/sim": 1.5}))
    latest = ShareLevels(at=65.5, levels={"ctao/sim": 2.5, "ctao/sim/Ada / é": -1e300})
    await store.write(job_records.keep_levels, latest)
    again = await reopen(store)

    assert await again.read(job_records.levels) == latest


# -- interning ----------------------------------------------------------------------------------


async def test_an_owner_keeps_its_id_and_takes_a_new_name(store: Store) -> None:
    ada = await store.write(
        identity_records.owner, Owner(community="ctao", issuer="local", subject="ada")
    )
    again = await store.write(
        identity_records.owner,
        Owner(community="ctao", issuer="local", subject="ada", name="Ada L."),
    )
    nameless = await store.write(
        identity_records.owner, Owner(community="ctao", issuer="local", subject="ada")
    )
    other = await store.write(
        identity_records.owner, Owner(community="lhcb", issuer="local", subject="ada")
    )

    assert ada.owner_id == again.owner_id == nameless.owner_id != other.owner_id
    assert again.name == nameless.name == "Ada L."
    assert await store.read(identity_records.owners) == [nameless, other]


async def test_equal_classes_are_one_and_every_field_tells_them_apart(store: Store) -> None:
    ada = await store.write(
        identity_records.owner, Owner(community="ctao", issuer="local", subject="ada")
    )
    bob = await store.write(
        identity_records.owner, Owner(community="ctao", issuer="local", subject="bob")
    )
    plain = JobClassRow(
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
    ids = await store.write(submission_records.classes, [*wanted, plain])
    again = await store.write(submission_records.classes, wanted)

    assert len(set(ids)) == 6 and ids[-1] == ids[0]
    assert again == ids[:-1]
    assert await store.read(submission_records.live_classes) == []
    assert await store.read(submission_records.classes_given, [*again, 99]) == [
        msgspec.structs.replace(one, class_id=class_id)
        for class_id, one in zip(again, wanted, strict=True)
    ]


async def test_a_class_may_need_as_much_as_one_can_say(store: Store) -> None:
    chance = random.Random(7)
    noise = "".join(chance.choices(string.ascii_letters + string.digits, k=30_000)).encode()
    plain = await a_class(store)
    long = msgspec.structs.replace(plain, class_id=0, needs=noise, preference=noise[::-1])
    other = msgspec.structs.replace(long, needs=noise + b" ")
    ids = await store.write(submission_records.classes, [long, other])

    assert (
        await store.write(submission_records.classes, [other, long]) == ids[::-1]
        and len(set(ids)) == 2
    )
    assert await store.read(submission_records.classes_given, [ids[0]]) == [
        msgspec.structs.replace(long, class_id=ids[0])
    ]


async def test_a_class_is_live_while_a_job_of_it_waits_or_is_with_a_pilot(store: Store) -> None:
    kept, ended = await a_class(store, type="A"), await a_class(store, type="B")
    await submitted(store, kept, 2)
    await submitted(store, ended, 1, key="other")
    both = await store.read(submission_records.live_classes)
    await matched(store, 1)
    await store.write(
        job_records.move, [a_move(2, S.WAITING, S.KILLED), a_move(3, S.WAITING, S.KILLED)]
    )

    assert both == [kept, ended]
    assert await store.read(submission_records.live_classes) == [kept]
    assert await store.read(submission_records.classes_given, [ended.class_id]) == [ended]


# -- submission ---------------------------------------------------------------------------------


async def test_a_submission_gives_consecutive_ids_and_waiting_jobs(store: Store) -> None:
    kind = await a_class(store)
    record = await submitted(store, kind, 3)

    assert record.complete and record.ranges == ((1, 3),)
    assert await store.read(submission_records.submission, record.submission_id) == record
    assert (
        await store.read(submission_records.submission_by_key, "ctao", kind.owner_id, "key")
        == record
    )
    assert (
        await store.read(submission_records.submission_by_key, "lhcb", kind.owner_id, "key") is None
    )
    assert await store.read(submission_records.submission, 99) is None
    assert [await state_of(store, i) for i in (1, 2, 3)] == [S.WAITING] * 3


async def test_the_same_key_and_body_gives_the_first_submission(store: Store) -> None:
    kind = await a_class(store)
    first = await submitted(store, kind, 2)
    again = await store.write(
        submission_records.submit, a_submission(kind, at=99.0), some_jobs(kind, 2)
    )

    assert again == msgspec.structs.replace(first, repeated=True)
    assert await store.read(job_search.ids, JobSearch(), limit=10) == [1, 2]


async def test_the_same_key_with_another_body_is_refused(store: Store) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 1)
    with pytest.raises(KeyReused):
        await store.write(
            submission_records.submit, a_submission(kind, body_hash="other"), some_jobs(kind, 1)
        )
    other = await a_class(store, subject="bob")
    await submitted(store, other, 1)

    assert await store.read(job_search.ids, JobSearch(), limit=10) == [1, 2]


async def test_one_refused_submission_leaves_its_neighbours_alone(store: Store) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 1, key="known")
    bad = a_submission(kind, "known", body_hash="other")
    answers = await asyncio.gather(
        submitted(store, kind, 1, key="before"),
        store.write(submission_records.submit, bad, some_jobs(kind, 5)),
        submitted(store, kind, 1, key="after"),
        return_exceptions=True,
    )

    assert isinstance(answers[1], KeyReused)
    assert sorted(await store.read(job_search.ids, JobSearch(), limit=10)) == [1, 2, 3]


async def test_a_submission_in_chunks_is_visible_nowhere_until_it_is_finished(
    store: Store,
) -> None:
    kind = await a_class(store)
    record = await store.write(
        submission_records.begin_submission, a_submission(kind, body_hash="")
    )
    assert (
        await store.write(submission_records.add_jobs, record.submission_id, some_jobs(kind, 2))
        == 1
    )
    await submitted(store, kind, 1, key="between")
    assert (
        await store.write(
            submission_records.add_jobs, record.submission_id, some_jobs(kind, 2, name="x")
        )
        == 4
    )
    hidden = [1, 2, 4, 5]

    assert not record.complete
    assert await store.read(job_search.ids, JobSearch(), limit=10) == [3]
    assert await store.read(job_search.ids, JobSearch(ids=(1, 2, 3, 4)), limit=10) == [3]
    assert await store.read(job_search.ids, JobSearch(name="x"), limit=10) == []
    assert await store.read(job_search.ids, JobSearch(name="shower"), limit=10) == [3]
    assert (
        await store.read(job_search.ids, JobSearch(submission_id=record.submission_id), limit=10)
        == []
    )
    assert [row[2] async for rows in job_search.waiting(store) for row in rows] == [3]
    assert sum(row.count for row in await store.read(job_records.counts)) == 1
    assert (
        await store.write(job_records.standing, hidden) == {}
        and await store.read(job_records.bodies, hidden) == {}
    )
    assert await store.read(job_records.job, 1) is None
    assert await turns.match(store, [an_attempt(1, 1)]) == [None]
    assert await store.write(job_records.move, [a_move(1, S.WAITING, S.KILLED)]) == [False]
    assert await store.write(job_records.set_priority, [1], 9, 5.0, "ada") == [False]

    finished = await store.write(submission_records.finish_submission, record.submission_id, "hash")

    assert finished.complete and finished.body_hash == "hash"
    assert finished.ranges == ((1, 2), (4, 2))
    assert await store.read(job_search.ids, JobSearch(), limit=10) == [1, 2, 3, 4, 5]
    assert (
        await store.read(job_search.ids, JobSearch(submission_id=record.submission_id), limit=10)
        == hidden
    )
    assert sum(row.count for row in await store.read(job_records.counts)) == 5
    assert await turns.match(store, [an_attempt(1, 1)]) != [None]


async def test_beginning_again_gives_the_submission_that_is_there(store: Store) -> None:
    kind = await a_class(store)
    begun = await store.write(submission_records.begin_submission, a_submission(kind, body_hash=""))
    again = await store.write(submission_records.begin_submission, a_submission(kind, body_hash=""))
    await store.write(submission_records.add_jobs, begun.submission_id, some_jobs(kind, 1))
    finished = await store.write(submission_records.finish_submission, begun.submission_id, "hash")
    late = await store.write(submission_records.begin_submission, a_submission(kind, body_hash=""))

    assert again == msgspec.structs.replace(begun, repeated=True)
    assert late == msgspec.structs.replace(finished, repeated=True)
    assert finished == await store.write(
        submission_records.finish_submission, begun.submission_id, "other"
    )


async def test_neighbouring_chunks_make_one_range(store: Store) -> None:
    kind = await a_class(store)
    record = await store.write(submission_records.begin_submission, a_submission(kind))
    for _ in range(3):
        await store.write(
            submission_records.add_jobs, record.submission_id, some_jobs(kind, CHUNK_MAX)
        )
    finished = await store.write(submission_records.finish_submission, record.submission_id, "hash")

    assert finished.ranges == ((1, 3 * CHUNK_MAX),)
    assert len(await store.read(job_search.ids, JobSearch(), limit=10_000)) == 3 * CHUNK_MAX


async def test_a_dropped_submission_frees_its_key_but_never_its_ids(
    store: Store, reopen: Reopen
) -> None:
    kind = await a_class(store)
    begun = await store.write(submission_records.begin_submission, a_submission(kind))
    for _ in range(2):
        await store.write(
            submission_records.add_jobs, begun.submission_id, some_jobs(kind, CHUNK_MAX)
        )
    await submission_records.drop_submission(store, begun.submission_id)
    await submission_records.drop_submission(store, begun.submission_id)
    assert await store.read(submission_records.submission, begun.submission_id) is None
    with pytest.raises(StoreError):
        await store.write(submission_records.add_jobs, begun.submission_id, some_jobs(kind, 1))
    again = await reopen(store)
    record = await submitted(again, kind, 2)

    assert record.submission_id == begun.submission_id + 1
    assert record.ranges == ((2_001, 2),)
    assert await again.read(job_search.ids, JobSearch(), limit=10) == [2_001, 2_002]


async def test_a_finished_submission_is_not_dropped_and_takes_no_more(store: Store) -> None:
    kind = await a_class(store)
    record = await submitted(store, kind, 2)
    await submission_records.drop_submission(store, record.submission_id)
    with pytest.raises(StoreError):
        await store.write(submission_records.add_jobs, record.submission_id, some_jobs(kind, 1))

    assert await store.read(job_search.ids, JobSearch(), limit=10) == [1, 2]


async def test_what_never_finished_is_gone_when_the_store_is_opened_again(
    store: Store, reopen: Reopen
) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 1, key="kept")
    begun = await store.write(submission_records.begin_submission, a_submission(kind, "cut"))
    await store.write(submission_records.add_jobs, begun.submission_id, some_jobs(kind, CHUNK_MAX))
    await store.write(submission_records.add_jobs, begun.submission_id, some_jobs(kind, 5))
    again = await reopen(store)
    record = await submitted(again, kind, 1, key="cut")

    assert record.submission_id > begun.submission_id
    assert await again.read(job_search.ids, JobSearch(), limit=10) == [1, CHUNK_MAX + 7]
    assert sum(row.count for row in await again.read(job_records.counts)) == 2


async def test_a_chunk_that_is_too_long_is_refused(store: Store) -> None:
    kind = await a_class(store)
    with pytest.raises(ValueError):
        await store.write(
            submission_records.submit, a_submission(kind), some_jobs(kind, CHUNK_MAX + 1)
        )

    assert await store.read(job_search.ids, JobSearch(), limit=10) == []


@pytest.mark.parametrize("alike", [1, 7, 1_000])
@pytest.mark.parametrize(
    "bodies",
    [
        [b'{"i":1}', '{"ä":"\\"\n€\U0001f52d"}'.encode(), b""],
        [b"\xff\xfe", b'{"i":2}'],
        [b'{"i":3}\0', b"x" * 40_000],
    ],
)
@pytest.mark.parametrize("name", [None, "a name"])
async def test_every_job_of_a_chunk_is_kept_as_it_was_handed_in(
    store: Store, alike: int, bodies: list[bytes], name: str | None
) -> None:
    kinds = [await a_class(store), await a_class(store, group="ops")]
    new = [
        NewJob(
            class_id=kinds[at // alike % 2].class_id,
            body=bodies[at % len(bodies)],
            priority=at // alike % 3,
            retries=at // alike % 2,
            queue_until=None if at // alike % 2 else 99.5,
            name=name if at == 5 else None,
        )
        for at in range(60)
    ]
    record = await store.write(submission_records.submit, a_submission(kinds[0]), new)
    ids = [record.ranges[0][0] + at for at in range(60)]
    kept, standing = (
        await store.read(job_records.bodies, ids),
        await store.write(job_records.standing, ids),
    )
    named = await store.read(job_records.job, ids[5])

    assert [kept[job_id].body for job_id in ids] == [one.body for one in new]
    assert [
        (one.class_id, one.priority, one.retries, one.queue_until) for one in standing.values()
    ] == [(one.class_id, one.priority, one.retries, one.queue_until) for one in new]
    assert named is not None and named.name == name


async def test_bodies_come_with_the_template_and_what_the_round_has_cost(store: Store) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 2, retries=3)
    own = a_submission(kind, "own", template=None)
    await store.write(submission_records.submit, own, some_jobs(kind, 1))
    await turns.change(store, [an_end(await matched(store, 2), 2, new=S.WAITING, failed=True)])
    found = await store.read(job_records.bodies, [3, 2, 99])

    assert found.keys() == {2, 3}
    assert found[2].template == a_submission(kind).template and found[2].body == b'{"i":1}'
    assert (found[2].round, found[2].retries, found[2].failures, found[2].losses) == (1, 3, 1, 0)
    assert found[3].template is None and found[3].body == b'{"i":0}'


async def test_the_next_ids_are_those_that_nobody_was_given(store: Store, reopen: Reopen) -> None:
    before = await store.read(job_records.ids_given)
    kind = await a_class(store)
    await submitted(store, kind, 3)
    first = await store.write(job_records.reserve_attempts, 10)
    after = await (await reopen(store)).read(job_records.ids_given)

    assert (before["job"], before["submission"], before["attempt"]) == (1, 1, first)
    assert (after["job"], after["submission"], after["attempt"]) == (4, 2, first + 10)
