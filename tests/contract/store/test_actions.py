"""What is kept of an action is written with what the action does, or not at all."""

import pytest

from pilotage.central.identity import actions as action_records
from pilotage.central.identity.actions import ActionKey, ActionRow
from pilotage.central.jobs import record as job_records
from pilotage.central.sites import record as mark_records
from pilotage.central.sites.record import MarkKind, PlaceMark
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError
from pilotage.proto.job_states import JobState

from .conftest import Reopen
from .rows import a_move, a_want, matched, state_of, waiting_jobs

W, K, D = JobState.WAITING, JobState.KILLED, JobState.DONE
NAME = ActionKey("ctao", "local", "ada", "key-1")


def a_row(progress: bytes = b"{}", *, complete: bool = False, **fields: object) -> ActionRow:
    plain: dict[str, object] = {"name": NAME, "body_hash": "h", "at": 10.0, **fields}
    return ActionRow(progress=progress, complete=complete, **plain)  # type: ignore[arg-type]


def told(won: list[bool]) -> ActionRow:
    return a_row(repr(won).encode())


async def test_each_change_of_jobs_keeps_its_action(store: Store, reopen: Reopen) -> None:
    one, two, three = await waiting_jobs(store, 3)
    attempt = await matched(store, three)
    said: list[bytes] = []
    for write in (
        store.write(job_records.set_priority, [one, 99], 7, 20.0, "ada", keep=told),
        store.write(job_records.move, [a_move(one, W, K), a_move(two, D, W)], keep=told),
        store.write(job_records.want, [a_want(attempt, three)], keep=told),
        store.write(job_records.delete, [one, two], 20.0, "ada", keep=told),
    ):
        won = await write
        row = await store.write(action_records.action, NAME)
        assert row is not None and row.progress == repr(won).encode()
        said.append(row.progress)
    again = await reopen(store)
    row = await again.write(action_records.action, NAME)

    assert said == [b"[True, False]", b"[True, False]", b"[True]", b"[True, False]"]
    assert row == a_row(b"[True, False]")


async def test_what_makes_the_row_fails_with_the_change_as_one(store: Store) -> None:
    (job,) = await waiting_jobs(store, 1)

    def broken(won: list[bool]) -> ActionRow:
        raise StoreError("the test says so")

    with pytest.raises(StoreError):
        await store.write(job_records.move, [a_move(job, W, K)], keep=broken)

    assert await store.write(action_records.action, NAME) is None
    assert await state_of(store, job) is W


async def test_of_a_known_action_progress_changes_alone(store: Store) -> None:
    await store.write(action_records.keep_action, a_row(b"1", ids=b"many"))
    first = await store.write(action_records.action, NAME)
    await store.write(
        action_records.keep_action, a_row(b"2", at=99.0, body_hash="other", ids=b"fewer")
    )
    second = await store.write(action_records.action, NAME)
    await store.write(action_records.keep_action, a_row(b"3", complete=True))
    third = await store.write(action_records.action, NAME)

    assert first == a_row(b"1", ids=b"many")
    assert second == a_row(b"2", ids=b"many")
    assert third == a_row(b"3", complete=True)


async def test_a_key_is_its_owners(store: Store) -> None:
    others = [
        NAME._replace(community="lhcb"),
        NAME._replace(issuer="https://idp"),
        NAME._replace(subject="bob"),
        NAME._replace(key="key-2"),
    ]
    await store.write(action_records.keep_action, a_row(b"1"))

    assert [await store.write(action_records.action, name) for name in others] == [None] * 4


async def test_old_actions_go_the_oldest_first(store: Store) -> None:
    for n in range(5):
        name = NAME._replace(key=f"key-{n}")
        await store.write(
            action_records.keep_action, a_row(name=name, at=float(n), ids=b"x" if n % 2 else None)
        )
    went = [await store.write(action_records.prune_actions, 4.0, limit=3) for _ in range(3)]
    left = [
        n
        for n in range(5)
        if await store.write(action_records.action, NAME._replace(key=f"key-{n}"))
    ]

    assert went == [3, 1, 0]
    assert left == [4]


async def test_marks_of_places_keep_their_action(store: Store, reopen: Reopen) -> None:
    mark = PlaceMark(place="PIC", mark=MarkKind.BANNED, who="ada", reason="", at=1.0)
    other = ActionKey("ctao", "local", "ada", "key-2")
    await store.write(mark_records.put_mark, mark, action=a_row(b"put"))
    dropped = await store.write(
        mark_records.drop_marks, ["PIC", "CSCS"], action=a_row(b"dropped", name=other)
    )
    again = await reopen(store)
    rows = [
        await again.write(action_records.action, NAME),
        await again.write(action_records.action, other),
    ]

    assert dropped == 1 and await again.read(mark_records.marks) == []
    assert [row.progress for row in rows if row is not None] == [b"put", b"dropped"]
