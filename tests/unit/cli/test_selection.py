"""Which jobs a command is about."""

import msgspec
import pytest

from pilotage.central.cli.exit_codes import UsageError
from pilotage.central.cli.jobs.selection import KEYS, JobSelection, job_filter, parse_ids, shown
from pilotage.proto.api.jobs import JobFilter
from pilotage.proto.job_states import JobState

WAITING, HELD = JobState.WAITING, JobState.HELD

# Options, and the filter that they make.
RIGHT = [
    (JobSelection(), None),
    (JobSelection(state=("waiting", "HELD")), JobFilter(states=(WAITING, HELD))),
    (JobSelection(submission=7), JobFilter(submission=7)),
    (JobSelection(filter=("state=Waiting,owner=me",)), JobFilter(states=(WAITING,), owner="me")),
    (
        JobSelection(filter=("site=PIC, type=MC", "state=Held"), state=("Waiting",)),
        JobFilter(states=(HELD, WAITING), site="PIC", type="MC"),
    ),
    (JobSelection(filter=("id=1-3,id=9",)), JobFilter(ids=(1, 2, 3, 9))),
    (
        JobSelection(filter=("include_deleted,name=a=b",)),
        JobFilter(include_deleted=True, name="a=b"),
    ),
    (JobSelection(filter=("submission=3",), submission=4), JobFilter(submission=4)),
]

WRONG = {
    "owne=me": "unknown key 'owne': did you mean 'owner'?",
    "state=waitin": "unknown state 'waitin': did you mean 'Waiting'?",
    "site=": "site needs a value",
    "site": "site needs a value",
    "site=A,site=B": "site is given twice",
    "submission=x": "expected a number",
    "id=5-1": "is not a range",
    "": "unknown key ''",
}


@pytest.mark.parametrize(("where", "made"), RIGHT)
def test_options_make_a_filter(where: JobSelection, made: JobFilter | None) -> None:
    assert job_filter(where) == made


@pytest.mark.parametrize(("text", "said"), WRONG.items())
def test_what_makes_no_filter_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        job_filter(JobSelection(filter=(text,)))

    assert said in str(caught.value)


def test_ids_are_numbers_and_ranges() -> None:
    assert parse_ids(("12", "20-22")) == (12, 20, 21, 22)


@pytest.mark.parametrize("word", ["x", "-3", "1-", "9-8", "1-99999999", "1.5", "", "٣x"])
def test_what_is_no_id_is_refused(word: str) -> None:
    with pytest.raises(UsageError):
        parse_ids((word,))


def test_a_filter_is_shown_in_words() -> None:
    assert shown(JobFilter(states=(WAITING, HELD), owner="me", submission=3)) == (
        "owner=me, submission=3, state Waiting or Held"
    )
    assert shown(JobFilter(site="PIC")) == "site=PIC, any state"


def test_every_field_of_a_filter_is_a_key() -> None:
    plural = {"states": "state", "ids": "id"}
    names = [one.name for one in msgspec.structs.fields(JobFilter)]

    assert sorted(KEYS) == sorted(plural.get(name, name) for name in names)
