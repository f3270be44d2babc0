"""How results look."""

import msgspec
import pytest

from pilotage.central.cli.jobs.explain import headline, pilot_headline
from pilotage.central.cli.jobs.status import one_line
from pilotage.central.cli.jobs.waiting import outcome
from pilotage.central.cli.presentation import clean, jobs_in_words, number, print_table
from pilotage.central.cli.sites import bans
from pilotage.proto.api.explanations import Explanation, Obstacle, OfferExplanation
from pilotage.proto.api.jobs import Summary, SummaryBy, SummaryRow
from pilotage.proto.api.sites import SiteView
from pilotage.proto.job_states import JobState


def explanation(offers: int, fitting: int, *obstacles: Obstacle, ahead: int = 0) -> Explanation:
    return Explanation(
        job=1,
        state="Waiting",
        offers=offers,
        fitting=fitting,
        obstacles=list(obstacles),
        ahead=ahead,
    )


def test_names_cannot_steer_a_terminal() -> None:
    assert clean("a\x1b[2Jb\rc\u202ed") == "a\ufffd[2Jb\ufffdc\ufffdd"
    assert clean("Größe 12 µs – ok\n") == "Größe 12 µs – ok\n"


def test_a_table_in_a_pipe_is_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id#", "name"), [(7, "a"), (1234, None)], empty="none")
    print_table(("id#", "name"), [], empty="none")

    assert capsys.readouterr().out.splitlines() == ["  id  name", "   7  a", "1234"]


def test_numbers_are_grouped() -> None:
    assert [number(5), number(12430), jobs_in_words(1), jobs_in_words(1000)] == [
        "5",
        "12 430",
        "1 job",
        "1 000 jobs",
    ]


def test_a_summary_fits_on_a_line() -> None:
    counts = {JobState.DONE: 2, JobState.WAITING: 1_000, JobState.FAILED: 0}
    summary = Summary(by=SummaryBy.STATE, total=1_002, rows=[SummaryRow(key="", counts=counts)])

    assert one_line(summary) == "1 002 jobs: 1 000 Waiting, 2 Done"
    assert one_line(Summary(by=SummaryBy.STATE, total=0, rows=[])) == "0 jobs"


def test_an_explanation_names_the_clause_that_alone_stands_in_the_way() -> None:
    cores = Obstacle(clause="cores", wanted="8", excludes=3, best="4", would_fit=2)
    site = Obstacle(clause="sites", wanted="PIC", excludes=1, would_fit=0)

    assert headline(explanation(3, 0, site, cores)) == [
        "0 of 3 live offers fit",
        "without the clause cores (8 wanted), 2 offers would fit",
    ]
    assert headline(explanation(3, 1, site, ahead=12)) == [
        "1 of 3 live offers fits",
        "12 jobs for the same offers come first",
    ]
    assert headline(explanation(3, 1, ahead=1))[1] == ("1 job for the same offers comes first")
    assert "pilot list" in headline(explanation(0, 0))[0]


#   the first line, for these: offers, fitting, with room now
ROOM = """
  0 of 1 live offer fits, even when empty 1 0 0
  0 of 5 live offers fit, even when empty 5 0 0
  1 of 2 live offers fits and has room now 2 1 1
  2 of 2 live offers fit and have room now 2 2 2
  1 of 1 live offer fits when empty; it has no room now 1 1 0
  7 of 9 live offers fit when empty; none of them has room now 9 7 0
  7 of 9 live offers fit when empty; 1 of them has room now 9 7 1
  3 000 of 3 000 live offers fit when empty; at least 2 of them have room now 3000 3000 2
"""


@pytest.mark.parametrize("row", ROOM.strip().splitlines())
def test_offers_that_fit_are_told_from_those_with_room(row: str) -> None:
    line, offers, fitting, room = row.rsplit(maxsplit=3)
    found = msgspec.structs.replace(
        explanation(int(offers), int(fitting)), with_room=int(room), held=0
    )

    assert headline(found) == [line.strip()]


def test_what_is_held_is_told_in_one_or_many() -> None:
    lines = [
        headline(msgspec.structs.replace(explanation(3, fitting), held=held))[1]
        for fitting, held in ((1, 1), (2, 2), (3, 1), (3, 2))
    ]

    assert lines == [
        "limits or bans keep the job from it now",
        "limits or bans keep the job from all of them now",
        "limits or bans keep the job from 1 of them now",
        "limits or bans keep the job from 2 of them now",
    ]


def test_what_a_pilot_could_run_is_told_in_one_or_many() -> None:
    def told(waiting: int, fitting: int, when_empty: int | None = None, held: int = 0) -> list[str]:
        return pilot_headline(
            OfferExplanation(
                pilot="p1", waiting=waiting, fitting=fitting, held=held, when_empty=when_empty
            )
        )

    assert told(1, 1, 1, 1) == [
        "1 of 1 waiting job fits the free capacity",
        "limits or bans stop 1 of those now",
    ]
    assert told(53, 0, 53) == [
        "0 of 53 waiting jobs fit the free capacity; 53 would fit if the pilot were empty"
    ]
    assert told(0, 0) == ["no job of the pilot's community waits"]


def test_bans_are_told_by_site_and_element() -> None:
    site = SiteView(site="PIC", pilots=1, cores=1, cores_free=1, running=0, done=0, failed=0)
    partly = msgspec.structs.replace(site, site="CSCS", banned_elements=("ce1",))

    assert bans([site, msgspec.structs.replace(site, banned=True), partly]) == [
        "PIC is banned: only jobs of type Test run there",
        "CSCS/ce1 is banned: only jobs of type Test run there",
    ]


@pytest.mark.parametrize(
    ("states", "code"),
    [("Done", 0), ("Done Failed", 1), ("Killed", 1), ("Done Held", 6), ("", 0)],
)
def test_the_exit_code_says_whether_all_jobs_are_done(states: str, code: int) -> None:
    assert outcome({JobState(state): 1 for state in states.split()}) == code
