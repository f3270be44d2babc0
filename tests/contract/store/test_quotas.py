"""Quotas: what is used counts in the transaction that uses it, and nothing is half stored."""

import asyncio

import pytest

from pilotage.central.accounts import record_quotas as quota_records
from pilotage.central.accounts.record_quotas import (
    Holding,
    Quota,
    QuotaLimit,
    QuotaLimits,
    QuotaUsage,
)
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.record_types import JobClassRow, JobMove
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import OverQuota
from pilotage.proto.job_states import JobState
from tests import turns

from .conftest import Reopen
from .rows import a_class, a_submission, an_end, matched, some_jobs, submitted

SHA, OTHER = "a" * 64, "b" * 64


async def jobs_used(store: Store) -> dict[tuple[str, str], int]:
    return {
        (one.kind, one.name): one.jobs for one in await store.read(quota_records.uses) if one.jobs
    }


async def bytes_used(store: Store) -> dict[tuple[str, str], int]:
    return {
        (one.kind, one.name): one.bytes for one in await store.read(quota_records.uses) if one.bytes
    }


def all_of(kind: JobClassRow, count: int) -> dict[tuple[str, str], int]:
    return {
        ("community", ""): count,
        ("group", kind.group): count,
        ("owner", str(kind.owner_id)): count,
    }


def of_jobs(most: int) -> QuotaLimits:
    return QuotaLimits(own={("owner", "ctao", "ada"): QuotaLimit(jobs=most)}, local_issuer="local")


def held(kind: JobClassRow, sha256: str, size: int, *, at: float = 5.0) -> Holding:
    return Holding(
        sha256=sha256,
        owner_id=kind.owner_id,
        community=kind.community,
        group=kind.group,
        bytes=size,
        at=at,
    )


async def test_quotas_are_kept_as_they_were_set_last(store: Store, reopen: Reopen) -> None:
    ada = Quota(kind="owner", community="ctao", name="ada", jobs=5)
    await store.write(quota_records.put_quota, ada)
    await store.write(
        quota_records.put_quota, Quota(kind="community", community="ctao", bytes=1 << 40)
    )
    await store.write(
        quota_records.put_quota, Quota(kind="owner", community="ctao", name="ada", jobs=7, bytes=0)
    )
    dropped = [
        await store.write(quota_records.drop_quota, "community", "ctao", "") for _ in range(2)
    ]
    store = await reopen(store)

    assert await store.read(quota_records.quotas) == [
        Quota(kind="owner", community="ctao", name="ada", jobs=7, bytes=0)
    ]
    assert dropped == [True, False]


async def test_jobs_count_for_owner_group_and_community_until_they_are_taken_off(
    store: Store, reopen: Reopen
) -> None:
    ada, bob = await a_class(store), await a_class(store, subject="bob", group="ana")
    await submitted(store, ada, 3)
    await submitted(store, bob, 4)
    await store.write(quota_records.take_off, [("ctao", "sim", ada.owner_id, 2)])
    store = await reopen(store)

    assert await store.read(quota_records.uses) == [
        QuotaUsage(kind="community", community="ctao", name="", jobs=5, bytes=0),
        QuotaUsage(kind="group", community="ctao", name="ana", jobs=4, bytes=0),
        QuotaUsage(kind="group", community="ctao", name="sim", jobs=1, bytes=0),
        QuotaUsage(kind="owner", community="ctao", name=str(ada.owner_id), jobs=1, bytes=0),
        QuotaUsage(kind="owner", community="ctao", name=str(bob.owner_id), jobs=4, bytes=0),
    ]


async def test_ends_of_jobs_that_were_never_counted_leave_no_negative_count(store: Store) -> None:
    ada, bob = await a_class(store), await a_class(store, subject="bob")
    await submitted(store, ada, 3)
    await store.write(
        quota_records.take_off, [("ctao", "sim", bob.owner_id, 2), ("ctao", "sim", ada.owner_id, 5)]
    )
    empty = await store.read(quota_records.uses)
    await store.write(quota_records.take_off, [("ctao", "sim", ada.owner_id, -1)])
    await submitted(store, ada, 2, "more")

    assert empty == []
    assert await jobs_used(store) == all_of(ada, 3)


async def test_counting_anew_gives_the_jobs_that_have_not_ended(store: Store) -> None:
    kind = await a_class(store)
    record = await submitted(store, kind, 3)
    first = record.ranges[0][0]
    attempt = await matched(store, first)
    await turns.change(store, [an_end(attempt, first)])
    await matched(store, first + 1)  # one that runs has not ended
    before = await jobs_used(store)
    await store.write(quota_records.recount)

    assert (before, await jobs_used(store)) == (all_of(kind, 3), all_of(kind, 2))


