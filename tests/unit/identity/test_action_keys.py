"""How far an action is, and that it goes on from there."""

import pytest
from hypothesis import given, strategies as st

from pilotage.central.errors import Refused
from pilotage.central.identity import actions as action_records
from pilotage.central.identity.action_keys import ActionBook, packed, unpacked
from pilotage.central.identity.actions import ActionKey
from pilotage.central.store.engine import CHUNK_MAX
from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code
from tests.memory_store import MemoryStore

NAME = ActionKey("ctao", "local", "ada", "key")


def a_book(name: ActionKey | None = NAME) -> ActionBook:
    return ActionBook(name, "hash", 10.0)


@given(st.lists(st.integers(1, ID_MAX), unique=True))
def test_ids_are_packed_and_unpacked(ids: list[int]) -> None:
    assert unpacked(packed(ids)) == ids


def test_ids_that_follow_each_other_take_no_room() -> None:
    assert len(packed(range(5_000_000, 6_000_000))) < 10_000


def test_an_action_goes_on_where_its_last_write_has_left_it() -> None:
    ids = range(1, CHUNK_MAX + 11)
    first = a_book()
    first.begin(ids)
    assert first.more()
    first.refuse(1, Code.NOT_FOUND, "there is no job 1")
    first.leave(2)
    keep = first.keep([3, 4, 5])
    assert keep is not None
    row = keep([True, False, True])
    later = a_book()
    later.go_on(row, ids)

    came = later.done, later.unchanged, [one.id for one in later.refused]
    steps: list[tuple[list[int], bool]] = []
    while later.more():
        some = list(later.left)
        later.written(some, [True] * len(some))
        steps.append((some, later.is_kept))

    assert (row.complete, came) == (False, (2, 1, [1]))
    assert steps == [
        ([4, *range(6, CHUNK_MAX + 1)], False),
        (list(range(CHUNK_MAX + 1, CHUNK_MAX + 11)), True),
    ]
    assert (later.reply().done, later.reply().unchanged) == (CHUNK_MAX + 8, 1)


def test_what_a_write_would_keep_does_not_change_what_is_known_before_it_is_written() -> None:
    book = a_book()
    book.begin([1, 2])
    book.more()
    keep = book.keep([1, 2])
    assert keep is not None
    rows = keep([True, True]), keep([False, True])  # the store may ask twice

    assert (book.done, list(book.left), book.is_kept) == (0, [1, 2], False)
    assert [row.complete for row in rows] == [True, False]


async def test_without_a_key_nothing_is_kept() -> None:
    store, book = MemoryStore(), a_book(None)
    book.begin([1])
    book.more()
    await book.close(store)

    assert book.keep([1]) is None
    assert not store.activity().operations


async def test_a_refusal_is_the_answer_again() -> None:
    store = MemoryStore()
    await a_book().deny(store, Refused(Code.COUNT_CHANGED, "2 match", field="expected"))
    row = await store.write(action_records.action, NAME)
    assert row is not None
    again = a_book()
    again.go_on(row, [])
    with pytest.raises(Refused) as refused:
        again.reply()

    assert again.is_kept
    assert (refused.value.code, refused.value.field) == (Code.COUNT_CHANGED, "expected")
