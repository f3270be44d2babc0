"""The page of what a payload finds names every variable that one can find, and no other."""

import re
from pathlib import Path
from typing import Final

from pilotage.pilot import guard_link
from pilotage.pilot.guard import guard
from pilotage.pilot.mind import devices
from pilotage.pilot.outfit.environment import DEFAULT_PATH, environment_of
from pilotage.pilot.ports import Outfit
from pilotage.proto.messages import Assignment, Body, Grant
from pilotage.proto.storages import DataBody, DataFile

from ..tidy import tree

PAGE: Final = "docs/payload-environment.md"
ROW: Final = re.compile(r"^\| `([A-Z_]+)` \|", re.MULTILINE)
SAID: Final = re.compile(r'"(PILOTAGE_[A-Z_]+)"')
# Said by pilots and of pilots, and nothing that a payload finds.
OF_PILOTS: Final = {"PILOTAGE_PILOT__", "PILOTAGE_BATCH_ID"}


def _given() -> set[str]:
    """Return what the code gives: what is made, the marks, devices, and what outfits add."""
    data = DataBody(inputs=(DataFile("a:b", "b", 1, "", ""),))
    body = Body(("true",), tokens=("default",))
    assignment = Assignment(1, 1, 1, 1.0, "", Grant(1, 1, 1.0), body, data=data)
    made = environment_of(assignment, Path("/a"), Outfit("session", {}))
    marks = {guard.MARK, guard_link.LIFE}
    return {*made, *marks, *_devices(), *_named_in_pilot()}


def _devices() -> set[str]:
    return set(re.findall(r"[A-Z]+_VISIBLE_DEVICES", Path(devices.__file__).read_text()))


def _named_in_pilot() -> set[str]:
    files = (name for name in tree.files() if re.fullmatch(r"pilot/(?!detect/)[a-z_/]+\.py", name))
    return {word for name in files for word in SAID.findall(tree.text(name))} - OF_PILOTS


def test_the_page_names_every_variable_and_no_other() -> None:
    listed = ROW.findall(tree.text(PAGE))

    assert len(listed) == len(set(listed))
    assert set(listed) == _given()


def test_the_page_says_the_path_as_it_is() -> None:
    assert f"`{DEFAULT_PATH}`" in tree.text(PAGE)
