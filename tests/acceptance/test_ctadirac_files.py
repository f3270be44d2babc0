"""CTADIRAC's own files, against the real package: each is read, and each step is the same.

Its version 3.3.1 has the same element types and generators as 3.1.0, and no files.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.workflows.errors import BadWorkflow
from pilotage.central.workflows.workflow_files import read_workflow
from tests.data.ctadirac import facts
from tests.data.ctadirac.comparison import differences

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".venv-ctadirac"
OURS = ROOT / "tests" / "data" / "ctadirac"


@pytest.fixture(scope="module", autouse=True)
def ctadirac() -> None:
    """CTADIRAC is required in continuous integration, and elsewhere where it can be had."""
    if (TOOLS / "ready").exists():
        return
    why = "no CTADIRAC here: deploy/make-ctadirac-venv makes .venv-ctadirac, from a package index"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def asked(*words: str | Path, folder: Path) -> dict[str, Any]:
    """Return what CTADIRAC makes of files: facts by step, or why it refuses them."""
    python = TOOLS / "bin" / "python"
    found = subprocess.run(
        [python, facts.__file__, *words], cwd=folder, capture_output=True, check=True
    )
    facts_found: dict[str, Any] = json.loads(found.stdout)
    return facts_found


def test_the_files_of_the_package_and_of_its_generators_are_as_it_makes_them(
    tmp_path: Path,
) -> None:
    found = asked(tmp_path, folder=tmp_path)
    refused = {path for path, steps in found["files"].items() if isinstance(steps, str)}

    assert len(found["files"]) == 54 + 9
    assert [Path(path).name for path in refused] == ["processing_config_from_meta_query.yml"]
    for path, steps in found["files"].items():
        if path in refused:
            with pytest.raises(BadWorkflow):
                read_workflow(path)
        else:
            assert differences(read_workflow(path).workflow, steps, found["dataset"]) == [], path


def test_the_facts_of_our_files_are_up_to_date(tmp_path: Path) -> None:
    kept = json.loads((OURS / "facts.json").read_bytes())

    assert asked(tmp_path, *kept["files"], folder=OURS) == kept
