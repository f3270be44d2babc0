"""States that are written in SQL are those of the tables of states."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.rucio.outbox_record import EntryState
from pilotage.central.store.migrations import migrations
from pilotage.central.store.queries import load
from pilotage.proto.catalogue import FileState, RemnantState, ReplicaState, RuleState
from pilotage.proto.job_states import FINAL, TRANSITIONS, JobEvent, JobState
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

OF_TRANSFORMATIONS = (TransformationState, TaskState, InputState)
OF_FILES = (FileState, ReplicaState, RuleState, RemnantState, EntryState)
STATES = (JobState, PilotState, *OF_FILES, *OF_TRANSFORMATIONS)
# A job that is matched or runs is Waiting by its own row: its attempt's row says which.
OF_ATTEMPTS = {JobState.MATCHED, JobState.RUNNING}
NEVER_MADE = {"Received", "Checking", "Staging"}  # the first schema allows them; no job had one
OF_RELEASE_0_1 = {"MaxReset"}  # the name of Stuck then; migrations read and replace it
DATABASES = ("sqlite", "postgresql")
# What SQL moves by itself, because whether a job may move is known there alone: the event, and the
# state from which it goes.
MOVES = {
    "insert_attempt": (JobState.WAITING, JobEvent.MATCHED),
    "insert_attempt_together": (JobState.WAITING, JobEvent.MATCHED),
    "start_attempt": (JobState.MATCHED, JobEvent.STARTED),
    "take_back": (JobState.WAITING, JobEvent.BEAT_OF_LAST_ATTEMPT),
}


def _texts() -> dict[str, str]:
    """Return the SQL of each file by its path: both databases have files of the same name."""
    found: dict[str, str] = {}

    def walk(folder: Any, path: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{path}{entry.name}/")
            elif entry.name.endswith(".sql"):
                text = entry.read_text(encoding="utf-8")
                found[f"{path}{entry.name}"] = re.sub(r"--.*", "", text)

    walk(files("pilotage.central"), "")
    return found


TEXTS = _texts()


@pytest.mark.parametrize("path", TEXTS)
def test_a_capitalised_word_in_quotes_is_a_state(path: str) -> None:
    known = {state.value for of in STATES for state in of} | NEVER_MADE | OF_RELEASE_0_1

    assert set(re.findall(r"'([A-Z]\w*)'", TEXTS[path])) <= known


@pytest.mark.parametrize("database", DATABASES)
def test_where_ended_jobs_are_listed_they_are_the_final_states(database: str) -> None:
    final = {state.value for state in FINAL}
    lists = [
        set(re.findall(r"'(\w+)'", found))
        for text in (*load(database).values(), *(one.text for one in migrations(database)))
        for found in re.findall(r"state (?:NOT )?IN (\([^()]*'Done'[^()]*\))", text)
        + re.findall(r"(?<!CHECK )\((?:state = '\w+' OR )+state = '\w+'\)", text)
        if "'Done'" in found and not re.search("'(Draining|Created)'", found)  # of pilots, tasks
    ]

    assert len(lists) >= 4
    assert all(one == final for one in lists)


@pytest.mark.parametrize("database", DATABASES)
def test_the_check_of_a_job_takes_each_state_that_a_row_may_have(database: str) -> None:
    text = TEXTS[f"store/{database}/migrations/0001_first.sql"]
    job = re.search(r"CREATE TABLE job\b.*?\n\)", text, re.DOTALL)
    attempt = re.search(r"CREATE TABLE attempt\b.*?\n\)", text, re.DOTALL)
    pilot = re.search(r"CREATE TABLE pilot\b.*?\n\)", text, re.DOTALL)
    assert job and attempt and pilot

    of_job = re.search(r"CHECK \(state = 'Waiting' OR.*?\),", job[0], re.DOTALL)
    assert of_job
    allowed = set(re.findall(r"'(\w+)'", of_job[0]))
    assert allowed - NEVER_MADE == {state.value for state in set(JobState) - OF_ATTEMPTS}
    assert set(re.findall(r"state = '(\w+)'", attempt[0])) == {s.value for s in OF_ATTEMPTS}
    assert {s.value for s in PilotState} == set(re.findall(r"'([A-Z]\w+)'", pilot[0]))


@pytest.mark.parametrize("database", DATABASES)
def test_what_sql_moves_by_itself_is_a_move_of_the_table(database: str) -> None:
    sql = load(database)

    for name, (old, event) in MOVES.items():
        said = re.findall(r"'([A-Z]\w*)'", sql[name])
        assert set(said) == {old.value, TRANSITIONS[old, event].value}, name


def test_no_other_statement_gives_an_attempt_a_state() -> None:
    """An attempt that ends has none: it is its job that has one then, as a parameter."""
    sql = load("sqlite")
    changed = {
        name
        for name, text in sql.items()
        if re.search(r"(UPDATE|INSERT INTO) attempt\b", text)
        and set(re.findall(r"'(\w+)'", text.partition("WHERE")[0])) & {s.value for s in JobState}
    }

    assert changed == set(MOVES)


def test_each_event_of_a_job_is_used_by_the_code_or_by_sql() -> None:
    code = "\n".join(
        entry.read_text(encoding="utf-8")
        for folder in ("jobs", "dispatch")
        for entry in Path(str(files("pilotage.central") / folder)).rglob("*.py")
    )
    used = set(re.findall(r"\bJobEvent\.(\w+)", code)) | {event.name for _, event in MOVES.values()}

    assert used == {event.name for event in JobEvent}
