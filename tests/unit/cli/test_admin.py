"""How the findings of `doctor` look."""

import pytest

from pilotage.central.cli.admin import print_findings
from pilotage.central.operate.doctor.findings import fault, ok, warning


def test_what_to_do_stands_once_below_those_that_it_is_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = "see docs/site-files.md"
    print_findings(
        [
            fault("sites", "PIC.yaml:1: no", page),
            fault("sites", "CSCS.yaml:2: no", page),
            ok("sites", "LUND/arc: well"),
            warning("sites", "DESY: soon", page),
        ]
    )

    assert [line.split(maxsplit=1)[0] for line in capsys.readouterr().out.splitlines()] == [
        *("fault", "fault", "→", "ok", "warning", "→"),
    ]
