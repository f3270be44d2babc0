"""In the gate (CI is set) nothing is skipped in silence: what a test needs must be there.

Tests meet the matcher as it is written: they change its numbers to reach its rare ways, which the
compiled form does not let them. What they start, and tests/integration/test_compiled_matcher.py,
meets that one.
"""

import gc
import importlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.durations import Costs, Durations
from tests.services import postgresql
from tests.services.folders import quick
from tests.services.warm import Forked, end
from tests.side_by_side import arrange, be_a_worker, needs_disk

if "PILOTAGE_MATCHER" not in os.environ:
    os.environ["PILOTAGE_MATCHER"] = "interpreted"
    importlib.import_module("pilotage.matcher")  # here alone: what tests start decides for itself
    del os.environ["PILOTAGE_MATCHER"]

# What tests start reads the bytecode that one before has left: to compile all costs each 0.3 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Folders of cases lie in memory: a sync to a disk that others write to takes many milliseconds.
if place := quick():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", place)

# Pilots measure their node for 0.1 s of CPU. What they do with the figures needs only a tenth.
os.environ.setdefault("PILOTAGE_PILOT__BENCHMARK_S", "0.01")

# What tests start with our interpreter is a fork, where it may be: it costs a second less.
subprocess.Popen = Forked  # type: ignore[misc]

# Collecting makes a million objects that stay: the collector of garbage would walk them for long.
gc.disable()

ID_MAX = 200  # characters of a parameter in the name of a case
# What no registry has: such a test may be missing from a machine for good.
EXCUSED = ("no Python 3.9 here", "no Python 3.10 here")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Costs())
    config.add_cleanup(end)
    config.add_cleanup(postgresql.end)
    own = getattr(config, "workerinput", None)
    if own is not None:
        folder = be_a_worker(own["testrunuid"], own["workerid"])
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        return
    # Whoever stops the tests ends what their fixtures have started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if file := os.environ.get("PILOTAGE_DURATIONS"):
        config.pluginmanager.register(Durations(file))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a long text by its beginning and length: workers send the name of a case ten times."""
    if isinstance(val, str | bytes) and len(val) > ID_MAX:
        return f"{val[:ID_MAX]!r} of {len(val)}"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    arrange(items, is_worker=hasattr(config, "workerinput"))


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


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


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Path]:
    """Yield a folder of this case, in memory unless it needs a disk."""
    if not needs_disk(request.path):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="pilotage-case-", ignore_cleanup_errors=True) as name:
        yield Path(name)
