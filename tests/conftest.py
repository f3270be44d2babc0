"""How all tests run: what the gate does not skip, and which cases share a worker.

In the gate (CI is set) nothing is skipped in silence: what a test needs must be there.

Tests meet the matcher as it is written: they change its numbers to reach its rare ways, which the
compiled form does not let them. What they start, and tests/integration/test_compiled_matcher.py,
meets that one.
"""

import importlib
import os
from collections.abc import Generator
from pathlib import Path

import pytest

if "PILOTAGE_MATCHER" not in os.environ:
    os.environ["PILOTAGE_MATCHER"] = "interpreted"
    importlib.import_module("pilotage.matcher")  # here alone: what tests start decides for itself
    del os.environ["PILOTAGE_MATCHER"]

# What tests start reads the bytecode that one before has left: to compile all costs each 0.3 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What no registry has: such a test may be missing from a machine for good.
EXCUSED = ("no Python 3.9 here",)

TESTS = Path(__file__).parent
ALONE = ("load", "faults")  # what they measure counts only if nothing runs beside them
FIRST = ("acceptance", "simulation", "integration", "contract", "docs")  # what takes longest


def pytest_configure(config: pytest.Config) -> None:
    """Give the pilots of each worker a register of their own: they are no neighbours."""
    workerinput = getattr(config, "workerinput", None)
    if workerinput is not None:
        folder = f"/tmp/pilotage-tests-{workerinput['testrunuid']}-{workerinput['workerid']}"
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o1777)  # noqa: S103 - as /tmp, for others too
        os.environ["PILOTAGE_PILOT__REGISTER"] = folder
        os.environ.pop("PYTHONHASHSEED", None)  # all workers have one; what they start has others


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs alone; let what takes longest begin; keep a file on one worker.

    Services that the cases of a file share are then started once. In acceptance each case starts
    its own, so its files are parted.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in ALONE:
            item.add_marker(pytest.mark.alone)
        is_parted = folder in ("acceptance", "simulation")
        item.add_marker(pytest.mark.xdist_group(item.nodeid if is_parted else str(item.path)))
    items.sort(key=lambda item: _turn(item.path.relative_to(TESTS).parts[0]))


def _turn(folder: str) -> int:
    return FIRST.index(folder) if folder in FIRST else len(FIRST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr)
        if not any(excuse in reason for excuse in EXCUSED):
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped, which the gate does not allow: {reason}"
    return report
