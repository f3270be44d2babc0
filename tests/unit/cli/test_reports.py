"""`pilotage failures reports`: what is printed, also where there is nothing."""

from typing import Any

import pytest

from pilotage.central.cli.failures import reports
from pilotage.central.cli.main import run

from .stub_client import give


class NoReports:
    """A central that has none."""

    async def failure_reports(self, **search: Any) -> list[Any]:
        return []


def test_without_reports_that_is_said_and_what_programs_read_is_empty(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(NoReports(), monkeypatch)

    assert run(["failures", "reports"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err.strip()) == ("", f"pilotage: {reports.NOTHING}")

    assert run(["failures", "reports", "--json"]) == 0
    said = capsys.readouterr()
    assert (said.out.strip(), said.err) == ("[]", "")
