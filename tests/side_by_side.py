"""Which cases share a worker, in which order they begin, which run alone, which are thorough.

A file stays on one worker if its cases share a service that takes long to start. Cases of the other
slow files are spread, one by one. The longest begin first, and the rest in a mixed order, so that
cases that wait run beside cases that compute.
"""

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parent
SITES: Final = "acceptance/sites/test_four_sites.py"  # beside the checks alone
# Files whose cases measure, or start more than two cores can carry beside others.
ALONE: Final = (
    *("load/test_pilot_cost.py", "faults/test_bad_peers.py", "faults/test_storms.py"),
    SITES,
)
# Files with thousands of random cases, or large inputs: half the time of all unit tests.
THOROUGH: Final = (
    *("unit/identity/test_tokens.py", "unit/factory/test_drivers.py"),
    "unit/matcher/test_advice.py",
    *("unit/matcher/test_facets.py", "unit/matcher/test_machine.py"),
    *(
        "unit/matcher/test_fair_shares.py",
        "unit/matcher/test_next_match.py",
        "unit/matcher/test_stories.py",
    ),
    *("unit/matcher/test_what_is_kept.py", "unit/pilot/test_archives.py"),
    *("unit/pilot/test_brain_at_random.py", "unit/pilot/test_path_bounds.py"),
    *("unit/pilot/test_journal.py", "unit/pilot/test_slots_at_random.py"),
    *("unit/pilot/test_workspace.py", "unit/store/test_check.py"),
)
# Folders whose cases are spread, except those of a file that share something.
PARTED: Final = ("acceptance", "docs", "faults", "simulation")
# One worker for all of a folder: their clusters and servers are started once.
TOGETHER: Final = ("contract/element", "contract/storage", "acceptance/data")
LONGEST: Final = (
    "contract/element",
    "contract/storage",
    "acceptance/data",
    "acceptance/test_ctapipe_production.py",
    "integration/test_wheel.py",
    "acceptance/test_prod6_graph.py",
    "integration/test_compiled_matcher.py",
    "acceptance/test_ctapipe_chain.py",
    *("load/test_served.py", "integration/hostile/test_limits.py", "integration/test_guard.py"),
    "simulation/test_outages.py",
    "simulation/quality",
    "docs/test_tutorial.py",
    "cwl/test_conformance.py",
    "acceptance",
    "faults",
)
# Their payloads see a /dev/shm of their own, so that their folders cannot lie there.
ON_DISK: Final = (
    *("integration/test_images.py", "integration/test_software.py"),
    "unit/pilot/test_exposure.py",
    "unit/pilot/test_isolation.py",
)
REGISTER: Final = "PILOTAGE_PILOT__REGISTER"  # a setting of pilots; release 0.1 has none
SHARED: Final = ('scope="module"', "@cache")  # what cases of a file leave to each other


def arrange(items: list[pytest.Item], *, is_worker: bool) -> None:
    """Mark what runs alone, and what `make quick` leaves out.

    On a worker, also name the groups, and put them in order.
    """
    for item in items:
        if _is_in(item, ALONE):
            item.add_marker(pytest.mark.alone)
        if _is_in(item, THOROUGH):
            item.add_marker(pytest.mark.thorough)
    if is_worker:
        groups = {item: _group(item) for item in items}
        for item, name in groups.items():
            item.add_marker(pytest.mark.xdist_group(name))
        items.sort(key=lambda item: _turn(item, groups[item]))


def needs_disk(file: Path) -> bool:
    """Return whether the folders of the cases of a file must lie on a disk."""
    return file.relative_to(TESTS).as_posix() in ON_DISK


def be_a_worker(run: str, worker: str) -> Path:
    """Give the pilots of this worker a register of their own: others are no neighbours.

    Return its folder, which the caller removes at the end.
    """
    folder = Path("/tmp", f"pilotage-tests-{run}-{worker}")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o1777)  # as /tmp, for other users too
    os.environ[REGISTER] = str(folder)
    os.environ.pop("PYTHONHASHSEED", None)  # all workers have one; what they start has others
    return folder


@cache
def _place(file: Path) -> str:
    return file.relative_to(TESTS).as_posix()


def _is_in(item: pytest.Item, places: Sequence[str]) -> bool:
    return _place(item.path).startswith(tuple(places))


def _group(item: pytest.Item) -> str:
    for folder in TOGETHER:
        if _is_in(item, [folder]):
            return folder
    if _is_in(item, PARTED) and not _shares(item.path):
        return item.nodeid
    return _place(item.path)


@cache
def _shares(file: Path) -> bool:
    """Return whether the cases of a file share a fixture or a result."""
    files = (file, file.parent / "conftest.py")
    texts = [one.read_text() for one in files if one.exists()]
    return any(word in text for text in texts for word in SHARED)


def _turn(item: pytest.Item, group: str) -> tuple[int, str]:
    for number, place in enumerate(LONGEST):
        if _is_in(item, [place]):
            return number, ""
    return len(LONGEST), hashlib.sha256(group.encode()).hexdigest()
