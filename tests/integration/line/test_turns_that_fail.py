"""A turn brings the end of one job and a match: the match holds, whatever becomes of the report."""

import asyncio
from collections.abc import Sequence

import pytest

from pilotage.central.dispatch.turns.reports import JudgedReport, ReportJudge
from pilotage.pilot.ports import HttpReply, NoReply
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Assignment
from tests import virtual
from tests.fake_pilot import FakeProbe, Script
from tests.fakes import FakeInstallation
from tests.integration.line.test_on_fakes import started, submission, submit, until_all_end


class Installation(FakeInstallation):
    """What no handler expects is answered as the server does: with nothing that tells."""

    async def ask(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        try:
            return await super().ask(method, path, body, token)
        except RuntimeError as why:
            raise NoReply(str(why)) from None


def script(_: Assignment) -> Script:
    return Script(duration_s=30.0)


def test_a_match_holds_where_memory_cannot_follow_the_report_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain, failed = ReportJudge.follow, list[int]()

    def follow(self: ReportJudge, judged: Sequence[JudgedReport], written: Sequence[bool]) -> None:
        plain(self, judged, written)
        ends = [one.report.job for one in judged if one.ends]
        if ends and not failed:
            failed.extend(ends)
            raise RuntimeError("the test says so")

    monkeypatch.setattr(ReportJudge, "follow", follow)

    async def whole() -> None:
        world = Installation()
        await world.start()
        jobs = await submit(world, submission(2))
        pilot = await world.pilot("PIC", script=script, probe=FakeProbe(cores_all=1))
        life = asyncio.get_running_loop().create_task(pilot.agent().run())

        assert await until_all_end(world) == {JobState.DONE: 2}
        assert failed == jobs[:1]
        assert started(world) == [(job, 1) for job in jobs]
        life.cancel()
        await asyncio.wait([life])
        await world.kill()

    virtual.run(whole(), limit_s=2_000)
