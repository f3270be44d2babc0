"""What a pilot is told from the command line."""

from dataclasses import fields

import pytest

from pilotage.central.cli.exit_codes import UsageError
from pilotage.central.cli.pilots.options import PilotOptions, doubts, said_of
from pilotage.pilot.settings import Settings
from pilotage.proto.declarations import RULES

WRONG: dict[str, PilotOptions] = {
    "--gpu-vendor: found 'Nvidia', expected lower-case letters": PilotOptions(
        gpus=1, gpu_vendor="Nvidia"
    ),
    "--gpu-vendor: it describes the GPUs": PilotOptions(gpu_vendor="nvidia"),
    "--required-tags: found 'a&b', expected letters": PilotOptions(required_tags=("a&b",)),
    "--wall: found -1, expected a number from 0": PilotOptions(wall_s=-1),
}


# When to give up and how to look: in a file of settings.
UNSAID = {
    "stop_margin_s",
    "unanswered_s",
    "benchmark_s",
    "time_look_s",
    "checkpoint_mb",
    "upload_s",
}


def test_all_that_has_a_rule_can_be_said_but_what_is_of_patience() -> None:
    options = {one.name for one in fields(PilotOptions)}

    assert set(RULES) - options == UNSAID
    assert options <= {one.name for one in fields(Settings)}


def test_words_come_one_by_one_or_with_commas() -> None:
    assert said_of(PilotOptions(tags=("a,b", " c ")))["tags"] == ("a", "b", "c")


@pytest.mark.parametrize("said", WRONG)
def test_what_no_central_takes_is_refused_by_its_option(said: str) -> None:
    with pytest.raises(UsageError) as caught:
        said_of(WRONG[said])

    assert str(caught.value).startswith(said)


def test_a_starter_is_told_of_the_cap_on_cores_and_of_pilots_that_are_open() -> None:
    (capped,) = doubts(PilotOptions(cores=99), 4)
    (open_,) = doubts(PilotOptions(isolation="namespaces"), 4)

    assert capped.startswith("--cores 99: the pilot offers only the 4 cores of this machine")
    assert "shows (open)" in open_
    assert doubts(PilotOptions(cores=4), 4) == []
    assert doubts(PilotOptions(cores=99, overcommit=True), 4) == []
