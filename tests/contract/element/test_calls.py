"""How calls of every compute element fail, against a real one of each kind."""

from collections.abc import Awaitable, Callable

import pytest

from pilotage.central.factory.element import ComputeElement, PilotRequest, SlotState
from pilotage.central.factory.errors import ElementTrouble, ElementUnreachable

from .rig import Rig
from .troubles import Troubled

pytestmark = pytest.mark.asyncio(loop_scope="package")
Both = tuple[ComputeElement, Troubled]
OVER = (SlotState.ENDED, SlotState.GONE)
LONG = b"#!/bin/sh\nsleep 300\n"


async def test_an_element_is_reached(element: ComputeElement) -> None:
    await element.reach()


Call = Callable[[ComputeElement, str], Awaitable[object]]
CALLS: dict[str, Call] = {
    "reach": lambda element, slot: element.reach(),
    "submit": lambda element, slot: element.submit([PilotRequest("t-never-made", b"#!/bin/sh\n")]),
    "find": lambda element, slot: element.find(["t-never-made"]),
    "states": lambda element, slot: element.states([slot]),
    "cancel": lambda element, slot: element.cancel([slot]),
    "output": lambda element, slot: element.output(slot),
    "forget": lambda element, slot: element.forget([slot]),
}


@pytest.mark.parametrize("name", CALLS)
async def test_an_element_that_does_not_answer_is_unreachable(
    rig: Rig, troubled: Both, name: str
) -> None:
    element, troubles = troubled
    troubles.is_silent = True

    with pytest.raises(ElementUnreachable):
        await CALLS[name](element, rig.no_slot)


@pytest.mark.parametrize("name", ["submit", "states"])
async def test_garbage_is_no_answer(rig: Rig, troubled: Both, name: str) -> None:
    element, troubles = troubled
    troubles.garbles = True

    try:
        told = await CALLS[name](element, rig.no_slot)
    except ElementTrouble as why:
        told = why

    assert isinstance(told, ElementUnreachable), f"it took garbage for {told!r}"


@pytest.mark.parametrize("name", ["reach", "submit"])
async def test_what_is_not_there_is_named(rig: Rig, troubled: Both, name: str) -> None:
    element, troubles = troubled
    troubles.has_nothing = True

    raised, words = rig.without_programs
    with pytest.raises(raised, match=words):
        await CALLS[name](element, rig.no_slot)


HOSTILE = (  # {trap} is a file that must not be made
    "$(touch {trap})",
    "`touch {trap}`",
    "; touch {trap};",
    "|touch {trap}",
    "-o{trap}",
)


@pytest.mark.parametrize("words", HOSTILE)
async def test_slots_and_stamps_are_words_and_no_commands(
    element: ComputeElement, words: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    trap = tmp_path_factory.mktemp("trap") / "sprung"
    hostile = words.format(trap=trap)
    calls: list[Awaitable[object]] = [
        element.states([hostile]),
        element.cancel([hostile]),
        element.output(hostile),
        element.forget([hostile]),
        element.find([hostile]),
    ]

    for call in calls:
        try:
            await call
        except ElementTrouble:
            continue

    assert not list(trap.parent.iterdir())
