"""The tables of transformations, tasks and inputs, against DIRAC's meaning, as stories."""

import pytest

from pilotage.proto.state_machine import IllegalTransition
from pilotage.proto.transformation_states import (
    INPUT_START,
    INPUTS,
    START,
    TASK_START,
    TASKS,
    TRANSFORMATIONS,
    InputEvent,
    InputState,
    TaskEvent,
    TaskState,
    TransformationEvent,
    TransformationState,
    next_input,
    next_task,
    next_transformation,
)
from tests.state_tables import unreachable

ENDED = frozenset(TaskState) - {TASK_START}

TRANSFORMATION_STORIES = {
    "from the first file to the archive": "New START Active LAST_INPUT Completing ALL_ENDED"
    " Completed ARCHIVE Archived CLEAN Cleaning EMPTIED Cleaned",
    "a person pauses it and lets it go on": "Active PAUSE Paused RESUME Active",
    "too many tasks fail": "Active BRAKE Paused RESUME Active",
    "it is stopped for good": "Paused STOP Stopped ARCHIVE Archived",
    "it is stopped and goes on": "Completing STOP Stopped RESUME Active",
    "it is extended after its end": "Completed MORE Active LAST_INPUT Completing",
    "an input is done anew while the last ones run": "Completing MORE Active",
    "more work is for later while it is paused": "Paused MORE Paused",
}

# What DIRAC's setTransformationStatus lets pass and what no sense can be made of.
TRANSFORMATION_NEVER = """
    New         PAUSE RESUME STOP LAST_INPUT ALL_ENDED ARCHIVE EMPTIED BRAKE
    Active      START RESUME ARCHIVE ALL_ENDED EMPTIED
    Paused      PAUSE LAST_INPUT ALL_ENDED ARCHIVE START
    Completed   PAUSE STOP RESUME ALL_ENDED START
    Archived    START RESUME MORE PAUSE STOP
    Cleaning    START RESUME MORE PAUSE STOP CLEAN ARCHIVE
    Cleaned     START RESUME MORE PAUSE STOP CLEAN ARCHIVE EMPTIED
"""

INPUT_STORIES = {
    "processed at the second try": "Unused ASSIGN Assigned TASK_FAILED Unused ASSIGN Assigned"
    " TASK_DONE Processed",
    "failed as often as it may, and a person tries again": "Assigned TASK_FAILED_LAST Stuck"
    " RESET Unused",
    "done anew on purpose": "Processed REPLAY Unused",
    "what was made of it is lost": "Processed OUTPUTS_LOST Unused ASSIGN Assigned",
    "what was made of it is there all the same": "Stuck OUTPUTS_FOUND Processed",
    "its data are bad": "Assigned BAD_DATA Problematic RESET Unused",
    "its storage was away": "Assigned NOT_THERE Missing RESET Unused",
    "a companion was at fault": "Assigned TASK_SPARED Unused",
    "a derived transformation goes on with it": "Unused DERIVE Moved",
    "it failed when another one had been derived": "Assigned TASK_FAILED_MOVED Moved",
    "it was removed from the catalogue": "Stuck REMOVE Removed",
    "it was registered again": "Stuck REMOVE Removed BACK Unused",
    "a side input": "Shared REMOVE Removed BACK_BESIDE Shared",
}

# Processed is sticky, Stuck is left by a person alone, what a task has nobody else gets.
INPUT_NEVER = """
    Processed   ASSIGN TASK_DONE TASK_FAILED RESET REMOVE DERIVE BAD_DATA NOT_THERE
    Stuck    ASSIGN TASK_FAILED TASK_DONE REPLAY
    Assigned    ASSIGN RESET REPLAY REMOVE DERIVE OUTPUTS_LOST OUTPUTS_FOUND
    Unused      TASK_DONE TASK_FAILED REPLAY RESET
    Problematic ASSIGN REPLAY TASK_DONE
    Moved       ASSIGN RESET REPLAY DERIVE REMOVE
    Removed     ASSIGN RESET REPLAY DERIVE
    Shared      ASSIGN RESET REPLAY DERIVE TASK_DONE
"""

# DIRAC: a job's end to its task and its files (Completed is a job's Done whose requests are left).
TASK_TABLE = """
    JOB_DONE    Done
    JOB_FAILED  Failed
    JOB_KILLED  Killed
    JOB_GONE    Lost
"""


@pytest.mark.parametrize("story", TRANSFORMATION_STORIES)
def test_lives_of_transformations(story: str) -> None:
    words = TRANSFORMATION_STORIES[story].split()

    for old, event, new in zip(words[::2], words[1::2], words[2::2], strict=False):
        moved = next_transformation(TransformationState(old), TransformationEvent[event])
        assert moved is TransformationState(new), f"{old} {event}"


@pytest.mark.parametrize("story", INPUT_STORIES)
def test_lives_of_inputs(story: str) -> None:
    words = INPUT_STORIES[story].split()

    for old, event, new in zip(words[::2], words[1::2], words[2::2], strict=False):
        assert next_input(InputState(old), InputEvent[event]) is InputState(new), f"{old} {event}"


def test_a_task_ends_once_as_its_job_does() -> None:
    for event, new in (line.split() for line in TASK_TABLE.strip().splitlines()):
        assert next_task(TASK_START, TaskEvent[event]) is TaskState(new)
        for state in ENDED:
            with pytest.raises(IllegalTransition):
                next_task(state, TaskEvent[event])


@pytest.mark.parametrize("line", TRANSFORMATION_NEVER.strip().splitlines())
def test_no_transformation_moves_otherwise(line: str) -> None:
    state, *events = line.split()

    for event in events:
        with pytest.raises(IllegalTransition, match=f"that is {state} cannot"):
            next_transformation(TransformationState(state), TransformationEvent[event])


@pytest.mark.parametrize("line", INPUT_NEVER.strip().splitlines())
def test_no_input_moves_otherwise(line: str) -> None:
    state, *events = line.split()

    for event in events:
        with pytest.raises(IllegalTransition):
            next_input(InputState(state), InputEvent[event])


def test_all_states_can_be_reached() -> None:
    assert unreachable(TRANSFORMATIONS, START) == set()
    assert unreachable(TASKS, TASK_START) == set()
    assert unreachable(INPUTS, INPUT_START) == set(), "side inputs begin as Shared"


def test_a_task_that_has_ended_moves_with_its_outputs_alone() -> None:
    for state in ENDED - {TaskState.DONE}:
        assert next_task(state, TaskEvent.OUTPUTS_FOUND) is TaskState.DONE
        with pytest.raises(IllegalTransition):
            next_task(state, TaskEvent.OUTPUTS_LOST)
    assert next_task(TaskState.DONE, TaskEvent.OUTPUTS_LOST) is TaskState.FAILED
    with pytest.raises(IllegalTransition):
        next_task(TaskState.DONE, TaskEvent.OUTPUTS_FOUND)


def test_whatever_is_not_cleaned_can_be() -> None:
    able = {old for (old, event) in TRANSFORMATIONS if event is TransformationEvent.CLEAN}

    assert able == set(TransformationState) - {
        TransformationState.CLEANING,
        TransformationState.CLEANED,
    }
