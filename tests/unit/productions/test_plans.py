"""What an action changes of a production and its steps, as tables."""

import pytest
from msgspec.structs import replace

from pilotage.central.errors import Refused
from pilotage.central.productions.plans import caught_up, more, planned
from pilotage.central.productions.record import ProductionRow, StepRow
from pilotage.central.productions.states import verdict
from pilotage.central.transformations.record import TransformationRow
from pilotage.proto.api.productions import ProductionAction, ProductionActionName as A
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.production_states import FINAL, PRODUCTIONS, START, ProductionState as P
from pilotage.proto.transformation_states import TransformationState as S
from tests.state_tables import unreachable

# The steps: make has no inputs, pair is fed by it, all by pair; look queries the catalogue.
TABLE = """
    action    production  make        pair        all         look        →  production  make        pair        all         look
    start     New         New         New         New         New            Active      Active      Active      Active      Active
    pause     Active      Active      Completing  Active      Completed      Paused      Paused      Paused      Paused      Completed
    resume    Paused      Paused      Paused      Completed   Active         Active      Active      Active      Completed   Active
    resume    New         New         New         New         New            Active      Active      Active      Active      Active
    resume    Active      Completed   Paused      Active      Active         Active      Completed   Active      Active      Active
    resume    Stopped     Stopped     Stopped     Completed   Stopped        Active      Active      Active      Completed   Active
    stop      Active      Active      Paused      Completing  Completed      Stopped     Stopped     Stopped     Stopped     Completed
    archive   Completed   Completed   Completed   Cleaned     Archived       Archived    Archived    Archived    Cleaned     Archived
    clean     Paused      Paused      Completed   Stopped     Cleaned        Cleaning    Cleaning    Cleaning    Cleaning    Cleaned
    pause     Paused      Paused      Active      Paused      Paused         Paused      Paused      Paused      Paused      Paused
    extend    Completed   Completed   Completed   Completed   Completed      Active      Active      Active      Active      Completed
    extend    Active      Active      Completing  Active      Active         Active      Active      Active      Active      Active
    extend    Paused      Completed   Completed   Paused      Paused         Paused      Paused      Paused      Paused      Paused
    extend    Stopped     Completed   Stopped     Stopped     Stopped        Stopped     Stopped     Stopped     Stopped     Stopped
"""  # noqa: E501
STEPS = {"make": (), "pair": (0,), "all": (1,), "look": ()}
DOCS = {10 + place: Transformation(name="p", job=Job(command=("x",))) for place in range(4)}


def a_production(state: P) -> ProductionRow:
    return ProductionRow(
        production_id=1, community="ctao", group="sim", owner_id=1, name="p", title="", state=state,
        reason="", sha256="", priority=None, rerun_of=None, made_at=0.0, changed_at=0.0,
    )  # fmt: skip


def steps_in(states: list[S], *, closing: frozenset[str] = frozenset()) -> list[StepRow]:
    return [
        StepRow(
            production_id=1,
            place=place,
            step=step,
            parents=STEPS[step],
            row=TransformationRow(
                transformation_id=place + 10, community="ctao", group="sim", owner_id=1,
                name=f"p-{step}", state=state, reason="", doc=b"", parent_id=None,
                tasks_wanted=4 if step == "make" else 0, tasks_made=0, scouts_until=0, scouted=b"",
                closing=step in closing, flushing=False, seeded=True, seed_place="", made_at=0.0,
                changed_at=0.0, judged_from=0.0,
            ),
        )
        for place, (step, state) in enumerate(zip(STEPS, states, strict=True))
    ]  # fmt: skip


def rows() -> list[list[str]]:
    return [[str(word) for word in line.split()] for line in TABLE.strip().splitlines()[1:]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: "-".join(row[:3]))
