"""Addresses, subscriptions, counts of a submission, and the outbox of notifications."""

import random
from collections import Counter

import pytest

from pilotage.central.identity import record as identity_records
from pilotage.central.identity.record_types import Owner
from pilotage.central.identity.sessions import rows as session_rows
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.notifications import record as records
from pilotage.central.notifications.messages import Notification
from pilotage.central.notifications.record import (
    MAIL,
    PENDING_MAX,
    PRODUCTION,
    SUBMISSION,
    WEBHOOK,
    Subscription,
)
from pilotage.central.store.engine import Store
from pilotage.proto.api.notifications import NotifyEvent as E
from pilotage.proto.job_states import JobState

from .conftest import Reopen
from .rows import NOW, a_class, a_move, a_session, a_submission, matched, some_jobs

ALL = frozenset(E)
BOTH = (MAIL, WEBHOOK)


async def an_owner(store: Store, subject: str = "ada") -> int:
    kept = await store.write(
        identity_records.owner, Owner(community="ctao", issuer="https://iam", subject=subject)
    )
    return kept.owner_id


async def reachable(store: Store) -> int:
    owner = await an_owner(store)
    await store.write(records.set_addresses, owner, "ada@pic.es", "https://example.org/h")
    return owner


def told(event: E = E.END) -> Notification:
    return Notification(
        kind=SUBMISSION, id=1, name="n", community="ctao", event=event, at=NOW, counts={"Done": 2}
    )


async def put(store: Store, owner: int, count: int = 1, channels: tuple[str, ...] = (MAIL,)) -> int:
    """Subscribe, and let `count` notifications be due; return how many were dropped."""
    one = Subscription(kind=SUBMISSION, subject_id=1, owner_id=owner, events=ALL)
    await store.write(records.subscribe, one)
    return await store.write(records.notify, one, frozenset(), [told()] * count, channels=channels)


# -- addresses and subscriptions ------------------------------------------------------------------


async def test_the_verified_address_is_the_default_and_can_be_switched_off(store: Store) -> None:
    owner = await an_owner(store)
    assert await store.read(records.addresses, owner) == records.Addresses()
    session = a_session("s", issuer="https://iam", subject="ada", email="ada@pic.es")
    await store.write(session_rows.add_session, session)
    found = await store.read(records.addresses, owner)
    assert (found.mail, found.webhook, found.verified) == ("ada@pic.es", "", "ada@pic.es")

    await store.write(records.set_addresses, owner, "", "https://example.org/h")
    await store.write(records.set_addresses, owner, "", "https://example.org/g")

    found = await store.read(records.addresses, owner)
    assert (found.mail, found.webhook, found.verified) == (
        "",
        "https://example.org/g",
        "ada@pic.es",
    )


async def test_a_subscription_replaces_an_earlier_one_and_pages_go_through_all(
    store: Store,
) -> None:
    owners = [await an_owner(store, name) for name in ("ada", "bob")]
    for owner in owners:
        for kind in (SUBMISSION, PRODUCTION):
            for subject in (1, 2, 30):
                one = Subscription(kind=kind, subject_id=subject, owner_id=owner, events=ALL)
                await store.write(records.subscribe, one)
    await store.write(
        records.subscribe,
        Subscription(kind=SUBMISSION, subject_id=2, owner_id=owners[0], events=frozenset({E.END})),
    )
    await store.write(
        records.subscribe,
        Subscription(kind=SUBMISSION, subject_id=1, owner_id=owners[0], events=frozenset()),
    )

    mine = await store.read(records.subscriptions_of, owners[0], limit=99)
    assert [(one.kind, one.subject_id, len(one.events)) for one in mine] == [
        *((PRODUCTION, n, 3) for n in (1, 2, 30)),
        (SUBMISSION, 2, 1),
        (SUBMISSION, 30, 3),
    ]
    assert await store.read(records.count_subscriptions, owners[0]) == 5
    walked: list[Subscription] = []
    while some := await store.read(
        records.subscriptions_after, walked[-1] if walked else None, limit=4
    ):
        walked += some
    assert len({(one.kind, one.subject_id, one.owner_id) for one in walked}) == len(walked) == 11


