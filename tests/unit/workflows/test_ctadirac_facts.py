"""CTADIRAC's own facts of workflow files: queries, metadata, programs and models of each step.

`tests/data/ctadirac/facts.py` has asked CTADIRAC itself, and made `facts.json`.
`tests/acceptance/test_ctadirac_files.py` asks it again.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.workflows.cta_types import element_types
from pilotage.central.workflows.workflow_files import read_workflow
from tests.data.ctadirac.comparison import differences

FOLDER = Path(__file__).parents[2] / "data" / "ctadirac"
FACTS: dict[str, Any] = json.loads((FOLDER / "facts.json").read_bytes())


@pytest.mark.parametrize("name", sorted(FACTS["files"]))
def test_all_steps_are_as_ctadirac_makes_them(name: str) -> None:
    facts = FACTS["files"][name]
    workflow = read_workflow(FOLDER / name).workflow

    assert differences(workflow, facts, FACTS["dataset"]) == []


def test_the_facts_have_all_types() -> None:
    types = {one["type"] for steps in FACTS["files"].values() for one in steps.values()}

    assert types == {name.lower() for name in element_types().types}


def test_the_page_has_all_types_and_keys() -> None:
    page = (FOLDER.parents[2] / "docs" / "workflows.md").read_text()
    section = page.partition("## Coming from CTADIRAC")[2]
    types = element_types()
    rules = [types.common, types.generic, types.shortcuts]
    rules += [one.keys for one in types.types.values()]
    keys = {key for some in rules for key, rule in some.items() if rule.kind != "derived"}

    assert [name for name in sorted({*keys, *types.types}) if f"`{name}`" not in section] == []


def test_another_value_is_told(tmp_path: Path) -> None:
    text = (FOLDER / "processing.yml").read_text()
    (tmp_path / "processing.yml").write_text(text.replace("particle: electron", "particle: muon"))
    workflow = read_workflow(tmp_path / "processing.yml").workflow

    found = differences(workflow, FACTS["files"]["processing.yml"], FACTS["dataset"])

    assert [one.split(":")[:2] for one in found] == [
        ["Step4_Merging", " query"],
        ["Step4_Merging", " output"],
    ]
