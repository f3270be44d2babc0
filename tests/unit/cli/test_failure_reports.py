"""`pilotage failures reports`: what is printed, also where there is nothing."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pilotage.central.cli import failure_reports, frame
from pilotage.central.cli.main import run


class NoReports:
    """A central that has none."""

    async def failure_reports(self, **search: Any) -> list[Any]:
        return []


def test_without_reports_that_is_said_and_what_programs_read_is_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @asynccontextmanager
    async def no_reports(*_: object) -> AsyncGenerator[NoReports]:
        yield NoReports()

    monkeypatch.setattr(frame, "client_of", no_reports)

    assert run(["failures", "reports"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err.strip()) == ("", f"pilotage: {failure_reports.NOTHING}")

    assert run(["failures", "reports", "--json"]) == 0
    said = capsys.readouterr()
    assert (said.out.strip(), said.err) == ("[]", "")
