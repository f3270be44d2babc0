"""What of the node an image may be shown: never what the pilot hides, by whatever name."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from pilotage.pilot.outfit import images
from pilotage.pilot.outfit.exposure import resolved
from pilotage.pilot.outfit.images import ImageMounts
from pilotage.pilot.outfit.outfit import NodeOutfitter
from pilotage.pilot.outfit.tools import APPTAINER, NodeTools
from pilotage.pilot.ports import OutfitMissing
from pilotage.proto.messages import Assignment, Body, Grant

INSIDE = "is hidden from payloads"
ABOVE = "contains paths that the pilot hides from payloads"
# what a job names, below the folder of the test → why it may not have it
REFUSED = {
    "own": INSIDE,
    "own/attempts/1": INSIDE,
    "beside/../own": INSIDE,
    "link": INSIDE,
    "link/attempts": INSIDE,
    "": ABOVE,
    "up": ABOVE,
    "root": "is the root folder of the node",
    "root/proc": INSIDE,
    "//": "is the root folder of the node",
    "/proc/self/root": "is the root folder of the node",
}


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node on which a payload has made links, and of which `own` is the pilot's."""
    for folder in ("own/attempts/1", "beside", "owner", "tree"):
        (tmp_path / folder).mkdir(parents=True)
    for name, to in {"link": "own", "up": ".", "root": "/", "fine": "tree"}.items():
        (tmp_path / name).symlink_to(to)
    return tmp_path


def there(paths: object) -> Mapping[str, str]:
    return {str(path): "directory" for path in paths}  # type: ignore[attr-defined]


async def outfitted(node: Path, body: Body, tool: str = "bubblewrap") -> None:
    """Outfit a payload with a tool that does whatever it is told, and find the trial wanting."""
    tools = NodeTools(
        "session",
        "x86_64",
        image_tools={tool: "/bin/false"},
        hidden=(node / "own",),
        cvmfs_root=str(node / "cvmfs"),
    )
    assignment = Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 60.0), body)
    work = node / "own" / "attempts" / "1"
    for part in ("work", "tmp"):
        (work / part).mkdir(exist_ok=True)
    await NodeOutfitter(tools, node / "own", {}, there).outfit(assignment, work)


@pytest.mark.parametrize("said", REFUSED)
@pytest.mark.parametrize("tool", ["bubblewrap", APPTAINER])
async def test_no_image_and_no_software_leads_to_what_is_hidden(
    node: Path, said: str, tool: str
) -> None:
    path = os.path.join(node, said)

    with pytest.raises(OutfitMissing, match=REFUSED[said]):
        await outfitted(node, Body(("true",), image=path), tool)
    with pytest.raises(OutfitMissing, match=REFUSED[said]):
        await outfitted(node, Body(("true",), image=str(node / "tree"), software=(path,)), tool)


def test_what_lies_beside_what_is_hidden_is_taken_from_where_it_leads_to(node: Path) -> None:
    hidden = (node / "own", node / "gone")

    assert resolved("image", str(node / "owner"), hidden) == str(node / "owner")
    assert resolved("image", str(node / "fine"), hidden) == str(node / "tree")


@pytest.mark.parametrize("sign", [",", ":", '"', "\\"])
async def test_no_name_is_taken_apart_by_a_tool_into_others(node: Path, sign: str) -> None:
    split = node / f"beside{sign}" / str(node / "own").lstrip("/")
    split.mkdir(parents=True)
    (node / "honest").symlink_to(split)
    body = Body(("true",), image=str(node / "tree"), software=(str(node / "honest"),))

    with pytest.raises(OutfitMissing, match="it cannot show a folder with one of"):
        await outfitted(node, body, APPTAINER)


def test_what_is_hidden_is_covered_wherever_it_shows(node: Path) -> None:
    (node / "tree" / "private").mkdir()
    (node / "tree" / "token").write_text("word")
    hidden = (node / "tree" / "private", node / "fine" / "token", node / "own")
    work, tmp = (node / "own" / "attempts" / "1" / part for part in ("work", "tmp"))
    place = ImageMounts(work, tmp, (("/cvmfs", str(node / "fine")),), hidden)

    shown = list(images.bubblewrap("bwrap", str(node / "beside"), place).prefix)
    tree = list(
        images.bubblewrap("bwrap", str(node / "tree"), ImageMounts(work, tmp, (), hidden)).prefix
    )

    at = shown.index("/cvmfs")
    assert shown[at + 1 :][:5] == [
        "--tmpfs",
        "/cvmfs/private",
        "--ro-bind",
        "/dev/null",
        "/cvmfs/token",
    ]
    assert tree[tree.index("/private") - 1] != "--tmpfs"
    assert "--tmpfs /private --ro-bind /dev/null /token" in " ".join(tree)
    assert str(node / "own") not in (*shown, *tree)