def test_an_action_moves_a_production_and_its_steps_together(row: list[str]) -> None:
    name, old, *rest = row
    before, new, after = [S(one) for one in rest[:4]], P(rest[4]), [S(one) for one in rest[5:]]
    action = ProductionAction(action=A(name))
    if name == "extend":
        action = ProductionAction(action=A.EXTEND, step="make", tasks=6, was=4)
    plan = planned(a_production(P(old)), steps_in(before), action, at=1.0, docs=DOCS)
    moved = {move.transformation_id: move for move in plan.steps}

    assert plan.move is None or (plan.move.old, plan.move.new) == (P(old), new)
    assert plan.move is not None or (P(old), before) == (new, after)
    found = [moved[i + 10].new if i + 10 in moved else state for i, state in enumerate(before)]
    assert found == after
    assert [moved[i + 10].old for i in range(4) if i + 10 in moved] == [
        state for i, state in enumerate(before) if i + 10 in moved
    ]


@pytest.mark.parametrize(
    ("action", "production", "states", "why"),
    [
        (A.RESUME, P.COMPLETED, [S.COMPLETED] * 4, "a production that is Completed cannot be res"),
        (A.ARCHIVE, P.ACTIVE, [S.COMPLETED] * 4, "a production that is Active cannot be archived"),
        (A.ARCHIVE, P.STOPPED, [S.STOPPED, S.ACTIVE, S.STOPPED, S.STOPPED], "step pair is Active"),
        (A.PAUSE, P.CLEANED, [S.CLEANED] * 4, "a production that is Cleaned cannot be paused"),
        (A.EXTEND, P.ARCHIVED, [S.ARCHIVED] * 4, "a production that is Archived cannot be given"),
        (A.COMPLETE, P.NEW, [S.NEW] * 4, "a production that is New cannot be completed"),
    ],
)
def test_what_cannot_be_is_refused(action: A, production: P, states: list[S], why: str) -> None:
    with pytest.raises(Refused, match=why):
        planned(a_production(production), steps_in(states), ProductionAction(action=action), at=1.0)


def test_complete_closes_the_steps_that_look_for_files_alone() -> None:
    action = ProductionAction(action=A.COMPLETE)
    plan = planned(a_production(P.ACTIVE), steps_in([S.ACTIVE] * 4), action, at=1.0)

    assert [(one.transformation_id, one.new, one.closing) for one in plan.steps] == [
        (13, S.ACTIVE, True)
    ]
    again = steps_in([S.ACTIVE] * 4, closing=frozenset({"look"}))
    assert planned(a_production(P.ACTIVE), again, action, at=1.0).move is None


@pytest.mark.parametrize("works", [S.ACTIVE, S.COMPLETING, S.PAUSED, S.STOPPED])
def test_complete_refuses_a_step_while_a_step_that_feeds_it_is_not_at_its_end(works: S) -> None:
    steps = steps_in([S.COMPLETED, works, S.ACTIVE, S.ACTIVE])
    action = ProductionAction(action=A.COMPLETE, step="all")
    with pytest.raises(Refused) as why:
        planned(a_production(P.ACTIVE), steps, action, at=1.0)
    assert why.value.message == (
        f"step: step pair is {works.value}, and step all would continue without the files that "
        "pair still makes: wait until pair is Completed, or add `anyway`"
    )

    anyway = planned(a_production(P.ACTIVE), steps, replace(action, anyway=True), at=1.0)
    assert [(one.transformation_id, one.closing) for one in anyway.steps] == [(12, True)]
    over = steps_in([S.COMPLETED, S.COMPLETED, S.ACTIVE, S.ACTIVE])
    assert len(planned(a_production(P.ACTIVE), over, action, at=1.0).steps) == 1
    again = steps_in([S.COMPLETED, works, S.ACTIVE, S.ACTIVE], closing=frozenset({"all"}))
    assert planned(a_production(P.ACTIVE), again, action, at=1.0).move is None, "it was said before"


