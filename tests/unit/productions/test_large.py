"""Large workflows hold up nobody: what is too large, or wrong in many places, is soon refused."""

import threading

import pytest

from pilotage.central.errors import Refused
from pilotage.central.failover.production_rules import rules_for
from pilotage.central.productions import service
from pilotage.central.productions.definition import Definition, check_definition
from pilotage.central.workflows import check
from pilotage.proto.decoding.nearest_words import unknown
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.workflow import Source, Step, StepInput, Workflow

from .served import Served


def _lost(count: int) -> Workflow:
    """Return a workflow of steps that are fed by none that there are, and name none."""
    steps = {
        f"s{i}": Step(
            job=Job(command=(f"{{x{i}}}",)),
            inputs={"p": StepInput(sources=(Source(step=f"t{i}", port="o"),))},
        )
        for i in range(count)
    }
    return Workflow(name="lost", steps=steps)


class _Counted:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self, word: str, known: "list[str]", *, what: str = "key") -> str:
        self.count += 1
        return unknown(word, known, what=what)


def test_too_many_steps_are_refused_before_they_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = _Counted()
    monkeypatch.setattr(check, "unknown", counted)
    with pytest.raises(Refused) as why:
        check_definition(Definition(workflow=_lost(1_500)))
    assert why.value.message == "workflow: found 1500 steps, at most 1000"
    assert counted.count == 0


def test_no_more_is_looked_for_than_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = _Counted()
    monkeypatch.setattr(check, "unknown", counted)
    with pytest.raises(Refused) as why:
        check_definition(Definition(workflow=_lost(900)))
    *lines, last = why.value.message.splitlines()
    assert len(lines) == 20
    assert last == "and more"
    assert counted.count <= 22


def test_of_wrong_rules_of_many_steps_the_first_are_told() -> None:
    step = Step(
        job=Job(command=("x",)),
        failure_rules={"failures": [{"name": "a", "then": [{"do": "retri"}]}]},
    )
    with pytest.raises(Refused) as why:
        rules_for(Workflow(name="w", steps={f"s{i}": step for i in range(300)}), "")
    assert len(why.value.message.splitlines()) == 20


@pytest.mark.parametrize(("steps", "beside"), [(1, False), (100, True)])
async def test_a_large_workflow_is_looked_at_beside_the_loop(
    steps: int, beside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def looked(definition: Definition) -> None:
        threads.append(threading.get_ident())

    monkeypatch.setattr(service, "check_definition", looked)
    one = Step(job=Job(command=("x",)), tasks=1)
    await Served().added(Workflow(name="w", steps={f"s{n}": one for n in range(steps)}))
    assert threads
    assert (threading.get_ident() not in threads) is beside
