"""A factory of several communities: whose pilots come, and that none of them harms another."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from pilotage.central.entry_files import BadEntryFile
from pilotage.central.factory.drivers import Tools
from pilotage.central.factory.element import SlotState
from pilotage.central.factory.element_book import ElementBook
from pilotage.central.factory.element_watch import WatchedElement
from pilotage.central.factory.planning.communities import CommunityShape
from pilotage.central.factory.site_files.sites import Shape, read_site
from pilotage.central.pilots import record as pilot_records
from pilotage.proto.documents.job import Need
from pilotage.proto.pilot_states import PilotState
from tests.fake_element import FakeElement

from .test_factory import Stage, a_class, an_element

BOTH = ("ctao", "lst")


def with_shares(element: WatchedElement, **given: float) -> WatchedElement:
    site = msgspec.structs.replace(element.site_entry, communities=given)
    return replace(element, site_entry=site)


async def of_each(stage: Stage) -> Counter[str]:
    """Return how many pilots of each community have not ended."""
    rows = await stage.store.read(pilot_records.pilots, None, states=(), after="", limit=10_000)
    return Counter(one.community for one in rows if one.state is PilotState.WAITING)


async def test_pilots_come_by_shares_with_secrets_of_their_own_community() -> None:
    element, driver = an_element(queued_max=8, submit_max=8)
    stage = Stage(with_shares(element, ctao=3.0, lst=1.0), communities=BOTH)
    stage.work.jobs[Need()] = 100
    stage.work.others["lst"] = 100
    stage.work.others["nobody"] = 100
    await stage.factory.cycle()

    assert len(driver.pilots) == 8
    assert await of_each(stage) == {"ctao": 6, "lst": 2}
    assert stage.factory.last_plan.unmet_jobs == 292


async def test_a_flood_of_one_community_takes_nothing_from_another() -> None:
    alone, _ = an_element(pilots_max=20)
    flooded, _ = an_element(pilots_max=20)
    found: list[int] = []
    for element, flood in ((alone, 0), (flooded, 1_000_000)):
        stage = Stage(element, communities=BOTH)
        stage.work.others["lst"] = flood
        await stage.factory.cycle()
        stage.work.jobs[Need()] = 10
        for _ in range(5):
            stage.clock.now += 15
            await stage.factory.cycle()
        found.append((await of_each(stage))["ctao"])

    assert found == [10, 10], "pilots of the flood that wait are taken back"


async def test_pilots_in_doubt_are_those_of_one_community() -> None:
    element, driver = an_element()
    stage = Stage(element, communities=BOTH)
    stage.work.others["lst"] = 2
    await stage.factory.cycle()
    for slot in list(driver.pilots):
        driver.says(slot, SlotState.RUNNING)
    for pilot in list(await stage.states()):
        await stage.register(pilot)
        stage.crew.idlers[pilot] = 20.0
    await stage.factory.cycle()
    stage.work.jobs[Need()] = 3
    stage.work.others["lst"] = 5
    await stage.factory.cycle()

    assert await of_each(stage) == {"ctao": 3}
    in_doubt = [fields for event, fields in stage.events if event == "place_in_doubt"]
    assert [one["community"] for one in in_doubt] == ["lst"]
    assert (
        "idle although they should"
        in stage.factory.prospects(a_class(Need(), community="lst", number=7))[0]
    )


async def test_a_suspended_element_gets_one_pilot_of_all_communities_and_shapes() -> None:
    element, driver = an_element(shapes=(Shape(), Shape(cores=4)))
    stage = Stage(element, communities=BOTH)
    stage.crew.rooms["slurm"] = 1
    stage.work.jobs |= {Need(): 9, Need(cores_min=4): 9}
    stage.work.others["lst"] = 9
    for _ in range(3):
        await stage.factory.cycle()

    assert len(driver.pilots) == 1


async def test_pilots_of_a_community_without_a_share_are_taken_back() -> None:
    element, _ = an_element()
    stage = Stage(with_shares(element, ctao=1.0, lst=1.0), communities=BOTH)
    stage.work.others["lst"] = 4
    await stage.factory.cycle()
    before = await of_each(stage)
    stage.watched[0].site_entry = msgspec.structs.replace(
        stage.watched[0].site_entry, communities={"ctao": 1.0}
    )
    stage.work.jobs[Need()] = 2
    for _ in range(3):
        await stage.factory.cycle()

    assert (before, await of_each(stage)) == ({"lst": 4}, {"ctao": 2})
    said = stage.factory.prospects(a_class(Need(), community="lst", number=8))
    assert said == [
        "no pilot comes: no site's file gives the community 'lst' a share of its pilots"
    ]
    said = stage.factory.prospects(a_class(Need(), community="who", number=9))
    assert said == ["no pilot comes: the settings allow pilots of ctao, lst only, not of 'who'"]


async def test_what_no_shape_can_run_is_counted_over_ones_own_places() -> None:
    element, _ = an_element()
    stage = Stage(element, communities=BOTH)
    await stage.factory.cycle()
    (said,) = stage.factory.prospects(a_class(Need(cores_min=9), community="lst", number=5))

    assert "cores: it wants 9, there is 1 (1 of 1)" in said


def test_one_communitys_bad_entry_keeps_nothing_of_the_site_from_being_in_force(
    tmp_path: Path,
) -> None:
    (tmp_path / "PIC.yaml").write_text(
        "elements: {slurm: {kind: fake}}\ncommunities:\n  ctao: 1\n  lts: 1\n"
    )
    events: list[tuple[str, object]] = []
    stage = Stage()
    book = ElementBook(
        tmp_path,
        lambda site, name, entry: Tools(None, stage.clock, tmp_path),  # type: ignore[arg-type]
        lambda event, **fields: events.append((event, fields.get("why"))),
        make=lambda kind, entry, tools: FakeElement(),
        communities=BOTH,
    )
    book.reload()

    (element,) = book.in_force()
    assert not book.troubles
    assert CommunityShape(element, 0, "ctao").key == ("PIC", "slurm", "shape 0", "ctao")
    assert events[0] == (
        "site_trouble",
        f"{tmp_path}/PIC.yaml:4: communities.lts: this central serves ctao, lst; did you mean "
        "'lst'?; see community.name and community.others",
    )


@pytest.mark.parametrize("said", ["{ctao: -1}", "{ctao: much}", "{'a b': 1}", "[ctao]"])
def test_what_is_no_share_is_refused_with_its_line(said: str, tmp_path: Path) -> None:
    file = tmp_path / "PIC.yaml"
    file.write_text(f"elements: {{slurm: {{kind: fake}}}}\ncommunities: {said}\n")

    with pytest.raises(BadEntryFile, match=r"PIC\.yaml:2: communities"):
        read_site(file)
