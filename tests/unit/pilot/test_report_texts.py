"""Texts that go into a report can never be refused."""

from hypothesis import example, given, strategies as st

from pilotage.pilot.mind.report_texts import fit, names
from pilotage.pilot.mind.reports import ReportOutbox
from pilotage.proto.limits import TEXT_MAX, check
from pilotage.proto.messages import How, Report, What
from pilotage.proto.wire import encode


def _ended(detail: str) -> Report:
    return Report(1, 1, 1, 1, What.ENDED, how=How.OUTPUT, detail=detail)


@given(st.text(st.characters(exclude_categories=()), max_size=50))
@example("\0" * TEXT_MAX)
@example("\udcff" * 10_000)
@example("x" * (TEXT_MAX + 1))
def test_a_report_with_any_detail_can_be_sent_and_is_in_range(detail: str) -> None:
    put = ReportOutbox().put(_ended(detail), at=0.0, due=0.0)

    check(put)
    assert encode(put)


def test_an_ordinary_text_stays_as_it_is_and_a_long_one_is_cut() -> None:
    assert fit("signal 9: über\n") == "signal 9: über\n"
    assert fit("a\0b\udcff\x1b") == "a\\x00b\\udcff\\x1b"
    assert fit("x" * 5000) == "x" * (TEXT_MAX - 3) + "..."


def test_a_few_names_are_shown_and_the_rest_is_counted() -> None:
    assert names(["a"]) == "'a'"
    assert names(["a", "b"]) == "'a' and 'b'"
    assert names(["a", "b", "c"]) == "'a', 'b' and 'c'"
    assert names([*"abc", *("x" * 297)]) == "'a', 'b', 'c' and 297 more"
    assert names(["a\0b\n"]) == "'a\\x00b\\n'"
    assert len(names(["x" * 1024] * 1000)) < 700


def test_a_report_that_was_refused_goes_again_with_nothing_that_could_be_refused() -> None:
    reports = ReportOutbox()
    reports.put(_ended("what the payload chose"), at=0.0, due=0.0)

    again = reports.simplify(1)

    assert again is not None and again.how is How.UNREADABLE_REPORT
    assert "refused" in again.detail and "chose" not in again.detail
    assert (again.outputs, again.usage, again.status) == ((), None, "")
    assert reports.simplify(1) is None