async def test_a_submission_over_quota_is_refused_whole_and_names_whose_quota_it_is(
    store: Store,
) -> None:
    kind = await a_class(store)
    await store.write(quota_records.obey, of_jobs(5))
    await submitted(store, kind, 3, "first")
    with pytest.raises(OverQuota) as refused:
        await submitted(store, kind, 3, "second")
    await submitted(store, kind, 2, "second")

    assert refused.value.status == 403
    assert str(refused.value).startswith(
        "owner 'ada' of community 'ctao' has 3 of 5 unended jobs, and this adds at least 3: "
    )
    assert await jobs_used(store) == all_of(kind, 5)
    assert (
        await store.read(submission_records.submission_by_key, "ctao", kind.owner_id, "third")
        is None
    )


async def test_a_request_that_is_repeated_is_answered_though_its_own_jobs_fill_the_quota(
    store: Store,
) -> None:
    kind = await a_class(store)
    await store.write(quota_records.obey, of_jobs(3))
    first = await submitted(store, kind, 3)
    again = await submitted(store, kind, 3)

    assert (again.repeated, again.ranges) == (True, first.ranges)
    assert await jobs_used(store) == all_of(kind, 3)


async def test_a_quota_below_what_is_there_stops_only_what_is_new(store: Store) -> None:
    kind = await a_class(store)
    record = await submitted(store, kind, 3)
    await store.write(quota_records.obey, of_jobs(1))
    job = record.ranges[0][0]
    attempt = await matched(store, job)
    done = await turns.change(store, [an_end(attempt, job)])
    with pytest.raises(OverQuota):
        await submitted(store, kind, 1, "more")

    assert done == [True]


async def test_what_came_of_a_bulk_that_is_dropped_is_given_back(
    store: Store, reopen: Reopen
) -> None:
    kind = await a_class(store)
    await store.write(quota_records.obey, of_jobs(1_500))
    record = await store.write(submission_records.begin_submission, a_submission(kind))
    await store.write(submission_records.add_jobs, record.submission_id, some_jobs(kind, 1_000))
    with pytest.raises(OverQuota, match="has 0 of 1500 unended jobs, and this adds at least 2000"):
        await store.write(submission_records.add_jobs, record.submission_id, some_jobs(kind, 1_000))
    await submission_records.drop_submission(store, record.submission_id)
    dropped = await jobs_used(store)
    record = await store.write(submission_records.begin_submission, a_submission(kind, "again"))
    await store.write(submission_records.add_jobs, record.submission_id, some_jobs(kind, 10))
    store = await reopen(store)  # its process has died

    assert (dropped, await jobs_used(store)) == ({}, {})


async def test_a_group_and_a_community_have_quotas_of_their_own(store: Store) -> None:
    ada, bob = await a_class(store), await a_class(store, subject="bob")
    far = await a_class(store, community="other")
    await store.write(
        quota_records.obey,
        QuotaLimits(
            own={
                ("group", "ctao", "sim"): QuotaLimit(jobs=4),
                ("community", "other", ""): QuotaLimit(jobs=1),
            }
        ),
    )
    await submitted(store, ada, 2)
    with pytest.raises(OverQuota, match="group 'sim' of community 'ctao' has 2 of 4"):
        await submitted(store, bob, 3)
    with pytest.raises(OverQuota, match="community 'other' has 0 of 1"):
        await submitted(store, far, 2)


async def test_a_default_holds_for_all_who_have_no_quota_of_their_own(store: Store) -> None:
    ada, bob = await a_class(store), await a_class(store, subject="bob")
    await store.write(
        quota_records.obey,
        QuotaLimits(
            defaults={"owner": QuotaLimit(jobs=1)},
            own={("owner", "ctao", "ada"): QuotaLimit()},
            local_issuer="local",
        ),
    )
    await submitted(store, ada, 5)
    with pytest.raises(OverQuota, match="owner 'bob'"):
        await submitted(store, bob, 2)


async def test_submissions_at_the_same_time_never_exceed_a_quota_together(store: Store) -> None:
    kind = await a_class(store)
    await store.write(quota_records.obey, of_jobs(25))
    calls = [submitted(store, kind, 4, f"key {number}") for number in range(10)]
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert sum(isinstance(one, OverQuota) for one in answers) == 4
    assert await jobs_used(store) == all_of(kind, 24)


async def moved(store: Store, jobs: list[int], old: JobState, new: JobState) -> list[bool]:
    moves = [
        JobMove(
            job_id=job,
            old=old,
            new=new,
            at=9.0,
            event="moved",
            who="ada",
            new_round=old is JobState.KILLED,
        )
        for job in jobs
    ]
    return await store.write(job_records.move, moves)


async def killed_jobs(store: Store, kind: JobClassRow, count: int) -> list[int]:
    """Return jobs that have ended and count no more."""
    ((first, _),) = (await submitted(store, kind, count)).ranges
    jobs = list(range(first, first + count))
    await moved(store, jobs, JobState.WAITING, JobState.KILLED)
    await store.write(quota_records.take_off, [(kind.community, kind.group, kind.owner_id, count)])
    return jobs


