"""How `pilotage limits` shows shares and limits."""

import pytest

from pilotage.central.cli.limits import print_limits
from pilotage.central.cli.options import COMMON
from pilotage.proto.api_sites import LimitsView


def test_settings_that_count_for_nobody_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_limits(
        LimitsView(shares={}, limits=(), unknown=("matcher.shares.a/x: no group 'x' in 'a'",)),
        COMMON,
    )

    assert (
        "matcher.shares.a/x: no group 'x' in 'a'. It counts as soon as there is a token or a job"
        in capsys.readouterr().err
    )
