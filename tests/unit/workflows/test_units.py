"""Sizes and times with a unit in workflows: the workflow itself has plain numbers."""

from pathlib import Path

import pytest

from pilotage import production
from pilotage.central.failover.rules import BadRules, read_rules
from pilotage.proto.documents.job import Need

from .written_here import faults, workflow

TEXT = """
    workflow: w
    steps:
      make:
        tasks: 2
        job:
          command: [make]
          needs:
            - {NEEDS}
"""


def test_a_step_may_have_units(tmp_path: Path) -> None:
    read = workflow(tmp_path, TEXT.replace("NEEDS", "memory: 4GB, wall: 1d12h, scratch_mb: 1GiB"))

    need = Need(memory_mb=4_000, wall_s=129_600, scratch_mb=1_074)
    assert read.steps["make"].job.needs == (need,)


def test_a_step_of_python_may_have_units() -> None:
    flow = production.Workflow("w")

    flow.step("make", ["make"], tasks=2, job={"queue_s": "2h"})

    assert flow.build().steps["make"].job.queue_s == 7_200


def test_a_wrong_size_is_named_with_its_line(tmp_path: Path) -> None:
    (said,) = faults(tmp_path, TEXT.replace("NEEDS", "memory: 4 gigs"))

    assert "flow.yaml:9: " in said
    assert "memory: found '4 gigs', expected a size such as 4GB; 4GB is 4000 MB" in said


def test_rules_may_have_units() -> None:
    text = "- {name: again, when: {exit_codes: [4]}, then: [{do: retry, wait_s: WAIT}]}"

    assert read_rules(text.replace("WAIT", "10m"), "rules.yaml").failures[0].then[0].wait_s == 600
    with pytest.raises(BadRules, match="found '1h1h', expected a time"):
        read_rules(text.replace("WAIT", "1h1h"), "rules.yaml")