@pytest.mark.parametrize(
    ("states", "closing", "revived"),
    [
        ([S.ACTIVE, S.COMPLETED, S.COMPLETED, S.ACTIVE], "", {11, 12}),
        ([S.ACTIVE, S.COMPLETING, S.ACTIVE, S.ACTIVE], "", {11}),
        ([S.COMPLETED, S.COMPLETING, S.ACTIVE, S.ACTIVE], "", set[int]()),
        ([S.ACTIVE, S.COMPLETED, S.COMPLETED, S.ACTIVE], "pair", set[int]()),
        ([S.COMPLETED] * 4, "", set[int]()),
    ],
)
def test_steps_that_had_closed_go_on_when_those_above_work_again(
    states: list[S], closing: str, revived: set[int]
) -> None:
    plan = caught_up(a_production(P.ACTIVE), steps_in(states, closing=frozenset({closing})), at=1.0)

    assert {one.transformation_id for one in plan.steps} == revived
    assert all(one.new is S.ACTIVE and one.seed_anew for one in plan.steps)


@pytest.mark.parametrize(
    ("production", "states", "leads_to"),
    [
        (P.ACTIVE, [S.COMPLETED] * 4, P.COMPLETED),
        (P.ACTIVE, [S.COMPLETED, S.ARCHIVED, S.CLEANED, S.COMPLETED], P.COMPLETED),
        (P.ACTIVE, [S.COMPLETED, S.PAUSED, S.COMPLETED, S.COMPLETED], None),
        (P.PAUSED, [S.COMPLETED] * 4, None),
        (P.COMPLETED, [S.COMPLETED, S.ACTIVE, S.COMPLETED, S.COMPLETED], P.ACTIVE),
        (P.COMPLETED, [S.COMPLETED] * 4, None),
        (P.CLEANING, [S.CLEANED, S.CLEANING, S.CLEANED, S.CLEANED], None),
        (P.CLEANING, [S.CLEANED] * 4, P.CLEANED),
    ],
)
def test_a_production_is_what_its_steps_are(
    production: P, states: list[S], leads_to: P | None
) -> None:
    found = verdict(production, steps_in(states))

    assert (PRODUCTIONS[production, found[0]] if found else None) is leads_to


def test_what_is_fixed_works_again_with_all_below_it() -> None:
    steps = steps_in([S.COMPLETED] * 4)
    plan = more(a_production(P.COMPLETED), steps, [steps[1]], reason="so", at=1.0)

    assert {one.transformation_id: one.new for one in plan.steps} == {11: S.ACTIVE, 12: S.ACTIVE}
    assert plan.move is not None
    assert plan.move.new is P.ACTIVE
    braked = steps_in([S.PAUSED, S.ACTIVE, S.ACTIVE, S.ACTIVE])
    plan = more(a_production(P.ACTIVE), braked, [braked[0]], reason="so", at=1.0)
    assert [(one.new, one.judge_anew) for one in plan.steps] == [(S.ACTIVE, True)]


@pytest.mark.parametrize(
    ("tasks", "said", "production", "reason"),
    [
        (4, "", P.PAUSED, None),  # as many as there are, of a step that works: nothing to write
        (6, "", P.PAUSED, "lunch"),
        (6, "more", P.PAUSED, "more"),
        (6, "", P.COMPLETED, ""),  # why it was Completed is not why it is Active
    ],
)
def test_more_keeps_why_a_production_stands(
    tasks: int, said: str, production: P, reason: str | None
) -> None:
    row = replace(a_production(production), reason="lunch")
    action = ProductionAction(action=A.EXTEND, step="make", tasks=tasks, was=4, reason=said)
    steps = steps_in([S.PAUSED, S.PAUSED, S.PAUSED, S.PAUSED])
    plan = planned(row, steps, action, at=1.0, docs=DOCS)

    assert (plan.move.reason if plan.move is not None else None) == reason
    fixed = more(row, steps_in([S.COMPLETED] * 4), steps[:1], reason="", at=1.0)
    assert fixed.move is not None
    assert fixed.move.reason == ("lunch" if production is P.PAUSED else "")


def test_each_state_is_reached_and_nothing_leaves_the_last() -> None:
    assert unreachable(PRODUCTIONS, START) == set()
    assert {old for old, _ in PRODUCTIONS} & FINAL == set()
