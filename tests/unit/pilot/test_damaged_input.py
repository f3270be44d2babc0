"""An input that is damaged at the central ends its attempt soon, with the reason."""

import hashlib

import pytest

from pilotage.pilot.ports import HttpReply
from pilotage.pilot.talk.requests import Requests
from pilotage.pilot.talk.transfer import DAMAGED_MAX, BlobTransfer, InputNotFetched
from pilotage.proto.messages import Assignment, Body, Grant, InputFile
from tests import virtual
from tests.fake_pilot import FakeClock, FakeHttp, FakeRandomness, FakeWorkspace

GOOD = b"good"
INPUT = InputFile("a.txt", hashlib.sha256(GOOD).hexdigest(), len(GOOD))
ONE = Assignment(7, 1, 1, 120.0, "", Grant(1, 1, 1.0), Body(("run",), inputs=(INPUT,)))


@pytest.mark.parametrize("damaged", [DAMAGED_MAX - 1, DAMAGED_MAX])
def test_a_few_downloads_decide_whether_an_input_is_damaged(damaged: int) -> None:
    asked: list[str] = []

    async def central(method: str, path: str, body: bytes, token: str) -> HttpReply:
        asked.append(path)
        return HttpReply(200, b"evil" if len(asked) <= damaged else GOOD)

    async def tell() -> None:
        clock, workspace = FakeClock(), FakeWorkspace()
        requests = Requests(FakeHttp(central, workspace), clock, lambda event, facts: None)
        files = BlobTransfer(requests, workspace, clock, FakeRandomness(), lambda *_: None)
        if damaged < DAMAGED_MAX:
            await files.bring(ONE)
            return
        with pytest.raises(InputNotFetched, match=r"a\.txt: its content does not match its hash"):
            await files.bring(ONE)

    virtual.run(tell(), limit_s=100.0)

    assert len(asked) == DAMAGED_MAX
