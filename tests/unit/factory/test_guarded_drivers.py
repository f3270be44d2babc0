"""What elements and programs say is read by people, stored and logged: it is made fit for that."""

import gzip
from pathlib import Path

import httpx
import pytest

from pilotage.central.factory.commands import CompletedCommand
from pilotage.central.factory.credential import Credential
from pilotage.central.factory.credentials.sources import source
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element import PilotRequest, Slot, SlotState, SubmitResult
from pilotage.central.factory.elements.program_calls import Calls
from pilotage.central.factory.errors import (
    CredentialExpired,
    ElementOperation,
    ElementTrouble,
    ElementUnreachable,
)
from pilotage.central.factory.guarded_drivers import ID_MAX, WORDS_MAX, GuardedElement
from pilotage.central.factory.redaction import struck

from .test_credentials import Printing
from .test_factory import HandClock

TOKEN = "opaque-0123456789-token-of-the-element"
WEB_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwaWxvdGFnZSJ9.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END PRIVATE KEY-----\n"
ELEMENTS = {
    "arc": {"url": "https://arc.example.org/arex"},
    "kubernetes": {"url": "https://k.example.org", "namespace": "p", "image": "x"},
}


class Held:
    """A source of one credential."""

    async def current(self) -> Credential:
        return Credential(TOKEN, None)


def over_https(kind: str, folder: Path, transport: httpx.MockTransport) -> GuardedElement:
    made = element(kind, ELEMENTS[kind], Tools(Printing(), HandClock(), folder, Held(), transport))
    assert isinstance(made, GuardedElement)
    return made


@pytest.mark.parametrize("kind", ELEMENTS)
async def test_an_element_that_repeats_our_request_tells_nobody_our_token(
    tmp_path: Path, kind: str
) -> None:
    def repeat(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, text=f"no: {request.headers['authorization']}")

    with pytest.raises(ElementTrouble) as told:
        await over_https(kind, tmp_path, httpx.MockTransport(repeat)).reach()

    assert "no: " in str(told.value)
    for said in (str(told.value), repr(told.value), told.value.why):
        assert TOKEN[:12] not in said
        assert TOKEN[-12:] not in said


@pytest.mark.parametrize("kind", ELEMENTS)
async def test_an_answer_that_would_be_unpacked_is_not_read(tmp_path: Path, kind: str) -> None:
    def bomb(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        packed = gzip.compress(bytes(1_000_000))
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=packed)

    with pytest.raises(ElementUnreachable, match="encoding 'gzip'"):
        await over_https(kind, tmp_path, httpx.MockTransport(bomb)).reach()


@pytest.mark.parametrize(
    "said",
    [
        f"denied to {TOKEN}.",
        f"it was cut: {TOKEN[:20]}",
        f"{TOKEN[9:]} is the end of it",
        f"of somebody else: {WEB_TOKEN}",
        f"of somebody else, cut: {WEB_TOKEN[:30]}",
        f"a key: {KEY}",
        f"a key, cut: {KEY[:45]}",
    ],
)
def test_secrets_are_struck_out_whole_or_cut(said: str) -> None:
    left = struck(said, [TOKEN])

    assert "[struck out]" in left
    for secret in (TOKEN[:12], TOKEN[-12:], WEB_TOKEN[:20], "MIIEvQIBADAN"):
        assert secret not in left


def test_of_a_proxy_its_key_is_secret_and_its_name_is_not() -> None:
    words = "/DC=org/CN=pilotage: MIIEvQIBADANBgkqhkiG9w0"

    assert struck(words, [KEY]) == "/DC=org/CN=pilotage: [struck out]"


async def test_a_program_that_prints_a_token_and_fails_tells_nobody() -> None:
    program = Printing()
    program.prints = [CompletedCommand(1, TOKEN.encode(), f"cannot renew {TOKEN}".encode())]
    held = source("command", {"argv": ["/bin/t"]}, commands=program, clock=HandClock())

    with pytest.raises(CredentialExpired, match="exit code 1: cannot renew") as told:
        await held.current()

    assert TOKEN[:12] not in str(told.value)


async def test_a_list_of_which_the_end_is_missing_is_no_answer() -> None:
    program = Printing()
    program.prints = [CompletedCommand(0, b"1 RUNNING\n", b"", is_cut=True)]

    with pytest.raises(ElementUnreachable, match="printed more than"):
        await Calls(program, environment={}, timeout_s=1).run(ElementOperation.STATES, "squeue")


class Talkative:
    """An element that says much."""

    async def submit(self, requests: list[PilotRequest]) -> SubmitResult:
        slots = {"long": "1" * (ID_MAX + 1), "odd": "1\x1b[2J", "none": "", "good": "17"}
        return SubmitResult(slots, {"refused": "\x1b]0;x\n" + "A" * 3_000_000})

    async def states(self, slots: list[str]) -> dict[str, Slot]:
        return {"17": Slot(SlotState.HELD, why="B" * 3_000_000)}


async def test_the_words_and_ids_of_an_element_are_bounded() -> None:
    guarded = GuardedElement(Talkative())  # type: ignore[arg-type]

    done = await guarded.submit([])
    found = await guarded.states(["17"])

    assert done.slots == {"good": "17"}
    assert len(done.refused["refused"]) <= WORDS_MAX
    assert done.refused["refused"].isprintable()
    assert len(found["17"].why) <= WORDS_MAX
