"""The pilot's own log reaches a central that is a script, on a virtual clock."""

import asyncio
from collections.abc import Callable

import pytest

from pilotage.pilot.ports import HttpReply
from pilotage.proto.messages import PilotLine, PilotLog, Problem
from pilotage.proto.wire import encode
from tests import virtual
from tests.fake_pilot import FakePilot
from tests.scripted_central import Central, assignment

from .test_agent import live, until


def events(central: Central) -> list[str]:
    return [line.event for line in central.lines]


class Moody(Central):
    """A central that answers logs as a test says."""

    def __init__(self, answer: Callable[[PilotLog], HttpReply | None]) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        reply = await super().__call__(method, path, body, token)
        if path == "/v1/pilots/log":
            return self._answer(self.parcels[-1]) or reply
        return reply


def alone(central: Central, *, for_s: float, idle_s: float = 0.0) -> FakePilot:
    """Let a pilot live that long."""

    async def whole() -> FakePilot:
        pilot = FakePilot(central, idle_s=idle_s)
        agent = pilot.agent()
        running = asyncio.get_running_loop().create_task(agent.run())
        await asyncio.sleep(for_s)
        agent.drain("the story is over")
        await running
        return pilot

    return virtual.run(whole(), limit_s=1_000_000)


def test_a_job_and_the_life_of_the_pilot_are_told_in_few_parcels() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(7, "sleep", "20"))
        await until(lambda: bool(central.ended))
        await asyncio.sleep(6)
        assert events(central)[-1] == "ended"

    central, pilot, _ = live(story)

    of_job = [line for line in central.lines if line.attempt_id == 1_007]
    assert [line.event for line in of_job] == [
        "assigned",
        "payload_started",
        "payload_ended",
        "ended",
    ]
    assert of_job[-1].text == "how=exited"
    assert events(central)[0] == "registered" and events(central)[-1] == "pilot_ended"
    assert len(central.parcels) == 3, "the beginning, the end of the job, the end of the pilot"
    assert not pilot.untold.lines(1, 1)


def test_nothing_is_said_while_nothing_happens() -> None:
    central = Central()
    alone(central, for_s=20_000.0)

    assert events(central).count("token_renewed") > 40
    assert len(central.parcels) == 2, "the beginning and the end"


def test_a_warning_is_told_within_seconds_and_a_routine_line_within_a_minute() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        await until(lambda: "registered" in events(central))
        central.queue.append(assignment(1, "sleep", "1000"))
        await until(lambda: bool(pilot.guard.started))
        await asyncio.sleep(50.0)
        assert "payload_started" not in events(central)
        await until(lambda: "payload_started" in events(central), within_s=16.0)
        assert pilot.bus is not None
        pilot.untold.note("bus_down", {"url": "mqtt://b", "why": "gone"})
        await until(lambda: "bus_down" in events(central), within_s=6.0)

    live(story)


def test_what_a_killed_pilot_had_not_told_its_next_life_tells() -> None:
    central = Central()

    async def whole() -> None:
        pilot = FakePilot(central)
        first = asyncio.get_running_loop().create_task(pilot.agent().run())
        central.queue.append(assignment(1, "sleep", "1"))
        await until(lambda: bool(central.ended))
        assert "ended" not in events(central)
        first.cancel()
        await asyncio.wait([first])
        agent = pilot.agent()
        second = asyncio.get_running_loop().create_task(agent.run())
        await until(lambda: "ended" in events(central))
        agent.drain("over")
        await second

    virtual.run(whole(), limit_s=10_000)

    assert {parcel.session for parcel in central.parcels} == {2}
    assert events(central).count("registered") == 2
    assert [line.event for line in central.lines if line.attempt_id][-1] == "ended"


def test_a_lost_answer_or_a_central_that_is_away_costs_no_line_and_doubles_none() -> None:
    refusals = iter([HttpReply(503, b""), HttpReply(429, b""), HttpReply(507, b"")])
    central = Moody(lambda _: next(refusals, None))
    alone(central, for_s=500.0)

    assert events(central).count("registered") == 1
    assert len(central.parcels) == 5, "three without an answer, the same again, and the end"


@pytest.mark.parametrize("status", [404, 405, 403, 409, 410])
def test_a_central_that_wants_no_logs_is_asked_once_in_a_life(status: int) -> None:
    unknown = HttpReply(status, encode(Problem("not_found", "there is no such path")))
    central = Moody(lambda _: unknown)
    pilot = alone(central, for_s=5_000.0)

    assert len(central.parcels) == 1
    refused = [facts for event, facts in pilot.log if event == "log_refused"]
    assert [facts["status"] for facts in refused] == [status]


def test_a_parcel_that_cannot_be_read_is_left_out_and_the_next_one_is_told() -> None:
    replies = iter([HttpReply(422, encode(Problem("invalid", "no")))])
    central = Moody(lambda _: next(replies, None))
    alone(central, for_s=100.0)

    assert len(central.parcels) == 3
    assert "log_refused" in [line.event for line in central.parcels[1].lines]


def test_lines_are_numbered_above_what_the_central_knows() -> None:
    central = Central()
    central.lines.append(PilotLine(n=10**12, ago_s=0.0, event="of another life"))
    alone(central, for_s=10.0)

    assert [line.n for line in central.lines[1:3]] == [10**12 + 1, 10**12 + 2]
    assert events(central).count("registered") == 1


def test_no_secret_leaves_with_the_log() -> None:
    async def story(central: Central, pilot: FakePilot) -> None:
        central.queue.append(assignment(1, "sleep", "100"))
        await until(lambda: bool(pilot.guard.started))
        for secret in ("secret", "renew", "word", "token-1", "attempt-1"):
            pilot.untold.note("bus_down", {"url": "", "why": f"login with {secret}!"})
        await asyncio.sleep(6.0)

    central, _, _ = live(story)

    told = [line.text for line in central.lines if line.event == "bus_down"]
    assert told == ['url="" why="login with [hidden]!"'] * 5
