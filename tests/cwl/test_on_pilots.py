"""CWL's conformance tests on a central and a pilot: 40 in the gate, chosen by the commit."""

import os
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.acceptance.running import RunningCentral, running_central
from tests.simulation import seeds

from . import suite, warm

IN_GATE = 40
JOBS = 4  # tests at once
pytestmark = [
    pytest.mark.skipif(not suite.documents().is_dir(), reason="no suite of CWL here"),
    pytest.mark.xdist_group("cwl on pilots"),
]


@pytest.fixture
def central(tmp_path: Path) -> Iterator[RunningCentral]:
    # The tree of this machine stands for all images, as in local runs.
    images = '{"*": "/"}' if shutil.which("bwrap") else "{}"
    with running_central(tmp_path / "central", {"cwl.images": images}) as central:
        # As root in a namespace of its own, `tar` cannot give its files to their owners.
        central.pilot(cores=8, memory_mb=16_000, isolation="session")
        yield central


def passes(central: RunningCentral, folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    os.environ["PILOTAGE_TOKEN_FILE"] = str(central.data / "admin.token")
    try:
        with warm.runner() as tool:
            return suite.run(folder, tests, tool=tool, runner=("--url", central.url), jobs=JOBS)
    finally:
        del os.environ["PILOTAGE_TOKEN_FILE"]


def test_some_conformance_tests_pass_on_pilots(central: RunningCentral, tmp_path: Path) -> None:
    folder = suite.laid(tmp_path / "suite")
    tests = suite.names(folder)
    some = random.Random(seeds.first()).sample(tests, IN_GATE)

    failed, said = passes(central, folder, sorted(some, key=tests.index))

    assert not failed, said


@pytest.mark.long
def test_all_conformance_tests_pass_on_pilots(central: RunningCentral, tmp_path: Path) -> None:
    folder = suite.laid(tmp_path / "suite")

    failed, said = passes(central, folder, suite.names(folder))

    assert not failed, said
