"""The elements that the suite runs on, one parameter each, named like its driver."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.element import ComputeElement
from pilotage.central.factory.spawned_commands import spawned

from .rig import Rig, Start
from .rigs import arc, fake, htcondor, htcondor_local, kubernetes, local, slurm, ssh
from .troubles import Troubled

SPOOLED = (
    "test_what_a_pilot_printed_is_fetched_from_its_end",
    "test_a_submission_whose_answer_is_lost_is_found_again",
)
RIGS: dict[str, Start] = {
    "arc": arc.rig,
    "local": local.rig,
    "ssh": ssh.rig,
    "slurm": slurm.rig,
    "htcondor": htcondor.with_tokens,
    "htcondor-idtokens": htcondor.with_idtokens,
    "htcondor-local": htcondor_local.rig,
    "kubernetes": kubernetes.rig,
    "fake": fake.rig,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """ARC tells of each thing a minute late: the gate has one life for all (test_arc).

    Ways to an HTCondor differ in who may come in and where pilots are spooled: the gate lives all
    lives by one of them, and by the others what shows that difference.
    """
    for item in items:
        name, _, rig = item.nodeid.rpartition("::")[2].partition("[")
        is_life = "test_lives.py" in item.nodeid
        if (
            (is_life and rig.startswith("arc"))
            or rig.startswith("htcondor-idtokens")
            or (is_life and rig.startswith("htcondor-local") and name not in SPOOLED)
        ):
            item.add_marker(pytest.mark.long)


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def commands() -> AsyncIterator[Commands]:
    async with spawned() as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="package", params=list(RIGS))
async def rig(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp(f"element-{request.param}")
    async with RIGS[request.param](folder) as started:
        yield started


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an element keeps between calls; its path is short, for sockets lie in it."""
    return tmp_path_factory.mktemp("e")


@pytest.fixture
def element(rig: Rig, commands: Commands, folder: Path) -> ComputeElement:
    return rig.element(commands, folder)


@pytest.fixture
def troubled(rig: Rig, commands: Commands, folder: Path) -> tuple[ComputeElement, Troubled]:
    return rig.troubled(commands, folder)


@pytest.fixture
def stamp() -> str:
    return f"t-{os.urandom(8).hex()}"
