"""Elements of which no site's file speaks any more: what becomes of their pilots."""

from pathlib import Path
from typing import Any

from pilotage.central.factory.element_watch import WatchedElement
from pilotage.central.pilots import record as pilot_records, record_slots as slot_records
from pilotage.proto.documents.job import Need
from pilotage.proto.pilot_states import PilotState

from ...fake_element import FakeElement
from .test_element_book import LOCAL, Book
from .test_factory import Stage, an_element

WAITING, ABORTED, RUNNING = PilotState.WAITING, PilotState.ABORTED, PilotState.RUNNING


async def with_pilots(count: int, **entry: Any) -> tuple[Stage, WatchedElement, FakeElement]:
    """Return a stage with an element at which so many pilots wait, one more runs."""
    element, driver = an_element(**entry)
    stage = Stage(element)
    stage.work.jobs[Need()] = count + 1
    await stage.factory.cycle()
    first = next(iter(driver.pilots.values())).request.stamp
    await stage.register(first)
    stage.work.jobs[Need()] = count
    await stage.factory.cycle()
    return stage, element, driver


async def rounds(stage: Stage, count: int, every_s: float = 15.0) -> None:
    for _ in range(count):
        stage.clock.now += every_s
        await stage.factory.cycle()


def told(stage: Stage) -> list[dict[str, Any]]:
    return [fields for event, fields in stage.events if event == "element_gone"]


async def test_what_waits_at_an_element_without_a_file_is_taken_back_some_at_a_time() -> None:
    stage, element, driver = await with_pilots(5, cancel_max=2)
    element.is_gone = True
    await rounds(stage, 1)
    first = len(driver.cancelled)
    await rounds(stage, 6)

    assert first == 2
    assert len(set(driver.cancelled)) == 5
    states = list((await stage.states()).values())
    assert states.count(ABORTED) == 5, "and the one that registered goes on"
    rows = [await stage.store.read(pilot_records.pilot, pilot) for pilot in await stage.states()]
    assert {row.reason for row in rows if row is not None and row.state is ABORTED} == {
        "no site's file names its element any more"
    }
    assert len(await stage.store.read(slot_records.kept_slots, after="", limit=99)) == 1
    assert stage.factory.prospects(next(spec for spec, _ in stage.work.waiting())) == []


async def test_an_element_that_goes_is_no_place_for_jobs_and_others_are() -> None:
    stage, element, driver = await with_pilots(3)
    other, elsewhere = an_element("other")
    element.is_gone = True
    stage.watched.append(other)
    await rounds(stage, 3)

    assert len(elsewhere.pilots) == 3
    assert len(set(driver.cancelled)) == 3


async def test_after_a_restart_what_nobody_can_ask_about_ends_after_a_while_and_is_told() -> None:
    stage, _, driver = await with_pilots(2)
    stage.watched.clear()
    stage.is_gone = lambda site, element: True
    stage.factory = stage.born()
    await rounds(stage, 10)
    before = set((await stage.states()).values())
    await rounds(stage, 30)
    await stage.store.write(
        pilot_records.move_pilot,
        next(iter(driver.pilots.values())).request.stamp,
        RUNNING,
        PilotState.DONE,
        0.0,
        "bye",
    )
    await rounds(stage, 1)

    assert ABORTED not in before
    assert list((await stage.states()).values()).count(ABORTED) == 2
    assert [(one["element"], one["pilots"]) for one in told(stage)] == [("slurm", 2)]
    assert await stage.store.read(slot_records.kept_slots, after="", limit=99) == []


async def test_as_long_as_a_file_may_speak_of_them_pilots_are_left_alone() -> None:
    stage, _, _ = await with_pilots(2)
    stage.watched.clear()
    stage.factory = stage.born()
    await rounds(stage, 30)

    assert list((await stage.states()).values()).count(WAITING) == 2
    assert told(stage) == []


async def test_an_element_that_went_because_it_is_dead_keeps_no_pilot_waiting() -> None:
    stage, element, driver = await with_pilots(2)
    driver.is_down = element.is_gone = True
    await rounds(stage, 4)
    before = set((await stage.states()).values())
    await rounds(stage, 40)
    aborted = list((await stage.states()).values()).count(ABORTED)
    driver.is_down = False
    await rounds(stage, 80)

    assert ABORTED not in before
    assert aborted == 2
    assert len(set(driver.cancelled)) == 2, "it answers again: what is left there is cancelled"


async def test_a_book_keeps_what_went_until_nothing_is_left_there(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.says("PIC", one=LOCAL, two=LOCAL)
    await book.read()
    one, two = book.book.in_force()
    (book.folder / "PIC.yaml").unlink()
    await book.read()
    left = book.book.left()
    two.is_empty = True
    rest = book.book.left()
    book.says("PIC", one=LOCAL)
    await book.read()

    assert (left, rest) == ([one, two], [one])
    assert book.book.in_force() == [one]
    assert (one.is_gone, book.book.left()) == (False, []), "it came back, and is as it was"
    assert book.book.is_gone("PIC", "two")
    assert not book.book.is_gone("PIC", "one")
    assert book.book.find("PIC", "two") is None


async def test_a_file_that_does_not_read_lets_nothing_go(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.says("PIC", one=LOCAL)
    await book.read()
    (tmp_path / "PIC.yaml").write_text("elements: [")
    read = await book.read()
    again = Book(tmp_path)  # after a restart it has no last good word
    unread = again.book.is_gone("PIC", "one")
    await again.read()
    book.says("PIC", one={"kind": "locale"})
    await again.read()

    assert (read, book.book.left()) == (["PIC/one"], [])
    assert not unread
    assert again.book.in_force() == []
    assert not again.book.is_gone("PIC", "one"), "nobody knows what its file says"
    assert again.book.is_gone("PIC", "two")


async def test_a_folder_that_cannot_be_listed_lets_nothing_go(tmp_path: Path) -> None:
    folder = tmp_path / "sites"
    folder.mkdir()
    book = Book(folder)
    book.says("PIC", one=LOCAL)
    await book.read()
    folder.rename(tmp_path / "elsewhere")
    read = await book.read()
    folder.touch()
    again = Book(folder)
    await again.read()

    assert (read, book.book.left()) == (["PIC/one"], [])
    assert any("cannot be listed" in why for why in book.logged)
    assert not book.book.is_gone("PIC", "one")
    assert not again.book.is_gone("PIC", "one")
