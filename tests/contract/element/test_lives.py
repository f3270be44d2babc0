"""The life of pilots at every compute element, against a real one of each kind."""

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest

from pilotage.central.factory.element import (
    OUTPUT_MAX_BYTES,
    ComputeElement,
    PilotRequest,
    Slot,
    SlotState,
)
from pilotage.central.factory.errors import ElementUnreachable

from .rig import Rig
from .troubles import Troubled

pytestmark = pytest.mark.asyncio(loop_scope="package")
Both = tuple[ComputeElement, Troubled]
OVER = (SlotState.ENDED, SlotState.GONE)
LONG = b"#!/bin/sh\nsleep 300\n"


async def until(
    element: ComputeElement, slots: Sequence[str], wanted: Callable[[Slot], bool], rig: Rig
) -> dict[str, Slot]:
    end = time.monotonic() + rig.first_s
    while True:
        found = await element.states(slots)
        if all(wanted(one) for one in found.values()) or time.monotonic() > end:
            return found
        await asyncio.sleep(0.1)


def over(slot: Slot) -> bool:
    return slot.state in OVER


def running(slot: Slot) -> bool:
    return slot.state is SlotState.RUNNING


async def test_pilots_run_to_their_end(rig: Rig, element: ComputeElement, stamp: str) -> None:
    requests = [PilotRequest(f"{stamp}-{n}", b"#!/bin/sh\nexit 0\n") for n in range(3)]

    submitted = await element.submit(requests)
    slots = list(submitted.slots.values())
    found = await until(element, slots, over, rig)

    assert not submitted.refused
    assert sorted(submitted.slots) == [one.stamp for one in requests]
    assert len(set(slots)) == 3
    assert set(found) == set(slots)
    assert all(over(one) for one in found.values())


async def test_what_a_pilot_printed_is_fetched_from_its_end(
    rig: Rig, element: ComputeElement, stamp: str
) -> None:
    script = b"""#!/bin/sh
head -c 200000 /dev/zero | tr '\\0' x
echo last words
echo "a complaint" >&2
exit 3
"""

    slot = (await element.submit([PilotRequest(stamp, script)])).slots[stamp]
    found = await until(element, [slot], over, rig)
    output = await element.output(slot)

    assert over(found[slot])
    assert found[slot].exit_code in (3, None)
    assert len(output.stdout) == OUTPUT_MAX_BYTES
    ends = (b"xlast words\n", b"a complaint\n")
    assert output.stdout.endswith(b"".join(ends) if rig.has_one_stream else ends[0])
    assert output.stderr.endswith(b"" if rig.has_one_stream else ends[1])


async def test_a_pilot_runs_with_its_own_words_alone(
    rig: Rig, element: ComputeElement, stamp: str
) -> None:
    script = "#!/bin/sh\nprintf '%s\\n' \"ä$((1+1)) '%s' \\\\n\"\nprintf '%s|' \"$@\"\n".encode()

    slot = (await element.submit([PilotRequest(stamp, script)])).slots[stamp]
    await until(element, [slot], over, rig)

    assert (await element.output(slot)).stdout == "ä2 '%s' \\n\n|".encode()


async def test_a_pilot_is_found_by_its_stamp(rig: Rig, element: ComputeElement, stamp: str) -> None:
    slot = (await element.submit([PilotRequest(stamp, LONG)])).slots[stamp]

    assert await element.find([stamp, f"{stamp}x"]) == {stamp: slot}

    await element.cancel([slot])


async def test_a_pilot_is_cancelled_with_all_that_it_started(
    rig: Rig, element: ComputeElement, stamp: str
) -> None:
    script = b"#!/bin/sh\nsleep 300 &\nsleep 300\n"

    slot = (await element.submit([PilotRequest(stamp, script)])).slots[stamp]
    started = await until(element, [slot], running, rig)
    await element.cancel([slot])
    found = await until(element, [slot], over, rig)

    assert running(started[slot])
    assert over(found[slot])


async def test_cancelling_again_or_what_nobody_knows_is_no_mistake(
    rig: Rig, element: ComputeElement, stamp: str
) -> None:
    slot = (await element.submit([PilotRequest(stamp, b"#!/bin/sh\n")])).slots[stamp]
    await until(element, [slot], over, rig)

    await element.cancel([slot])
    await element.cancel([slot])

    assert over((await element.states([slot]))[slot])


async def test_what_is_forgotten_is_gone(rig: Rig, element: ComputeElement, stamp: str) -> None:
    slot = (await element.submit([PilotRequest(stamp, b"#!/bin/sh\n")])).slots[stamp]
    await until(element, [slot], over, rig)

    await element.forget([slot])
    found = await element.states([slot])
    output = await element.output(slot)

    assert over(found[slot])
    assert output.stdout == b""


async def test_a_submission_whose_answer_is_lost_is_found_again(
    rig: Rig, troubled: Both, element: ComputeElement, stamp: str
) -> None:
    shaky, troubles = troubled
    troubles.loses_replies_of = rig.submits

    with pytest.raises(ElementUnreachable):
        await shaky.submit([PilotRequest(stamp, LONG)])

    found = await element.find([stamp])
    assert set(found) == {stamp}
    await element.cancel(list(found.values()))
