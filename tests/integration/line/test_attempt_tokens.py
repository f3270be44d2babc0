"""A token of an attempt opens what is that attempt's, and nothing of one with the same epoch.

Where a store was set back, the same job and epoch come again: only the number of the attempt tells
the two apart.
"""

from collections.abc import AsyncIterator
from hashlib import sha256

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.identity.callers import AttemptCaller
from pilotage.proto.messages import LogChunk, Stream
from pilotage.proto.problems import Code

from .test_protocol import Scene, scene

CONTENT = b"a shower"
NAME = sha256(CONTENT).hexdigest()


async def content() -> AsyncIterator[bytes]:
    yield CONTENT


async def uses(one: Scene, caller: AttemptCaller) -> list[Code]:
    """Return how an attempt is refused when it stores a file, fetches it, and sends output."""
    services, refused = one.world.central.services, list[Code]()
    chunk = LogChunk(caller.job, caller.epoch, Stream.OUT, 0, "")
    for use in (
        services.sandbox.put(caller, NAME, content(), len(CONTENT)),
        services.sandbox.read(caller, NAME),
        services.logs.chunk(caller, chunk),
    ):
        try:
            await use
        except Refused as why:
            refused.append(why.code)
    return refused


#     what differs
OTHERS = ["", "attempt_id", "epoch", "job"]


@pytest.mark.parametrize("other", OTHERS)
def test_a_token_of_another_attempt_opens_nothing(other: str) -> None:
    async def tell(one: Scene) -> None:
        await one.submit()
        mine = await one.ask()
        caller = AttemptCaller(
            job=mine.job, epoch=mine.epoch, attempt_id=mine.attempt_id, community="ctao"
        )
        if other:
            changed = {other: getattr(caller, other) + 1}
            caller = msgspec.structs.replace(caller, **changed)
        refused = await uses(one, caller)

        # Output of an attempt that is not known is dropped: it may be late.
        expected = {"": 0, "attempt_id": 3}.get(other, 2)
        assert refused == [Code.FORBIDDEN] * expected

    scene(tell)
