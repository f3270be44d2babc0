"""Options with a unit: `--memory 4GB`, and `--memory-mb` for plain numbers."""

import time
from typing import Any

import pytest

from pilotage.central.cli.exit_codes import UsageError
from pilotage.central.cli.jobs.job_options import draft_of
from pilotage.central.cli.main import build, run
from pilotage.central.cli.times import moment
from pilotage.central.cli.units import option_name
from pilotage.proto.quantities import unit_of
from tests.docs.command_line import commands


def _bound(line: str) -> dict[str, Any]:
    _, bound, _ = build().parse_args(line.split(), print_error=False, exit_on_error=False)
    return dict(bound.arguments)


@pytest.mark.parametrize(
    ("typed", "memory_mb", "wall_s"),
    [
        ("--memory 4GB --wall 2h", 4_000, 7_200),
        ("--memory=4GiB --wall=1d12h", 4_295, 129_600),
        ("--memory-mb 500M --wall-s 90m", 500, 5_400),
        ("--memory-mb 500 --wall-s 60", 500, 60),
        ("--memory 0 --wall 1.5s", 0, 2),
    ],
)
def test_an_option_takes_a_unit(typed: str, memory_mb: int, wall_s: int) -> None:
    job = draft_of(_bound(f"submit {typed}")["job"], ("true",)).job

    assert (job.needs[0].memory_mb, job.needs[0].wall_s) == (memory_mb, wall_s)


def test_other_commands_take_units() -> None:
    assert _bound("wait 3 --timeout 1m")["timeout_s"] == 60
    assert _bound("series --step 10m")["step_s"] == 600
    assert _bound("token issue x --valid 30d")["valid_s"] == 2_592_000
    assert _bound("status --patience 1.5s")["common"].patience_s == 1.5


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("submit --memory 4000", "--memory: found '4000', expected a size such as 4GB; 4000 MB is"),
        ("submit --memory 4_gigs", "--memory: found '4_gigs', expected a size such as 4GB; 4GB is"),
        ("submit --wall 01:00:00", "--wall: found '01:00:00', expected a time such as 2h or 1d12h"),
        ("submit --wall nan", "--wall: found 'nan', expected a time"),
        ("submit --wall=-2h", "--wall: found '-2h', expected a time"),
        ("submit --wall-s 0.5", "--wall-s: found '0.5', expected a whole number of seconds"),
        ("wait 3 --timeout=-5", "--timeout: found '-5', expected a time"),
    ],
)
def test_a_wrong_quantity_is_refused(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(line.split()) == 2
    assert said in capsys.readouterr().err


def test_an_age_has_the_same_units() -> None:
    assert moment("1d12h") == pytest.approx(time.time() - 129_600, abs=60)
    assert moment("900000w") == 0  # the beginning of 1970
    with pytest.raises(UsageError, match="--since '1h1h': expected an age"):
        moment("1h1h")


def test_each_option_with_a_unit_has_both_names() -> None:
    names: dict[str, set[str]] = {}
    for words in commands():
        app = build()
        for word in words.split():
            app = app[word]
        for one in app.assemble_argument_collection():
            options = [name for name in one.names if name.startswith("--")]
            field = options[-1].removeprefix("--").replace("-", "_") if options else ""
            if unit_of(field) is not None:
                names[field] = {*options}

    assert {"memory_mb", "wall_s", "timeout_s", "idle_s", "valid_s"} <= set(names)
    for field, found in names.items():
        short, long = option_name(field), f"--{field.replace('_', '-')}"
        assert found == {short, long}
