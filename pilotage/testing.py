"""A central with a pilot for the tests of your own programs. It needs the extra `central`.

@pytest.fixture(scope="session")
def site():
    with pilotage.testing.local_site(slots=4) as site:
        yield site

def test_my_analysis(site):
    assert site.client.submit(my_job()).wait() == {JobState.DONE: 1}
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pilotage.central.client import Client
from pilotage.central.operate.demo.local_central import (
    end,
    local_central,
    start_pilot,
    wait_for_pilots,
)
from pilotage.central.operate.local_pilots import PilotPlan

_SLOT_MB = 1_000


@dataclass(frozen=True)
class LocalSite:
    """A central and its pilot on this machine, with a client of the administrator."""

    client: Client
    url: str
    data: Path  # PILOTAGE_DATA for programs and commands that shall find this central


@contextmanager
def local_site(slots: int = 2, **settings: str) -> Generator[LocalSite, None, None]:
    """Run a central and one pilot with these slots, of 1 core and 1 GB each, for the block.

    Everything is in a temporary folder and ends with the block, or with this process. `settings`
    are settings of the central, with two underscores for the dot: `pilots__lease_s="2"`.
    """
    folder = Path(tempfile.mkdtemp(prefix="pilotage-testing-"))
    options = {name.replace("__", "."): value for name, value in settings.items()}
    told: dict[str, object] = {
        "cores": slots,
        "overcommit": True,
        "memory_mb": slots * _SLOT_MB,
        "isolation": "session",
        "image_tools": ("none",),
    }
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        central = stack.enter_context(
            local_central(folder / "data", {"bus.broker": "none", **options})
        )
        client = stack.enter_context(Client(data=central.data))
        pilot = start_pilot(client, central, "local", "local", PilotPlan(told=told), is_tied=True)
        stack.callback(end, pilot.process)
        wait_for_pilots(client, [pilot])
        yield LocalSite(client, central.url, central.data)
