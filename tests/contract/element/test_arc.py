"""One life at a real ARC for all that the suite asks of elements: its word comes late.

By tokens of our own issuer, whose scopes count there, by an X.509 certificate and by a proxy of it.
`make long` runs the suite itself on it.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from pilotage.central.factory.commands import Commands
from pilotage.central.factory.credential import CredentialSource
from pilotage.central.factory.credentials.issued_tokens import IssuedOptions, IssuedSource
from pilotage.central.factory.credentials.proxy import read_proxy
from pilotage.central.factory.credentials.renewed_files import RenewedSource
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element import ComputeElement, PilotRequest, Slot, SlotState
from pilotage.central.factory.errors import Denied, ElementTrouble
from pilotage.central.identity.element_issuer import ElementIssuer
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.central.operate.files import RealDisk
from tests.proxies import proxy_of
from tests.services.arc import Arc
from tests.services.folders import open_folder

from .rig import Token

pytestmark = pytest.mark.asyncio(loop_scope="package")
WORD_S = 200.0
LOOK_S = 3  # a minute by itself: nothing here is about how late it is
OVER = (SlotState.ENDED, SlotState.GONE)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> ElementIssuer:
    return ElementIssuer(
        tmp_path_factory.mktemp("central"),
        lambda: "https://central.example.org:8470",
        disk=RealDisk(),
        clock=SystemClock(),
        randomness=SystemRandomness(),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def arc(issuer: ElementIssuer) -> AsyncIterator[Arc]:
    issuer.make()
    with open_folder("arc") as folder:
        started = Arc(folder, issuer, look_s=LOOK_S)
        await asyncio.to_thread(started.start)
        yield started
        await asyncio.to_thread(started.stop)


Make = Callable[..., ComputeElement]


@pytest.fixture
def driver(arc: Arc, commands: Commands, tmp_path: Path) -> Make:
    def make(credential: CredentialSource, **options: object) -> ComputeElement:
        tools = Tools(commands, SystemClock(), tmp_path, credential)
        return element("arc", {**arc.options, **options}, tools)

    return make


def tokens(issuer: ElementIssuer, **options: Any) -> CredentialSource:
    given = msgspec.convert({"audience": "arc", "scope_form": "list", **options}, IssuedOptions)
    return IssuedSource(given, issuer, SystemClock())


async def test_pilots_live_and_end_with_either_credential(
    arc: Arc, issuer: ElementIssuer, driver: Make
) -> None:
    by_token = driver(tokens(issuer))
    by_certificate = driver(Token(arc.certificate()), access="certificate")
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


def _private(file: Path, text: str) -> Path:
    file.touch(mode=0o600)
    file.write_text(text)
    return file


async def test_a_proxy_lets_in(arc: Arc, driver: Make, tmp_path: Path) -> None:
    file = _private(tmp_path / "proxy", proxy_of(*arc.person()))
    proxy = RenewedSource(file, SystemClock(), read_proxy)

    await driver(proxy, access="certificate").reach()


@pytest.mark.parametrize(
    ("options", "may_look"),
    [
        ({"scope_form": "text"}, False),  # which the profile asks for, and A-REX 7.0 does not read
        ({"scope": ["compute.read"]}, True),
        ({"scope": ["storage.read:/"]}, False),
    ],
)
async def test_scopes_of_tokens_count_in_the_form_that_is_read(
    issuer: ElementIssuer, driver: Make, options: dict[str, Any], may_look: bool
) -> None:
    narrow = driver(tokens(issuer, **options))

    with nullcontext() if may_look else pytest.raises(Denied, match="authorise: 403: .*scopes"):
        await narrow.reach()
    with pytest.raises(Denied, match="authorise: 403: .*scopes"):
        await narrow.submit([PilotRequest("t-narrow-token", b"#!/bin/sh\n")])


async def test_a_credential_that_it_does_not_know_is_named(driver: Make, tmp_path: Path) -> None:
    stranger = driver(Token(Arc(tmp_path / "other").token()))

    with pytest.raises(ElementTrouble, match="authorise|refuses the credential"):
        await stranger.submit([PilotRequest("t-stranger", b"#!/bin/sh\n")])
