"""One life at a real ARC for all that the suite asks of elements: its word comes a minute late.

The same with an X.509 certificate instead of a token. `make long` runs the suite itself on it.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element import ComputeElement, PilotRequest, Slot, SlotState
from pilotage.central.factory.errors import ElementTrouble
from pilotage.central.operate.clocks import SystemClock
from tests.services.arc import Arc
from tests.services.folders import open_folder

from .rig import Token

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORD_S = 200.0
OVER = (SlotState.ENDED, SlotState.GONE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arc() -> AsyncIterator[Arc]:
    with open_folder("arc") as folder:
        started = Arc(folder)
        await asyncio.to_thread(started.start)
        yield started
        await asyncio.to_thread(started.stop)


def driver(
    arc: Arc, commands: Commands, folder: Path, credential: str, **options: object
) -> ComputeElement:
    tools = Tools(commands, SystemClock(), folder, Token(credential))
    return element("arc", {**arc.options, **options}, tools)


async def test_pilots_live_and_end_with_either_credential(
    arc: Arc, commands: Commands, tmp_path: Path
) -> None:
    by_token = driver(arc, commands, tmp_path, arc.token())
    by_certificate = driver(arc, commands, tmp_path, arc.certificate(), access="certificate")
    stamp = f"t-{os.urandom(6).hex()}"
    script = b'#!/bin/sh\necho "it\'s $((40+2))"\necho no >&2\nexit 3\n'
    requests = [
        PilotRequest(f"{stamp}-prints", script),
        PilotRequest(f"{stamp}-sleeps", b"#!/bin/sh\nsleep 300\n", cores=1, wall_s=3_600),
    ]
    third = PilotRequest(f"{stamp}-signed", script)

    slots = (await by_token.submit(requests)).slots
    slots |= (await by_certificate.submit([third])).slots
    prints, sleeps, signed = (slots[one.stamp] for one in (*requests, third))
    await by_token.cancel([sleeps])
    states: dict[str, Slot] = {}
    until = time.monotonic() + WORD_S
    while time.monotonic() < until:
        states = await by_token.states([prints, sleeps, "never0made0"])
        states |= await by_certificate.states([signed])
        if all(one.state in OVER for one in states.values()):
            break
        await asyncio.sleep(1.0)
    found = await by_token.find(list(slots))
    outputs = [await by_token.output(prints), await by_certificate.output(signed)]
    await by_token.forget([prints, sleeps])

    assert len(set(slots.values())) == 3
    assert {slot: one.state for slot, one in states.items()} == {
        prints: SlotState.ENDED,
        sleeps: SlotState.ENDED,
        signed: SlotState.ENDED,
        "never0made0": SlotState.GONE,
    }
    assert found.items() <= slots.items()
    assert f"{stamp}-prints" in found
    assert [(one.stdout, one.stderr) for one in outputs] == [(b"it's 42\n", b"no\n")] * 2
    assert (await by_token.output(prints)).stdout == b""


async def test_a_credential_that_it_does_not_know_is_named(
    arc: Arc, commands: Commands, tmp_path: Path
) -> None:
    stranger = driver(arc, commands, tmp_path, Arc(tmp_path).token())

    with pytest.raises(ElementTrouble, match="authorise|does not take the credential"):
        await stranger.submit([PilotRequest("t-stranger", b"#!/bin/sh\n")])
