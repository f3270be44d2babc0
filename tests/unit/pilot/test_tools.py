"""Which tools of a node run images, and which tags the pilot offers for them."""

from dataclasses import replace
from pathlib import Path

import pytest

from pilotage.pilot.detect import facts
from pilotage.pilot.detect.finding import SourcedValue
from pilotage.pilot.outfit.tools import image_tags, image_tools
from tests.nodes import recorded

ALL = ("apptainer", "podman", "bubblewrap", "unshare")

# rung, allowed → tools, kinds
CASES: dict[tuple[str, tuple[str, ...]], tuple[str, str]] = {
    ("bubblewrap", ()): ("apptainer bubblewrap podman", "sif folder tar docker"),
    ("unshare", ()): ("apptainer podman", "sif folder tar docker"),
    ("session", ("bubblewrap",)): ("bubblewrap", "folder"),
    ("bubblewrap", ("podman",)): ("podman", "tar docker"),
    ("bubblewrap", ("apptainer", "podman")): ("apptainer podman", "sif folder tar docker"),
    ("bubblewrap", ("none",)): ("", ""),
}


def _facts(
    root: Path, tools: tuple[str, ...], *, user_namespaces: bool = True
) -> facts.DetectedNode:
    around = recorded.load("nothing").surroundings(root)
    found = SourcedValue(tools, "PATH", tuple(f"/usr/bin/{one}" for one in tools))
    proof = SourcedValue(user_namespaces, "by hand")
    return replace(facts.find(around), containers=found, user_namespaces=proof)


@pytest.mark.parametrize(("rung", "allowed"), CASES)
def test_tools_count_that_are_found_and_allowed(
    tmp_path: Path, rung: str, allowed: tuple[str, ...]
) -> None:
    names, kinds = CASES[rung, allowed]

    tools = image_tools(_facts(tmp_path, ALL), rung, allowed)

    assert tools == {name: f"/usr/bin/{name}" for name in names.split()}
    assert image_tags(tools) == tuple(f"image:{kind}" for kind in kinds.split())


def test_a_node_without_tools_offers_no_image(tmp_path: Path) -> None:
    assert image_tags(image_tools(_facts(tmp_path, ()), "bubblewrap")) == ()


def test_registries_that_are_not_allowed_are_not_offered(tmp_path: Path) -> None:
    tools = image_tools(_facts(tmp_path, ALL), "unshare", ("podman",))

    assert image_tags(tools, ("none",)) == ("image:tar",)
    assert image_tags(tools, ("ghcr.io", "localhost:5000")) == (
        *("image:tar", "image:docker/ghcr.io"),
        "image:docker/localhost:5000",
    )


def test_podman_of_an_ordinary_user_needs_user_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = _facts(tmp_path, ALL, user_namespaces=False)
    monkeypatch.setattr("os.geteuid", lambda: 1_000)

    assert "podman" not in image_tools(bare, "bubblewrap")
