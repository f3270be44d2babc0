"""Which unfinished jobs get tokens, and the sessions that stay for them."""

import pytest

from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.identity.sessions.rows import GRANT_KEPT_S, LoginSession
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.record_token_classes import has_jobs_with_tokens
from pilotage.central.store.engine import CHUNK_MAX, Store
from pilotage.proto.job_states import JobState
from tests import turns

from .conftest import NOW, Reopen
from .rows import (
    IAM,
    a_class,
    a_move,
    a_session,
    a_submission,
    an_end,
    matched,
    some_jobs,
    submitted,
)


async def has_jobs(store: Store, community: str = "ctao", subject: str = "alice") -> bool:
    return await store.read(has_jobs_with_tokens, community, IAM, subject)


async def a_job(store: Store, *, has_tokens: bool = True, key: str = "key") -> int:
    """Return a waiting job of alice."""
    kind = await a_class(store, issuer=IAM, subject="alice", needs=b'["%d"]' % has_tokens)
    return (await submitted(store, kind, 1, key, has_tokens=has_tokens)).ranges[0][0]


async def with_session(store: Store, name: str = "s1", **fields: object) -> LoginSession:
    row = a_session(name, **fields)
    await store.write(session_rows.add_session, row)
    return row


async def session(store: Store, name: str = "s1") -> LoginSession:
    found = await store.read(session_rows.session_of, name)
    assert found is not None
    return found


async def test_jobs_with_tokens_count_while_they_are_unfinished(store: Store) -> None:
    assert not await has_jobs(store)
    await a_job(store, has_tokens=False, key="without")
    assert not await has_jobs(store)
    job = await a_job(store)
    assert await has_jobs(store)

    attempt = await matched(store, job)
    assert await has_jobs(store), "it is matched"
    await turns.change(store, [an_end(attempt, job)])
    assert not await has_jobs(store), "it is Done"


async def test_held_and_rescheduled_jobs_are_unfinished(store: Store) -> None:
    job = await a_job(store)
    for old, new, are in (
        (JobState.WAITING, JobState.HELD, True),
        (JobState.HELD, JobState.KILLED, False),
        (JobState.KILLED, JobState.WAITING, True),
    ):
        assert all(await store.write(job_records.move, [a_move(job, old, new)]))
        assert await has_jobs(store) is are, new


async def test_jobs_of_others_and_of_other_communities_do_not_count(store: Store) -> None:
    await a_job(store)
    assert not await has_jobs(store, subject="bob")
    assert not await has_jobs(store, community="lst")


async def test_a_submission_in_chunks_counts_from_its_first_chunk(store: Store) -> None:
    kind = await a_class(store, issuer=IAM, subject="alice")
    new = a_submission(kind)
    begun = await store.write(submission_records.begin_submission, new)
    for _ in range(2):
        jobs = some_jobs(kind, CHUNK_MAX, has_tokens=True)
        await store.write(submission_records.add_jobs, begun.submission_id, jobs)
    assert await has_jobs(store)
    await submission_records.drop_submission(store, begun.submission_id)
    assert not await has_jobs(store)


async def test_the_classes_are_there_after_a_restart(store: Store, reopen: Reopen) -> None:
    await a_job(store)
    again = await reopen(store)
    assert await has_jobs(again)


@pytest.mark.parametrize("has_tokens", [True, False])
async def test_a_person_leaves_the_refresh_token_to_their_jobs(
    store: Store, has_tokens: bool
) -> None:
    await a_job(store, has_tokens=has_tokens)
    row = await with_session(store)
    stays = await store.write(
        session_rows.end_for_person, row, NOW + 1, "logged out", is_used=has_jobs_with_tokens
    )
    found = await session(store)

    assert stays is has_tokens
    assert (found.ended_at, found.ended_why) == (NOW + 1, "logged out")
    assert found.refresh == ("sealed s1" if has_tokens else "")