async def test_a_submission_keeps_what_its_owner_wants_to_be_told(store: Store) -> None:
    kind = await a_class(store)
    new = a_submission(kind, notify="end,half")
    first = await store.write(submission_records.submit, new, some_jobs(kind, 2))
    again = await store.write(submission_records.submit, new, some_jobs(kind, 2))
    chunked = a_submission(kind, "other", notify="end")
    begun = await store.write(submission_records.begin_submission, chunked)

    assert again.submission_id == first.submission_id
    kept = await store.read(records.subscriptions_of, kind.owner_id, limit=9)
    assert [(one.subject_id, one.events) for one in kept] == [
        (first.submission_id, frozenset({E.END, E.HALF})),
        (begun.submission_id, frozenset({E.END})),
    ]
    found = await store.read(records.submission, begun.submission_id)
    assert found is not None and not found.complete
    assert await store.read(records.owner_of_submission, begun.submission_id) is None
    assert await store.read(records.owner_of_submission, first.submission_id) == kind.owner_id
    assert await store.read(records.submission, 999) is None


async def test_the_jobs_of_a_submission_are_counted_by_zones_and_rows(store: Store) -> None:
    """Submissions that lie between each other, over whole zones and parts of them."""
    drawn = random.Random(5)
    kinds = [await a_class(store), await a_class(store, type="Test")]
    new = [a_submission(kinds[0], f"key {n}") for n in range(3)]
    begun = [await store.write(submission_records.begin_submission, one) for one in new]
    jobs: dict[int, list[int]] = {one.submission_id: [] for one in begun}
    parts = ((0, 300), (1, 1_000), (1, 900), (2, 700), *[(0, 1_000)] * 4, (1, 24), (2, 5), (0, 900))
    for n, (whose, count) in enumerate(parts):
        one = begun[whose].submission_id
        first = await store.write(submission_records.add_jobs, one, some_jobs(kinds[n % 2], count))
        jobs[one] += range(first, first + count)
    for it in begun:
        await store.write(submission_records.finish_submission, it.submission_id, "hash")
    expected = {one: Counter({"Waiting": len(ids)}) for one, ids in jobs.items()}
    for one, ids in jobs.items():
        for state in (JobState.HELD, JobState.KILLED):
            some = drawn.sample(ids, 40)
            ids = [id for id in ids if id not in some]
            await store.write(
                job_records.move, [a_move(id, JobState.WAITING, state) for id in some]
            )
            expected[one].update({state.value: 40, "Waiting": -40})
        await matched(store, ids[0])  # its row still says Waiting

    for one, counts in expected.items():
        found = await store.read(records.submission, one)
        assert found is not None and found.complete and found.total == len(jobs[one])
        assert {state: n for state, n in found.counts.items() if n} == dict(counts)


# -- the outbox -----------------------------------------------------------------------------------


async def test_an_event_is_put_into_the_outbox_once_for_each_channel(
    store: Store, reopen: Reopen
) -> None:
    owner = await reachable(store)
    one = Subscription(kind=SUBMISSION, subject_id=1, owner_id=owner, events=ALL)
    await store.write(records.subscribe, one)
    left = frozenset({E.END})
    await store.write(records.notify, one, left, [told(E.FAIL), told(E.HALF)], channels=BOTH)
    await store.write(records.notify, one, left, [told(E.FAIL)], channels=BOTH)  # it is outdated
    store = await reopen(store)

    (kept,) = await store.read(records.subscriptions_of, owner, limit=9)
    assert kept.events == left
    for channel in BOTH:
        assert await store.read(records.owners_due, channel, NOW, limit=9) == [owner]
        rows = await store.read(records.pending, owner, channel, limit=9)
        assert [row.body.event for row in rows] == [E.FAIL, E.HALF]
    assert await store.read(records.owners_due, MAIL, NOW - 1.0, limit=9) == []
    await store.write(records.notify, kept, frozenset(), [told()], channels=(MAIL,))
    assert await store.read(records.subscriptions_of, owner, limit=9) == []
    assert len(await store.read(records.pending, owner, MAIL, limit=9)) == 3


