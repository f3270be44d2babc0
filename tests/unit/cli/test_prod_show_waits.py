"""`pilotage prod show` of a production that looks for files: why those that are there wait."""

import pytest

from pilotage.central.cli.main import run
from pilotage.proto.api.productions import (
    ProductionDetail,
    ProductionReport,
    ProductionView,
    StepReport,
)
from pilotage.proto.transformation_states import InputState, TaskState

from .stub_client import give
from .test_production_texts import detail_of, step, view


class Central:
    """Has one production, of which a file waits."""

    def __init__(self, found: ProductionView) -> None:
        self.found, self.asked = found, 0

    async def production(self, named: str | int) -> ProductionDetail:
        return detail_of(self.found)

    async def production_report(self, named: str | int) -> ProductionReport:
        self.asked += 1
        report = StepReport(
            step="one",
            failures=[],
            waits="no group of 2 is full",
            stuck={},
            task_s=None,
            memory_mb=None,
        )
        return ProductionReport(view=self.found, steps=[report], files=0, bytes=0)


@pytest.mark.parametrize("running", [False, True])
def test_show_says_why_files_wait_and_what_ends_it(
    running: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = {TaskState.CREATED: 1} if running else {}
    central = Central(view(step("one", inputs={InputState.UNUSED: 1}, tasks=tasks)))

    give(central, monkeypatch)

    assert run(["prod", "show", "w"]) == 0
    said = capsys.readouterr().out.splitlines()

    if running:
        assert said[-1] == "next: pilotage prod wait w" and not central.asked
    else:
        assert said[-2:] == [
            "step one waits: no group of 2 is full",
            "next: pilotage prod complete w, if no more files of the catalogue come",
        ]
