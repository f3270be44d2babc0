"""States that are written in SQL are those of the tables of states."""

import re
from importlib.resources import files
from typing import Any

import pytest

from pilotage.central.store.migrations import migrations
from pilotage.central.store.queries import load
from pilotage.proto.catalogue import FileState, RemnantState, ReplicaState, RuleState
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

OF_TRANSFORMATIONS = (TransformationState, TaskState, InputState)
OF_FILES = (FileState, ReplicaState, RuleState, RemnantState)
STATES = (JobState, PilotState, *OF_FILES, *OF_TRANSFORMATIONS)
# A job that is matched or runs is Waiting by its own row: its attempt's row says which.
OF_ATTEMPTS = {JobState.MATCHED, JobState.RUNNING}
DATABASES = ("sqlite", "postgresql")


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

    walk(files("pilotage.central.store") / "sql", "")
    return found


TEXTS = _texts()


@pytest.mark.parametrize("path", TEXTS)
def test_a_capitalised_word_in_quotes_is_a_state(path: str) -> None:
    known = {state.value for of in STATES for state in of}

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
    text = TEXTS[f"{database}/migrations/0001_first.sql"]
    job = re.search(r"CREATE TABLE job\b.*?\n\)", text, re.DOTALL)
    attempt = re.search(r"CREATE TABLE attempt\b.*?\n\)", text, re.DOTALL)
    pilot = re.search(r"CREATE TABLE pilot\b.*?\n\)", text, re.DOTALL)
    assert job and attempt and pilot

    of_job = re.search(r"CHECK \(state = 'Waiting' OR.*?\),", job[0], re.DOTALL)
    assert of_job
    assert set(re.findall(r"'(\w+)'", of_job[0])) == {s.value for s in set(JobState) - OF_ATTEMPTS}
    assert set(re.findall(r"state = '(\w+)'", attempt[0])) == {s.value for s in OF_ATTEMPTS}
    assert {s.value for s in PilotState} == set(re.findall(r"'([A-Z]\w+)'", pilot[0]))
