"""How results look."""

import pytest

from pilotage.central.cli.explain import headline
from pilotage.central.cli.present import clean, jobs_in_words, number, print_table
from pilotage.central.cli.status import one_line
from pilotage.central.cli.waits import outcome
from pilotage.proto.api import Explanation, Obstacle, Summary, SummaryBy, SummaryRow
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
        "but for cores (8 wanted), 2 would fit",
    ]
    assert headline(explanation(3, 1, site, ahead=12)) == [
        "1 of 3 live offers fit",
        "12 jobs that the same offers could run are before it",
    ]
    assert "pilot list" in headline(explanation(0, 0))[0]


@pytest.mark.parametrize(
    ("states", "code"),
    [("Done", 0), ("Done Failed", 1), ("Killed", 1), ("Done Held", 1), ("", 0)],
)
def test_the_exit_code_says_whether_all_jobs_are_done(states: str, code: int) -> None:
    assert outcome({JobState(state): 1 for state in states.split()}) == code
