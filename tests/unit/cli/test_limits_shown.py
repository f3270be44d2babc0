"""How `pilotage limits` shows shares and limits."""

import pytest

from pilotage.central.cli.exit_codes import ExitCode
from pilotage.central.cli.limits import print_limits
from pilotage.central.cli.main import run
from pilotage.proto.api.limits import LimitsView, LimitView


def test_settings_that_count_for_nobody_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_limits(
        LimitsView(shares={}, limits=(), unknown=("matcher.shares.a/x: no group 'x' in 'a'",))
    )

    assert (
        "matcher.shares.a/x: no group 'x' in 'a'. It takes effect with the first token or job"
        in capsys.readouterr().err
    )


def test_the_burst_of_a_limit_of_starts_is_not_shown_as_jobs_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    starts = LimitView(where="PIC", by="type", value="Merge", community="ctao", most=7, per_s=0.5)
    print_limits(LimitsView(shares={}, limits=(starts,)))

    head, row = (line.split() for line in capsys.readouterr().out.splitlines()[:2])
    assert head == ["where", "community", "by", "value", "most", "per", "s", "burst", "running"]
    assert row == ["PIC", "ctao", "type", "Merge", "0.5", "7"]


def test_a_quota_without_a_limit_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["quota", "set", "group", "local", "analysis"]) == ExitCode.USAGE
    assert "give the quota: --jobs, --gb or both" in capsys.readouterr().err
