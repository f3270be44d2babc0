"""The page of failures says of each class what the code says."""

from pathlib import Path

from pilotage.central.failover.rules import default_rules
from pilotage.proto.failures import WORDS

PAGE = Path(__file__).resolve().parents[2] / "docs/failures.md"


def test_each_class_stands_there_with_its_family_and_meaning() -> None:
    text = PAGE.read_text()

    for failure, (family, meaning) in WORDS.items():
        assert f"| `{failure.value}` | {family.value} | {meaning} |" in text, failure
    rows = [line for line in text.splitlines() if line.startswith("|")]
    named = [line for line in rows if any(f"`{one.value}`" in line for one in WORDS)]
    assert len(named) >= 3 * 6, "what it means, what is done, what the rules say"


def test_budgets_are_those_of_the_default_rules() -> None:
    text = PAGE.read_text()

    for name, most in default_rules().budgets.items():
        assert f"`{name}` {most}" in text
