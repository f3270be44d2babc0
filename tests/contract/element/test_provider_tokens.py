"""A site that trusts a community's provider takes pilots with tokens of it."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.element import PilotRequest, SlotState
from pilotage.central.factory.errors import ElementTrouble
from tests.acceptance.identity.providers import RunningProvider, running_provider

from .provider_clients import client_of
from .rig import Rig

pytestmark = pytest.mark.asyncio(loop_scope="package")
LIVE = (SlotState.QUEUED, SlotState.RUNNING)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProvider]:
    with running_provider(tmp_path_factory.mktemp("provider"), profile="wlcg") as found:
        yield found


@pytest.mark.parametrize("rig", ["arc", "htcondor"], indirect=True, scope="package")
async def test_a_pilot_is_submitted_with_a_token_of_a_provider(
    rig: Rig, provider: RunningProvider, commands: Commands, folder: Path, stamp: str
) -> None:
    request = PilotRequest(stamp, b"#!/bin/sh\nsleep 300\n")
    async with client_of(provider, folder, rig.audience) as client:
        element = dataclasses.replace(rig, credential=client).element(commands, folder)
        with pytest.raises(ElementTrouble):
            await element.submit([request])  # the site does not know the provider yet
        await asyncio.to_thread(rig.trust, provider)
        slots = (await element.submit([request])).slots
        states = await element.states([*slots.values()])
        await element.cancel([*slots.values()])

    assert [*slots] == [stamp]
    assert {one.state for one in states.values()} <= set(LIVE)
    assert len(provider.requests("/token")) >= 1