async def test_a_session_without_refresh_token_leaves_nothing(store: Store) -> None:
    await a_job(store)
    row = await with_session(store, refresh="")
    assert not await store.write(
        session_rows.end_for_person, row, NOW + 1, "logged out", is_used=has_jobs_with_tokens
    )


async def test_grants_are_the_newest_sessions_with_a_refresh_token(store: Store) -> None:
    await a_job(store)
    some: list[dict[str, object]] = [
        {"community": "lst"},
        {"subject": "bob"},
        {"issuer": "https://other.test/"},
        {"refresh": ""},
        {"ends_at": NOW - GRANT_KEPT_S},
        {"created_at": NOW + 1},
        {"created_at": NOW + 3},
        {"created_at": NOW + 2},
    ]
    for number, fields in enumerate(some):
        await with_session(store, f"s{number}", **fields)
    kept = await session(store, "s7")
    await store.write(
        session_rows.end_for_person, kept, NOW + 4, "logged out", is_used=has_jobs_with_tokens
    )

    found = await store.read(session_rows.grants, "ctao", IAM, "alice", NOW, limit=10)
    assert [one.session for one in found] == ["s6", "s7", "s5"]
    first = await store.read(session_rows.grants, "ctao", IAM, "alice", NOW, limit=1)
    assert [one.session for one in first] == ["s6"]


async def test_the_next_refresh_token_is_kept_only_where_there_was_one(store: Store) -> None:
    await with_session(store)
    assert await store.write(session_rows.keep_grant, "s1", "sealed next")
    assert (await session(store)).refresh == "sealed next"
    await store.write(session_rows.end, "s1", NOW, "copied")
    assert not await store.write(session_rows.keep_grant, "s1", "sealed later")
    assert (await session(store)).refresh == ""


async def test_a_kept_refresh_token_is_dropped_once(store: Store) -> None:
    await a_job(store)
    row = await with_session(store)
    assert not await store.write(session_rows.drop_grant, "s1", NOW), "the session is open"
    await store.write(
        session_rows.end_for_person, row, NOW, "logged out", is_used=has_jobs_with_tokens
    )
    assert await store.write(session_rows.drop_grant, "s1", NOW)
    assert not await store.write(session_rows.drop_grant, "s1", NOW)
    assert (await session(store)).ended_why == "logged out"


async def test_all_sessions_of_a_person_end_for_good(store: Store) -> None:
    await a_job(store)
    row = await with_session(store)
    await store.write(
        session_rows.end_for_person, row, NOW, "logged out", is_used=has_jobs_with_tokens
    )
    await with_session(store, "s2")
    await with_session(store, "s3", subject="bob")

    assert await store.write(session_rows.end_all_of, IAM, "alice", NOW + 1, "banned") == ["s2"]
    assert [(await session(store, one)).refresh for one in ("s1", "s2")] == ["", ""]
    assert (await session(store, "s3")).refresh


async def test_grants_are_useless_without_jobs_or_time(store: Store) -> None:
    job = await a_job(store)
    for number in range(5):
        row = await with_session(store, f"s{number}", ends_at=NOW + 100.0 * number)
        await store.write(
            session_rows.end_for_person, row, NOW, "logged out", is_used=has_jobs_with_tokens
        )
    await with_session(store, "t")

    async def useless(now: float, *, limit: int = 10) -> list[str]:
        after, names = "", list[str]()
        while True:
            found, after = await store.read(
                session_rows.useless_grants,
                now,
                is_used=has_jobs_with_tokens,
                after=after,
                limit=limit,
            )
            names += [one.session for one in found]
            if not after:
                return names

    over = NOW + 150 + GRANT_KEPT_S
    assert await useless(NOW + 150) == []
    assert await useless(over) == ["s0", "s1", "t"]
    assert await useless(over, limit=2) == ["s0", "s1", "t"]
    await store.write(job_records.move, [a_move(job, JobState.WAITING, JobState.KILLED)])
    assert await useless(NOW + 50, limit=2) == ["s0", "s1", "s2", "s3", "s4"]
    assert await useless(NOW + 150, limit=2) == ["s0", "s1", "s2", "s3", "s4", "t"]
