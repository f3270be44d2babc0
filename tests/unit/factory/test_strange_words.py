"""Elements may answer anything, and payloads may write where their pilots' answers come from."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from pilotage.central.factory.commands import CompletedCommand
from pilotage.central.factory.credential import Credential
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element import PilotRequest, Slot, SlotState
from pilotage.central.factory.errors import CredentialExpired, Denied, ElementUnreachable

from .test_factory import HandClock

STAMP = "home-12345678"


class Saying:
    """Programs that all say the same."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        return CompletedCommand(0, self._said, b"")


def ad(**fields: Any) -> bytes:
    words = {"ClusterId": 7, "ProcId": 0, "JobStatus": 4, "PilotageStamp": '"x"', **fields}
    inner = ",".join(f'"{name}":{value}' for name, value in words.items())
    return f"[{{{inner}}}]".encode("latin-1")


ENDED = Slot(SlotState.ENDED)
SLURM = {"folder": "/shared"}
COLUMNS = "{:24}{:80}{:24}{:24}{:200}\n"
CASES: dict[str, tuple[str, dict[str, Any], bytes, str, Slot | type[Exception]]] = {
    "a code that is a digit to Python alone": (
        *("local", {}, f"{STAMP} ended ²\nbare: done\n".encode(), STAMP, ENDED),
    ),
    "a code of thousands of digits": (
        *("local", {}, f"{STAMP} ended {'9' * 9_000}\nbare: done\n".encode(), STAMP, ENDED),
    ),
    "a code of Slurm that is none": (
        *("slurm", SLURM, COLUMNS.format("7", "x", "FAILED", "²:0", "None").encode(), "7"),
        Slot(SlotState.ENDED, why="FAILED"),
    ),
    "a reason in Latin-1": (
        *("htcondor", {}, ad(JobStatus=5, HoldReason='"f\xfcr"'), "7.0"),
        Slot(SlotState.HELD, why="f\ufffdr"),
    ),
    "a number that is too long": (
        "htcondor",
        {},
        ad(ExitCode="9" * 5_000),
        "7.0",
        ElementUnreachable,
    ),
    "a list without end": ("htcondor", {}, b"[" * 100_000, "7.0", ElementUnreachable),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_an_element_says_harms_nobody(name: str, tmp_path: Path) -> None:
    kind, options, said, slot, wanted = CASES[name]
    driver = element(kind, options, Tools(Saying(said), HandClock(), tmp_path))

    if isinstance(wanted, Slot):
        assert await driver.states([slot]) == {slot: wanted}
    else:
        with pytest.raises(wanted):
            await driver.states([slot])


class Token:
    """A credential, whatever stands in it."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def current(self) -> Credential:
        return Credential(self._text)


class Dripping(httpx.AsyncByteStream):
    """An answer that never ends, a byte at a time."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.02)


def arc(answer: httpx.Response, folder: Path, token: str = "t", timeout_s: float = 5.0) -> Any:
    def handle(request: httpx.Request) -> httpx.Response:
        return answer

    tools = Tools(Saying(b""), HandClock(), folder, Token(token), httpx.MockTransport(handle))
    return element("arc", {"url": "https://arc.example.org/arex", "timeout_s": timeout_s}, tools)


@pytest.mark.parametrize("content", [b'{"job":"\xfc"', b"[" * 100_000, b'{"job":7}'])
async def test_what_arc_says_is_no_answer(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ElementUnreachable):
        await arc(httpx.Response(200, content=content), tmp_path).states(["abc"])


async def test_an_answer_that_drips_has_an_end(tmp_path: Path) -> None:
    answer = httpx.Response(200, stream=Dripping())

    with pytest.raises(ElementUnreachable):
        await asyncio.wait_for(arc(answer, tmp_path, timeout_s=0.2).states(["abc"]), 5.0)


async def test_a_token_of_strange_letters_is_trouble_of_its_element(tmp_path: Path) -> None:
    with pytest.raises((ElementUnreachable, Denied)):
        await arc(httpx.Response(200, content=b"{}"), tmp_path, token="tökén").states(["abc"])


async def test_a_credential_that_cannot_be_kept_is_trouble_of_its_element(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    tools = Tools(Saying(b"[]"), HandClock(), gone, Token("t"))
    driver = element("htcondor", {"authentication": "SCITOKENS"}, tools)

    with pytest.raises((Denied, CredentialExpired)):
        await driver.states(["7.0"])


class Failing:
    """An HTCondor whose condor_submit fails, and what its queue has then."""

    def __init__(self, said: bytes, *, removes: int = 0, queue: bytes = b"[]") -> None:
        self._said, self._removes, self._queue = said, removes, queue
        self.removed: list[str] = []

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        if argv[0] == "condor_rm":
            self.removed.append(argv[-1])
            return CompletedCommand(self._removes, b"", b"the queue is away")
        if argv[0] == "condor_q":
            return CompletedCommand(0, self._queue, b"")
        return CompletedCommand(1, b"", self._said)


@pytest.mark.parametrize(("removes", "raised"), [(0, Denied), (1, ElementUnreachable)])
async def test_jobs_whose_files_never_came_are_removed_or_not_forgotten(
    tmp_path: Path, removes: int, raised: type[Exception]
) -> None:
    condor = Failing(b"ERROR: Failed to spool job files.", removes=removes)
    driver = element("htcondor", {}, Tools(condor, HandClock(), tmp_path))

    with pytest.raises(raised, match="spool"):
        await driver.submit([PilotRequest(f"home-1234567{n}", b"#!/bin/sh\n") for n in range(2)])

    assert condor.removed == ['stringListMember(PilotageStamp, "home-12345670,home-12345671")']


async def test_a_failed_submission_that_has_queued_some_may_have_happened(tmp_path: Path) -> None:
    request = PilotRequest(STAMP, b"#!/bin/sh\n")
    nothing = Failing(b"ERROR: Failed to commit")
    queued = Failing(b"ERROR: Failed to commit", queue=ad(JobStatus=5, PilotageStamp=f'"{STAMP}"'))

    with pytest.raises(Denied, match="Failed to commit"):
        await element("htcondor", {}, Tools(nothing, HandClock(), tmp_path)).submit([request])
    with pytest.raises(ElementUnreachable, match="some are queued: ERROR: Failed to commit"):
        await element("htcondor", {}, Tools(queued, HandClock(), tmp_path)).submit([request])
