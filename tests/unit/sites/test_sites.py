"""Shares of sites by their pledges, and what operators have said of places."""

from collections import Counter
from typing import Any

import pytest

from pilotage.central.factory.element_watch import WatchedElement
from pilotage.central.factory.pilot_time import LONGEST_S, PilotTime
from pilotage.central.factory.reconciliation import ReconcileResult
from pilotage.central.factory.site_files.sites import ElementEntry, SiteEntry
from pilotage.central.ports import SiteFile
from pilotage.central.sites.record import MarkKind, PlaceMark
from pilotage.central.sites.service import shares_of, site_view
from pilotage.central.sites.site_marks import SiteMarks
from pilotage.proto.api.sites import ElementView
from tests.fake_element import FakeElement

FIGURES = {"pilots": 0, "cores": 0, "cores_free": 0, "running": 0, "done": 0, "failed": 0}


def a_mark(place: str, mark: MarkKind = MarkKind.BANNED) -> PlaceMark:
    return PlaceMark(place=place, mark=mark, who="ada", reason="", at=1.0)


def test_pledged_sites_have_their_parts_and_others_none() -> None:
    on = (ElementView(site="", element="slurm"),)
    off = (ElementView(site="", element="slurm", held="disabled"),)
    files = {
        "PIC": SiteFile(pledge=3.0, pilot_s=600.0, elements=(*on, *off)),
        "CSCS": SiteFile(pledge=1.0, pilot_s=200.0, elements=on),
        "SPARE": SiteFile(pledge=0.0, pilot_s=900.0, elements=on),
        "OFF": SiteFile(pledge=5.0, enabled=False, pilot_s=900.0, elements=off),
        "UNREAD": SiteFile(pledge=None, enabled=False),
        "ODD": SiteFile(pledge=5.0, pilot_s=900.0),  # its elements are not in force
        "SHUT": SiteFile(pledge=5.0, pilot_s=900.0, elements=off),
    }

    assert shares_of(files) == {"PIC": (0.75, 0.75), "CSCS": (0.25, 0.25)}
    assert shares_of({"PIC": SiteFile(pledge=1.0, elements=on)}) == {"PIC": (1.0, None)}
    assert shares_of({}) == {}


#     marks, settings                                            element     banned  draining
PLACES: list[tuple[list[PlaceMark], frozenset[str], str, bool, bool]] = [
    ([], frozenset(), "slurm", False, False),
    ([a_mark("PIC")], frozenset(), "slurm", True, False),
    ([a_mark("PIC/slurm")], frozenset(), "slurm", True, False),
    ([a_mark("PIC/slurm")], frozenset(), "slurm2", False, False),
    ([a_mark("PIC2")], frozenset(), "slurm", False, False),
    ([a_mark("PIC", MarkKind.DRAINING)], frozenset(), "slurm", False, True),
    ([], frozenset({"PIC/slurm"}), "slurm", True, False),
    ([a_mark("PIC", MarkKind.DRAINING), a_mark("PIC/slurm")], frozenset(), "slurm", True, True),
]


@pytest.mark.parametrize(("marks", "settings", "element", "banned", "draining"), PLACES)
def test_what_holds_at_an_element_is_its_own_and_its_sites(
    marks: list[PlaceMark], settings: frozenset[str], element: str, banned: bool, draining: bool
) -> None:
    places = SiteMarks(settings)
    for mark in marks:
        places.put(mark)

    assert places.is_banned("PIC", element) is banned
    assert places.is_draining("PIC", element) is draining
    assert places.word("PIC", element) == ("draining" if draining else "banned" if banned else "")


def test_a_view_tells_marks_of_the_site_and_of_elements_apart() -> None:
    places = SiteMarks(frozenset({"PIC/old"}))
    places.put(a_mark("PIC", MarkKind.DRAINING))
    places.put(a_mark("PIC/slurm"))
    view = site_view("PIC", FIGURES, SiteFile(pledge=2.0), (0.5, 0.4), places)

    assert (view.banned, view.banned_elements) == (False, ("old", "slurm"))
    assert (view.draining, view.draining_elements) == (True, ())
    assert (view.pledge, view.share_wanted, view.share_had) == (2.0, 0.5, 0.4)


def an_element(site: str, pilots: int | None, **entry: Any) -> WatchedElement:
    element = ElementEntry(kind="fake", **entry)
    return WatchedElement(
        site=site,
        name="slurm",
        site_entry=SiteEntry(elements={"slurm": element}),
        entry=element,
        driver=FakeElement(),
        found=None if pilots is None else ReconcileResult(pilots_of=Counter(ctao=pilots)),
    )


def test_the_time_of_pilots_adds_up_and_what_is_not_known_is_as_it_was() -> None:
    time = PilotTime()
    time.note([an_element("PIC", 4), an_element("CSCS", 1)], 0.0)
    time.note([an_element("PIC", None), an_element("CSCS", 2)], 10.0)
    time.note([an_element("CSCS", 0)], 20.0)
    time.note([an_element("CSCS", 0)], 20.0 + 10 * LONGEST_S)

    assert time.by_site == {"PIC": 80, "CSCS": 30}
    assert time.by_community == {("PIC", "ctao"): 80, ("CSCS", "ctao"): 30}
