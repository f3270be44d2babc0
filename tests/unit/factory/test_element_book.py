"""Which elements are in force: a mistake disables itself alone, and the last good word stays."""

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.errors import Refused
from pilotage.central.factory.credentials.credential_expiry import KnownCredential
from pilotage.central.factory.credentials.files import FileOptions, FileSource
from pilotage.central.factory.drivers import Tools
from pilotage.central.factory.element_book import ElementBook
from pilotage.central.factory.errors import CredentialExpired
from pilotage.central.factory.site_files.sites import ElementEntry
from pilotage.central.factory.view import LOOK_S, READ_S, ElementsView
from pilotage.central.observe.events import EVENTS
from tests.fake_central import FakeClock
from tests.unit.catalogue.test_catalogue_service import a_user

from .test_credentials import Printing, a_token
from .test_factory import HandClock

LOCAL = {"kind": "local"}
FILE = {"source": "file", "options": {"path": "/token"}}
SCHEDD = {"kind": "htcondor", "credential": FILE}


class Book:
    """A folder of sites, and the book of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.logged, self.clock = folder, list[str](), HandClock()
        self.full = False
        self.read_last: dict[str, int] = {}
        self.book = ElementBook(folder, self._tools, self._log)

    def _tools(self, site: str, name: str, entry: ElementEntry) -> Tools:
        if self.full:
            raise OSError("no space left on device")
        file = self.folder / "token"
        source = FileSource(FileOptions(path=str(file)), self.clock)
        known = KnownCredential(source, self.clock) if entry.credential else None
        return Tools(Printing(), self.clock, self.folder, known)

    def _log(self, event: str, **fields: Any) -> None:
        assert set(fields) == EVENTS[event]
        if "why" in fields:
            self.logged.append(fields["why"])
        else:
            self.read_last = fields

    def says(self, site: str, **elements: dict[str, Any]) -> None:
        (self.folder / f"{site}.yaml").write_text(json.dumps({"elements": elements}))

    async def read(self) -> list[str]:
        self.book.look_again()
        return [one.label for one in await self.book.fresh()]


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


async def test_elements_come_and_go_with_their_files(book: Book) -> None:
    book.says("PIC", one=LOCAL, two=LOCAL)
    first = await book.read()
    book.says("PIC", two=LOCAL)
    second = await book.read()
    (book.folder / "PIC.yaml").unlink()

    assert (first, second, await book.read()) == (["PIC/one", "PIC/two"], ["PIC/two"], [])


async def test_who_asks_while_the_files_are_read_waits_for_them(book: Book) -> None:
    book.says("PIC", one=LOCAL)

    both = await asyncio.gather(book.book.fresh(), book.book.fresh())

    assert [[one.label for one in found] for found in both] == [["PIC/one"], ["PIC/one"]]


async def test_a_caller_that_gives_up_leaves_the_reading_to_the_next(book: Book) -> None:
    book.says("PIC", one=LOCAL)
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(book.book.fresh())
        await asyncio.sleep(0)
        first.cancel()

    assert [one.label for one in await book.book.fresh()] == ["PIC/one"]


async def test_a_name_that_is_not_utf_8_is_a_trouble_that_can_be_told(book: Book) -> None:
    book.says("PIC", one=LOCAL)
    (book.folder / os.fsdecode(b"\xff.yaml")).touch()

    assert await book.read() == ["PIC/one"]
    assert [one.site for one in book.book.troubles] == ["\\xff"]
    assert json.dumps(book.logged, ensure_ascii=False).encode()


async def test_what_cannot_be_read_for_any_reason_is_read_again(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.says("PIC", one=LOCAL)
    monkeypatch.setattr("pilotage.central.factory.element_book.read_sites", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await book.book.fresh()
    monkeypatch.undo()

    assert [one.label for one in await book.book.fresh()] == ["PIC/one"]


async def test_what_has_not_changed_keeps_what_is_known_of_it(book: Book) -> None:
    book.says("PIC", one=LOCAL)
    await book.read()
    (before,) = book.book.in_force()
    book.says("CSCS", other=LOCAL)
    await book.read()

    assert before in book.book.in_force()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            {"kind": "local", "options": {"timeout_s": 0}},
            "elements.one.options.timeout_s",
        ),
        ({"kind": "locale"}, "elements.one.kind: there is no driver 'locale'; known drivers: arc,"),
    ],
)
async def test_a_mistake_in_an_element_leaves_it_as_it_was(
    book: Book, wrong: dict[str, Any], told: str
) -> None:
    book.says("PIC", one=LOCAL)
    await book.read()
    (before,) = book.book.in_force()
    book.says("PIC", one=wrong, two=LOCAL)

    assert await book.read() == ["PIC/one", "PIC/two"]
    assert book.book.in_force()[0] is before
    assert told in book.logged[0]


async def test_a_full_disk_leaves_what_there_is(book: Book) -> None:
    book.says("PIC", one=LOCAL)
    await book.read()
    book.full = True
    book.says("CSCS", other=LOCAL)

    assert await book.read() == ["PIC/one"]
    assert "no space left" in book.logged[0]


async def test_for_how_long_each_credential_is_good_is_shown(book: Book) -> None:
    view = ElementsView(book.clock)
    view.book = book.book
    book.says("PIC", one=SCHEDD, two=SCHEDD)
    await book.read()
    (book.folder / "token").write_text(a_token(book.clock, 3_600))
    one, _ = book.book.in_force()
    assert one.credential is not None
    await one.credential.current()
    book.clock.now += 600

    assert view.credentials_left_s() == {("PIC", "one"): 3_000.0}


async def test_a_credential_that_has_run_out_is_told_from_one_that_was_never_there(
    book: Book,
) -> None:
    book.says("PIC", one=SCHEDD)
    await book.read()
    (one,) = book.book.in_force()
    assert one.credential is not None
    said: list[bool] = []
    for seconds in (None, 3_600, -60):
        if seconds is not None:
            (book.folder / "token").write_text(a_token(book.clock, seconds))
        with suppress(CredentialExpired):
            await one.credential.current()
        said.append(one.credential.is_at_fault)

    assert said == [True, False, False]


async def test_a_reading_of_all_files_is_told_with_what_it_found(book: Book) -> None:
    book.says("PIC", one=LOCAL, two={"kind": "locale"})
    book.says("CSCS", one=LOCAL)
    await book.read()

    assert book.read_last == {"sites": 2, "elements": 2, "troubles": 1}


async def test_a_credential_that_nobody_would_use_is_refused(book: Book) -> None:
    book.says("PIC", one=LOCAL | {"credential": FILE}, two=SCHEDD)

    assert await book.read() == ["PIC/two"]
    assert "elements.one.credential: an element of kind 'local' takes none" in book.logged[0]


async def test_what_elements_that_are_not_in_force_would_have_of_a_pledge_goes_to_the_others(
    book: Book,
) -> None:
    book.says("PIC", one=LOCAL, two=LOCAL, off={**LOCAL, "enabled": False}, bad={"kind": "lokal"})
    await book.read()
    some = {one.name: one.pledge for one in book.book.in_force() if one.name != "off"}
    book.says("PIC", one=LOCAL, two=LOCAL, off=LOCAL, bad=LOCAL)
    await book.read()

    assert some == {"one": 0.5, "two": 0.5}
    assert [one.pledge for one in book.book.in_force()] == [0.25] * 4


async def test_the_sites_that_require_isolation_are_those_whose_files_say_so_last(
    book: Book,
) -> None:
    unread = book.book.is_unread
    shut = {"elements": {"one": LOCAL}, "isolation": "namespaces"}
    (book.folder / "CSCS.yaml").write_text(json.dumps(shut))
    book.says("PIC", one=LOCAL)
    bad = {"elements": {"one": {"kind": "slurm", "options": {"x": 1}}}, "isolation": "namespaces"}
    (book.folder / "LAPP.yaml").write_text(json.dumps(bad))
    await book.read()
    first = book.book.sites.isolating
    (book.folder / "CSCS.yaml").write_text("{")
    await book.read()

    assert unread and not book.book.is_unread
    assert first == book.book.sites.isolating == {"CSCS", "LAPP"}, "also if no element is in force"


async def test_who_asks_for_elements_waits_until_the_files_are_read(book: Book) -> None:
    clock = FakeClock()
    view = ElementsView(clock)
    view.book = book.book
    book.says("PIC", one=LOCAL)
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(view.elements(a_user("ctao")))
        await clock.advance(READ_S / 2)
        assert not asked.done()
        await book.read()
        await clock.advance(LOOK_S)

    assert [one.element for one in asked.result().elements] == ["one"]


async def test_who_asks_for_elements_is_refused_if_the_files_are_not_read(book: Book) -> None:
    view = ElementsView(book.clock)
    view.book = book.book

    with pytest.raises(Refused, match="not read yet"):
        await view.elements(a_user("ctao"))
