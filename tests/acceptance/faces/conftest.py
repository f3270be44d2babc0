"""A real central and a real pilot on this machine, shared by the stories of a module."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pilotage.central.client import Client
from pilotage.central.operate.demo.local_central import (
    LocalCentral,
    end,
    local_central,
    start_pilot,
    wait_for_pilots,
)
from pilotage.central.operate.local_pilots import PilotPlan

SITE = "PIC"


@dataclass(frozen=True)
class Site:
    """A central, one pilot with two cores, and a client of theirs."""

    central: LocalCentral
    client: Client
    pilot: str

    @property
    def data(self) -> Path:
        return self.central.data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site, None, None]:
    data = tmp_path_factory.mktemp("central")
    with local_central(data, {}) as central, Client(data=data) as client:
        plan = PilotPlan(central="", secret="", state=data, told={"cores": 2, "memory_mb": 2_000})
        pilot = start_pilot(client, central, SITE, "local", plan)
        try:
            wait_for_pilots(client, [pilot])
            yield Site(central, client, pilot.id)
        finally:
            end(pilot.process)