async def test_ended_jobs_that_run_again_count_when_they_are_moved(store: Store) -> None:
    kind = await a_class(store)
    jobs = await killed_jobs(store, kind, 4)
    await store.write(quota_records.obey, of_jobs(3))
    with pytest.raises(OverQuota, match="has 0 of 3 unended jobs, and this adds at least 4"):
        await moved(store, jobs, JobState.KILLED, JobState.WAITING)
    refused = (
        {one.state for one in (await store.write(job_records.standing, jobs)).values()},
        await jobs_used(store),
    )
    await moved(store, jobs[:2], JobState.KILLED, JobState.WAITING)
    lost = await moved(store, jobs[:3], JobState.KILLED, JobState.WAITING)

    assert refused == ({JobState.KILLED}, {})
    assert lost == [False, False, True]  # what did not move does not count
    assert await jobs_used(store) == all_of(kind, 3)


async def test_jobs_that_run_again_at_the_same_time_never_exceed_a_quota(store: Store) -> None:
    kind = await a_class(store)
    jobs = await killed_jobs(store, kind, 8)
    await store.write(quota_records.obey, of_jobs(5))
    calls = [moved(store, [job], JobState.KILLED, JobState.WAITING) for job in jobs]
    answers = await asyncio.gather(*calls, return_exceptions=True)

    assert sum(isinstance(one, OverQuota) for one in answers) == 3
    assert await jobs_used(store) == all_of(kind, 5)


# -- contents -----------------------------------------------------------------------------------


async def test_a_content_counts_once_for_each_who_holds_it(store: Store, reopen: Reopen) -> None:
    ada, bob = await a_class(store), await a_class(store, subject="bob")
    held_now = [
        await store.write(quota_records.hold, one)
        for one in (held(ada, SHA, 7), held(ada, SHA, 7), held(bob, SHA, 7), held(ada, OTHER, 5))
    ]
    store = await reopen(store)

    assert held_now == [True, False, True, True]
    assert await bytes_used(store) == {
        ("community", ""): 19,
        ("group", "sim"): 19,
        ("owner", str(ada.owner_id)): 12,
        ("owner", str(bob.owner_id)): 7,
    }
    found = {
        (one.sha256, one.owner_id)
        for one in await store.read(quota_records.holdings, [SHA, "c" * 64])
    }
    assert found == {(SHA, ada.owner_id), (SHA, bob.owner_id)}


async def test_bytes_over_quota_are_refused_and_not_held(store: Store) -> None:
    kind = await a_class(store)
    await store.write(
        quota_records.obey,
        QuotaLimits(own={("owner", "ctao", "ada"): QuotaLimit(bytes=10)}, local_issuer="local"),
    )
    await store.write(quota_records.hold, held(kind, SHA, 7))
    with pytest.raises(OverQuota, match="has 7 of 10 bytes, and this adds at least 4") as refused:
        await store.write(quota_records.hold, held(kind, OTHER, 4))
    once_more = await store.write(quota_records.hold, held(kind, SHA, 7))
    over = await store.read(quota_records.holdings, [OTHER])
    whatever = await store.write(quota_records.hold, held(kind, OTHER, 4), whatever=True)

    assert "a deleted job count until `retention.deleted_days` after its end" in str(refused.value)
    assert (once_more, over, whatever) == (False, [], True)
    assert await bytes_used(store) == all_of(kind, 11)


async def test_what_is_let_go_is_given_back_unless_somebody_asked_for_it_meanwhile(
    store: Store,
) -> None:
    kind = await a_class(store)
    for sha256 in (SHA, OTHER):
        await store.write(quota_records.hold, held(kind, sha256, 7))
    old = await store.read(quota_records.old_holdings, ("", 0, ""), before=6.0)
    await store.write(quota_records.touch_holdings, kind.owner_id, [SHA], 8.0)
    behind = await store.read(quota_records.old_holdings, (SHA, kind.owner_id, "sim"), before=6.0)
    gone = await store.write(quota_records.let_go, old, before=6.0)

    assert [one.sha256 for one in old] == [SHA, OTHER]
    assert [one.sha256 for one in behind] == [OTHER]
    assert gone == 1
    assert await bytes_used(store) == all_of(kind, 7)


async def test_a_new_store_has_all_contents_counted(store: Store) -> None:
    assert await store.read(quota_records.holding_state) == (True, 0.0)


async def test_texts_that_name_contents_say_whose_they_are(store: Store) -> None:
    kind = await a_class(store)
    await submitted(store, kind, 1)
    found = [one async for page in quota_records.blob_names(store) for one in page]

    assert {(one.owner_id, one.group) for one in found} == {(kind.owner_id, "sim")}
    assert len(found) == 2  # a template, and what one job has of its own


async def test_a_job_that_was_killed_while_it_waited_counts_no_more(store: Store) -> None:
    kind = await a_class(store)
    record = await submitted(store, kind, 2)

    move = JobMove(
        job_id=record.ranges[0][0],
        old=JobState.WAITING,
        new=JobState.KILLED,
        at=9.0,
        event="killed",
        who="ada",
    )
    await store.write(job_records.move, [move])
    await store.write(quota_records.recount)

    assert await jobs_used(store) == all_of(kind, 1)
