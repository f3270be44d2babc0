"""`pilotage failures reports`: what is printed, also where there is nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pilotage.central.cli import failure_reports
from pilotage.central.cli.main import run


class NoReports:
    """A central that has none."""

    async def failure_reports(self, **search: Any) -> list[Any]:
        return []


def test_without_reports_that_is_said_and_what_programs_read_is_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def at_it(work: Callable[[Any], Awaitable[int]]) -> int:
        return await work(NoReports())

    def run_here(common: object, work: Callable[[Any], Awaitable[int]], **_: Any) -> int:
        return asyncio.run(at_it(work))

    monkeypatch.setattr(failure_reports, "run_with", run_here)

    assert run(["failures", "reports"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err.strip()) == ("", f"pilotage: {failure_reports.NOTHING}")

    assert run(["failures", "reports", "--json"]) == 0
    said = capsys.readouterr()
    assert (said.out.strip(), said.err) == ("[]", "")