async def test_without_an_address_nothing_is_put_and_the_queue_of_a_person_is_bounded(
    store: Store,
) -> None:
    nobody = await an_owner(store, "bob")
    assert await put(store, nobody) == 0
    assert await store.read(records.owners_due, MAIL, NOW, limit=9) == []

    owner = await reachable(store)
    assert await put(store, owner, PENDING_MAX + 7) == 7
    assert await put(store, owner, 3) == 3
    assert len(await store.read(records.pending, owner, MAIL, limit=9_999)) == PENDING_MAX


async def test_a_message_keeps_its_content_until_it_is_sent(store: Store, reopen: Reopen) -> None:
    owner = await reachable(store)
    await put(store, owner, 3)
    rows = await store.read(records.pending, owner, MAIL, limit=9)
    ids = [row.notification_id for row in rows]
    await store.write(records.begin_message, ids[:2])
    await store.write(records.begin_message, ids)  # a second one takes only the rest, as a part
    store = await reopen(store)

    head = await store.read(records.open_message, owner, MAIL)
    assert head is not None and head.notification_id == ids[0] and head.tries == 0
    assert len(await store.read(records.notifications_of, ids[0])) == 3
    await store.write(records.message_failed, head, why="no route", due=NOW + 30.0)
    await put(store, owner)
    await store.write(records.put_off, owner, MAIL, NOW + 30.0)
    assert await store.read(records.owners_due, MAIL, NOW + 29.0, limit=9) == []
    assert await store.read(records.owners_due, MAIL, NOW + 30.0, limit=9) == [owner]
    head = await store.read(records.open_message, owner, MAIL)
    assert head is not None and (head.tries, head.why, head.due) == (1, "no route", NOW + 30.0)

    await store.write(records.message_sent, ids[0], NOW + 31.0)

    assert await store.read(records.open_message, owner, MAIL) is None
    assert await store.read(records.sent_times, owner, MAIL, NOW) == [NOW + 31.0]
    assert await store.read(records.sent_times, owner, MAIL, NOW + 31.0) == []
    assert len(await store.read(records.pending, owner, MAIL, limit=9)) == 1
    shown = await store.read(records.recent, owner, limit=9)
    assert [(row.sent_at, row.tries) for row in shown] == [(None, 0), *[(NOW + 31.0, 2)] * 3]


async def test_what_is_given_up_is_due_no_more_and_old_rows_go(store: Store) -> None:
    owner = await reachable(store)
    await put(store, owner, 3)
    (first, *_) = await store.read(records.pending, owner, MAIL, limit=9)
    await store.write(records.begin_message, [first.notification_id])
    await store.write(records.message_failed, first, why="refused", due=None)
    assert await store.read(records.open_message, owner, MAIL) is None
    assert len(await store.read(records.pending, owner, MAIL, limit=9)) == 2
    assert await store.write(records.drop_old, NOW + 1.0) == 1  # the others wait

    await store.write(records.drop_pending, owner, MAIL, "the address was removed")

    assert await store.read(records.owners_due, MAIL, NOW + 9e6, limit=9) == []
    shown = await store.read(records.recent, owner, limit=9)
    assert {row.why for row in shown} == {"the address was removed"}
    assert await store.write(records.drop_old, NOW) == 0
    assert await store.write(records.drop_old, NOW + 1.0) == 2


def test_events_are_stored_in_order() -> None:
    assert records.words([E.HALF, E.END]) == "end,half"
    with pytest.raises(ValueError, match="often"):
        E("often")
