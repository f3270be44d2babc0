"""A third of CWL's conformance tests, chosen by the commit; `make cwl` and `make long` run all."""

from pathlib import Path

import pytest

from tests.simulation import seeds

from . import suite, warm

PARTS = 3
pytestmark = pytest.mark.skipif(not suite.documents().is_dir(), reason="no suite of CWL here")


def test_a_third_of_the_conformance_tests_pass_on_this_machine(tmp_path: Path) -> None:
    folder = suite.laid(tmp_path / "suite")
    tests = suite.names(folder)[seeds.first() % PARTS :: PARTS]

    with warm.runner() as tool:
        failed, said = suite.run(folder, tests, tool=tool)

    assert not failed, said


@pytest.mark.long
def test_all_conformance_tests_pass_on_this_machine(tmp_path: Path) -> None:
    folder = suite.laid(tmp_path / "suite")

    failed, said = suite.run(folder, suite.names(folder))

    assert not failed, said
