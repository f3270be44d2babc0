"""How sites, checks and pilots that never began look."""

import pytest

from pilotage.central.cli.pilots.facts import facts
from pilotage.central.cli.sites import bans, hole, pledge_in_words, print_check, still_disabled
from pilotage.proto.api.pilots import PilotView
from pilotage.proto.api.sites import (
    CheckState,
    CheckStep,
    ElementCheck,
    ElementView,
    HostView,
    SiteDetail,
    SiteView,
)
from pilotage.proto.pilot_states import PilotState


def a_site(**said: object) -> SiteView:
    figures = dict.fromkeys(("pilots", "cores", "cores_free", "running", "done", "failed"), 0)
    return SiteView(site="PIC", **figures, **said)  # type: ignore[arg-type]


def test_bans_and_drains_of_sites_and_elements_are_told() -> None:
    assert bans([a_site()]) == []
    assert bans([a_site(banned=True, draining_elements=("slurm",))]) == [
        "PIC is banned: only jobs of type Test run there",
        "PIC/slurm is draining: it gets no new pilots, and its pilots end after their jobs",
    ]


def test_what_an_enable_cannot_lift_is_told() -> None:
    elements = [
        ElementView(site="PIC", element="slurm"),
        ElementView(site="PIC", element="arc", held="disabled"),
    ]
    found = SiteDetail(view=a_site(), elements=elements)

    assert still_disabled(found, "") == ["PIC/arc is disabled in its file: it gets no pilots"]
    assert still_disabled(found, "slurm") == []


def test_what_is_held_against_a_host_or_an_element_is_told() -> None:
    said = {"since_s": 60.0, "jobs": 5, "owners": 2, "reason": "exit code 127"}
    host = HostView(host="wn7", element="", state="suspended", left_s=540.0, **said)  # type: ignore[arg-type]
    whole = HostView(host="", element="slurm", state="canary", left_s=0.0, **said)  # type: ignore[arg-type]

    assert hole(host) == (
        "host wn7 is suspended: it gets no jobs, until a trial in 540 s: "
        "5 jobs of 2 owners failed at once; the last failure: exit code 127"
    )
    assert hole(whole).startswith("element slurm is on trial: it gets one job at a time: 5 jobs")


def test_steps_are_told_once_and_the_failing_one_with_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: set[tuple[str, str]] = set()
    reach = CheckStep(step="reach", state=CheckState.OK, took_s=0.2)
    busy = CheckStep(step="submit", state=CheckState.BUSY)
    bad = CheckStep(
        step="submit", state=CheckState.FAILED, took_s=1.0, why="no account", do="see options"
    )
    print_check(ElementCheck(element="slurm", steps=[reach, busy]), told)
    first = capsys.readouterr().out
    print_check(ElementCheck(element="slurm", steps=[reach, bad]), told)
    second = capsys.readouterr().out

    assert first.split() == ["slurm", "reach", "ok", "0.2", "s"]
    assert "reach" not in second
    assert "no account" in second
    assert "→ see options" in second


def test_a_pilot_that_never_began_is_told_in_few_lines() -> None:
    pilot = PilotView(
        id="pic-1",
        community="ctao",
        site="PIC",
        element="slurm",
        host="",
        state=PilotState.FAILED,
        session=0,
        reason="it ended before it asked for work",
        slot="77",
        exit_code=23,
        stdout="a\n",
    )
    said = dict(facts(pilot))

    assert said["reason"] == "it ended before it asked for work"
    assert (said["slot"], said["exit_code"]) == ("77", "23")
    assert said["begun"].startswith("no")
    assert not said.keys() & {"cores", "glibc", "stdout", "silent_s"}


@pytest.mark.parametrize(
    ("pledge", "said"),
    [
        (0.0, "0"),
        (1 / 3, "0.333"),
        (1.0, "1"),
        (2 / 3 * 2, "1.333"),
        (2.5, "2.5"),
        (9e6, "9000000"),
    ],
)
def test_a_pledge_is_told_with_few_digits(pledge: float, said: str) -> None:
    assert pledge_in_words(pledge) == said
