"""The pages of failures say of each class what the code says."""

import re
from pathlib import Path

import pytest

from pilotage.central.failover.rules import default_rules
from pilotage.proto.failures import WORDS

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_each_class_stands_there_with_its_family_and_meaning() -> None:
    text = (DOCS / "failures.md").read_text()

    for failure, (family, meaning) in WORDS.items():
        assert f"| `{failure.value}` | {family.value} | {meaning} |" in text, failure


@pytest.mark.parametrize("part", ["## Retries of the job", "## Default rules"])
def test_each_class_has_what_is_done_about_it(part: str) -> None:
    text = "".join((DOCS / page).read_text() for page in ("failures.md", "failure-rules.md"))
    table = text.partition(f"\n{part}\n")[2].partition("\n## ")[0]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    named = set(re.findall(r"`([\w.]+)(\.\*)?`", " ".join(firsts)))

    for failure in WORDS:
        family = failure.value.partition(".")[0]
        assert (failure.value, "") in named or (family, ".*") in named, failure


def test_budgets_are_those_of_the_default_rules() -> None:
    text = (DOCS / "failure-rules.md").read_text()

    for name, most in default_rules().budgets.items():
        assert f"`{name}` {most}" in text
