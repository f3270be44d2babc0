"""What commands say beside what a job has written: whose it is, how old, how much is missing."""

import pytest

from pilotage.central.cli.jobs.curve import print_peek
from pilotage.central.cli.jobs.explain import images_wanted
from pilotage.central.cli.jobs.logs import tell_part
from pilotage.central.client.waiting.job_output import OutputPart, part_of
from pilotage.proto.api.explanations import Explanation, Obstacle
from pilotage.proto.api.jobs import Peek

PARTS = {
    "the only attempt": (OutputPart(1, 1), ""),
    "nothing was kept": (OutputPart(0, 3), ""),
    "the newest of several": (OutputPart(2, 2), "attempt 2\n"),
    "an earlier one": (
        OutputPart(1, 2),
        "attempt 1: the newest attempt, 2, has no output yet\n",
    ),
    "a long one": (
        OutputPart(1, 1, 2_345_678),
        "… 2 345 678 bytes are missing: the central keeps only the last 10^6",
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_output_says_whose_it_is_and_what_is_left_out(
    part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given, wanted = PARTS[part]
    tell_part(given)
    printed = capsys.readouterr()

    assert printed.out == ""
    assert printed.err.startswith(f"pilotage: {wanted}" if wanted else "")
    assert bool(printed.err) is bool(wanted)


def test_what_a_central_says_of_the_output_is_read_and_an_older_one_says_nothing() -> None:
    said = {"pilotage-attempt": "2", "pilotage-newest-attempt": "3", "pilotage-left-out": "5"}

    assert part_of(said) == OutputPart(2, 3, 5)
    assert part_of({}) == OutputPart(0, 0, 0)
    assert part_of({**said, "pilotage-left-out": "-1"}) == OutputPart(2, 3, 0)


AT = "2026-01-02T03:04:05Z"
PEEKS = {
    "runs": (Peek(job=7, epoch=2, live=True, at=AT), "attempt 2, as it is now"),
    "ended": (Peek(job=7, epoch=1, at=AT), f"attempt 1, which ended at {AT}"),
    "silent": (
        Peek(job=7, epoch=2, live=True, complete=False, at=AT),
        f"attempt 2, as reported by its pilot at {AT}",
    ),
}


@pytest.mark.parametrize("peek", PEEKS)
def test_a_look_says_from_when_it_is(peek: str, capsys: pytest.CaptureFixture[str]) -> None:
    given, wanted = PEEKS[peek]
    print_peek(given)

    assert capsys.readouterr().out.splitlines()[0] == wanted


def test_the_tag_that_an_image_adds_is_explained() -> None:
    tags = Obstacle(clause="tags", wanted="(gpu) & image:sif", excludes=3, best="", would_fit=0)
    cores = Obstacle(clause="cores", wanted="64", excludes=3, best="", would_fit=0)

    def said(*obstacles: Obstacle) -> list[str]:
        found = Explanation(job=1, state="Waiting", offers=3, fitting=0, obstacles=list(obstacles))
        return images_wanted(found)

    assert said(cores) == []
    (line,) = said(cores, tags)
    assert line.startswith("image:sif: the image is an Apptainer file (.sif)")
