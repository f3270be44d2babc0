"""The progress of productions in words. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

from pilotage.proto.api.productions import Eta, ProductionView, StepView
from pilotage.proto.production_states import ProductionState, stands_alone
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from ...workflows.draw import DrawnStep
from ..presentation import files_in_words, number
from ..times import time_of
from .waiting_steps import GOES_ON, steps_to_complete

S = TransformationState
P = ProductionState
_STUCK: Final = {
    InputState.STUCK: ("failed too often", "failed too often"),
    InputState.PROBLEMATIC: ("is bad", "are bad"),
    InputState.MISSING: ("cannot be read", "cannot be read"),
}
_RESET: Final = (InputState.STUCK, InputState.MISSING)  # states that `fix` retries by default
SUCCESS: Final = "success"  # of a run of a CWL document
_STUCK_MARKS: Final = frozenset({"stuck", "waits for a person"})  # now, and in release 0.1
_WITHOUT: Final = "made without "  # prefix of the reason of a step that lacks some inputs
_EXACT: Final = 1e-9  # tolerance of rounding, so that 1 of 4 is 25 %
_OVER: Final = (S.COMPLETED, S.ARCHIVED, S.CLEANED)


def state_in_words(view: ProductionView) -> str:
    """Return the state with the marks."""
    return view.state.value + (f" ({', '.join(view.marks)})" if view.marks else "")


def percent(part: float) -> str:
    """Return a fraction in percent. It is 100 % only if the fraction is 1."""
    return f"{100 if part >= 1.0 else min(99, int(part * 100 + 1e-9))} %"


def how_far(view: ProductionView, now: datetime) -> str:
    """Return the progress of a production, and when it will be complete."""
    text = f"{percent(view.progress)} done"
    if view.eta is not None:
        text += f", complete {eta_in_words(view.eta, now)}"
    return text


def eta_in_words(eta: Eta, now: datetime) -> str:
    """Return the expected end and its interval, in local time."""
    at, low, high = (time_of(one).astimezone() for one in (eta.at, eta.low, eta.high))
    days = {one.date() for one in (at, low, high)} | {now.astimezone().date()}
    form = "%H:%M" if len(days) == 1 else "%d %b %H:%M"
    return f"about {at:{form}} ({low:{form}} to {high:{form}})"


def tasks_in_words(step: StepView) -> str:
    """Return the number of tasks that are done, and of all expected tasks."""
    done = step.tasks.get(TaskState.DONE, 0)
    if step.tasks_expected is None:
        return f"{number(done)}/?"
    about = "" if step.expected_exactly else "≈ "
    return f"{number(done)}/{about}{number(step.tasks_expected)}"


def stuck_files(step: StepView, *, of: Iterable[InputState] = tuple(_STUCK)) -> int:
    """Return the number of stuck files."""
    return sum(step.inputs.get(state, 0) for state in of)


def why_it_is_stuck(step: StepView, production: ProductionState) -> str:
    """Return why a step is stuck until a user acts; empty if it continues by itself."""
    if production in (P.ARCHIVED, P.CLEANING, P.CLEANED):
        return ""
    if stands_alone(step.state, production):
        return step.reason or f"it is {step.state.value.lower()}"
    files = [
        f"{files_in_words(count)} {words[count != 1]}"
        for state, words in _STUCK.items()
        if (count := step.inputs.get(state, 0))
    ]
    if files:
        return " and ".join([", ".join(files[:-1]), files[-1]] if len(files) > 1 else files)
    if step.state is S.COMPLETED and step.reason:
        return "" if step.reason.startswith(_WITHOUT) else step.reason
    return step.reason if lacks_inputs(step) else step.unfit


def is_only_unfit(step: StepView, production: ProductionState) -> bool:
    """Return whether a step waits only because no pilot fits: one may come by itself."""
    return bool(step.unfit) and why_it_is_stuck(step, production) == step.unfit


def is_excused(view: ProductionView, step: StepView) -> bool:
    """Return whether all later steps may run without the files that this one has not made.

    A step that takes single files passes its missing files on to the steps after it.
    """
    fed = [one for one in view.steps if step.step in one.parents]
    return bool(fed) and all(
        lost_part(view, one) <= one.allow_partial + _EXACT
        or (not one.reason and is_excused(view, one))
        for one in fed
    )


def lost_part(view: ProductionView, step: StepView) -> float:
    """Return the missing part of the inputs of a step, from 0 to 1, for the worst input."""
    parts = [0.0]
    for one in view.steps:
        if one.step not in step.parents:
            continue
        lost, of = stuck_files(one), sum(one.inputs.values())
        if one.tasks_wanted:
            lost, of = one.tasks.get(TaskState.FAILED, 0), one.tasks_wanted
        mine = lost / of if of else 0.0
        parts.append(1.0 - (1.0 - mine) * (1.0 - lost_part(view, one)))
    return max(parts)


def made_without(view: ProductionView) -> list[str]:
    """Return lines about the steps that are done without some of their inputs."""
    return [
        f"step {one.step}: {one.reason}"
        for one in view.steps
        if one.state is S.COMPLETED and one.reason.startswith(_WITHOUT)
    ]


def waits_in_words(view: ProductionView) -> list[str]:
    """Return lines about steps that make no tasks now, but continue by themselves."""
    return [
        f"step {one.step} {one.reason}"
        for one in view.steps
        if view.state is P.ACTIVE
        and one.state in (S.ACTIVE, S.COMPLETING)
        and one.reason.startswith(GOES_ON)
    ]


def lacks_inputs(step: StepView) -> bool:
    """Return whether a step waits because it lacks more inputs than it allows."""
    return step.state is S.ACTIVE and not _STUCK_MARKS.isdisjoint(step.marks)


def without_missing(view: ProductionView) -> list[str]:
    """Return the commands that let steps continue without their missing inputs."""
    return [
        f"pilotage prod complete {view.name} --step {one.step}"
        for one in view.steps
        if lacks_inputs(one)
    ]


def what_stays(view: ProductionView) -> str:
    """Return what remains of an archived or cleaned production; empty for others."""
    if view.state is P.ARCHIVED:
        return "its files stay in the catalogue, and its name is free"
    if view.state is P.CLEANING:
        return "its jobs and files are being removed; then its name is free"
    if view.state is P.CLEANED:
        return "its files were removed from the catalogue, and its name is free"
    return ""


def words_of(step: StepView) -> str:
    """Return the progress of a step: its tasks, running and failed ones, and an unusual state."""
    running, waiting = running_and_waiting(step)
    counts = ((running, "run"), (waiting, "wait"), (step.tasks.get(TaskState.FAILED, 0), "failed"))
    more = [f"{number(count)} {word}" for count, word in counts if count]
    if step.state not in (S.ACTIVE, S.COMPLETING, S.COMPLETED):
        more.append(step.state.value.lower())
    elif not step.tasks_made and not any(step.inputs.values()) and step.parents:
        if step.state is not S.COMPLETED:
            more.append("waits for files")
    return ", ".join([f"{tasks_in_words(step)} done", *more])


def running_and_waiting(step: StepView) -> tuple[int, int]:
    """Return how many tasks of a step run, and how many wait for a pilot."""
    left = step.tasks.get(TaskState.CREATED, 0)
    running = step.tasks_running
    if running is None:  # from an older central
        running = 0 if step.unfit else left
    running = min(running, left)  # some may have ended between the two counts
    return running, left - running


def node_of(step: StepView, production: ProductionState) -> DrawnStep:
    """Return how to draw a step."""
    why = why_it_is_stuck(step, production)
    look: Literal["", "over", "stuck", "waits"] = ""
    if why:
        look = "waits" if is_only_unfit(step, production) else "stuck"
    if not why and step.state in _OVER:
        look = "over"
    expected = max(step.tasks_expected or 0, 1)
    files = sum(step.inputs.values())
    lost = stuck_files(step) / files if files else 0.0
    if not files:
        lost = step.tasks.get(TaskState.FAILED, 0) / expected
    done = min(step.done, 1.0 - lost) if lost else step.done
    return DrawnStep(words_of(step), done=max(0.0, done), failed=lost, look=look, why=why)


def next_command(view: ProductionView) -> str:
    """Return the command to type next; empty if there is none."""
    correct = f"pilotage prod submit FILE --name {view.name} --correct"
    if view.state is P.NEW:
        return f"pilotage prod start {view.name}"
    if view.state in (P.PAUSED, P.STOPPED):
        return f"pilotage prod resume {view.name}"
    if view.state is P.ARCHIVED:  # by its id: another production may have the name by now
        return f"pilotage prod clean {view.id}, if its files should be removed too"
    if view.state in (P.CLEANING, P.CLEANED):
        return ""
    if any(stuck_files(one) for one in view.steps):  # `fix` also resumes paused steps
        bad = not any(stuck_files(one, of=_RESET) for one in view.steps)
        more = " --problematic" if bad else ""
        return (
            f"pilotage prod report {view.name}, then pilotage prod fix {view.name}{more}; or, "
            f"after a mistake in the file: correct it, then {correct}"
        )
    if view.state is P.ACTIVE and any(stands_alone(one.state, P.ACTIVE) for one in view.steps):
        return (
            f"pilotage prod report {view.name}, then pilotage prod resume {view.name}; or, "
            f"after a mistake in the file: correct it, then {correct}"
        )
    if without_missing(view):
        return without_missing(view)[0]
    if steps_to_complete(view):
        return f"pilotage prod complete {view.name}, if no more files of the catalogue come"
    unfit = [one.unfit_job for one in view.steps if one.unfit_job is not None]
    if view.state is P.ACTIVE and unfit:
        return f"pilotage explain {unfit[0]}"
    if view.state is P.ACTIVE:
        return f"pilotage prod wait {view.name}"
    if view.run == SUCCESS:
        return f"pilotage prod output {view.name}"
    if view.run is not None:
        return f"pilotage prod output {view.name}, then correct the file and {correct}"
    fed = {parent for one in view.steps for parent in one.parents}
    last = [one for one in view.steps if one.step not in fed and one.outputs]
    return f"pilotage data find dataset={last[-1].outputs}" if last else ""
