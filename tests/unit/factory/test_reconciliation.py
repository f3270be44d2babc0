"""What the word of an element does to pilots, as a table."""

from dataclasses import dataclass

import pytest

from pilotage.central.factory.element import Slot, SlotState
from pilotage.central.factory.reconciliation import (
    FactoryTimeouts,
    ReconcileResult,
    SlotHistory,
    nameless,
    reconcile,
)
from pilotage.central.pilots.record_slots import SlotRow
from pilotage.proto.pilot_states import FINAL, PilotState

S, P = SlotState, PilotState
PATIENCE = FactoryTimeouts()
WALL = 1_000_000.0


@dataclass(frozen=True)
class Case:
    state: PilotState
    said: Slot
    for_s: float = 0.0
    age_s: float = 60.0
    slot: str | None = "7"
    does: str = ""
    because: str = ""
    counts: bool = True
    in_queue: bool = False  # though it is not counted on
    is_silent: bool = False


CASES: dict[str, Case] = {
    "it waits": Case(P.WAITING, Slot(S.QUEUED), does="queued"),
    "it has just started": Case(P.WAITING, Slot(S.RUNNING), for_s=60, does="queued"),
    "it never asks": Case(P.WAITING, Slot(S.RUNNING), 1_000, does="cancel fail", because="1000 s"),
    "it ended at once": Case(
        P.WAITING, Slot(S.ENDED, 20), does="fail", because="with exit code 20"
    ),
    "it is held": Case(
        P.WAITING,
        Slot(S.HELD, why="no such account"),
        does="cancel fail",
        because="account",
        in_queue=True,
    ),
    "it is out of sight": Case(P.WAITING, Slot(S.GONE), for_s=20, does="queued"),
    "it stays out of sight": Case(P.WAITING, Slot(S.GONE), for_s=400, does="fail"),
    "it waits too long": Case(
        P.WAITING,
        Slot(S.QUEUED),
        age_s=7 * 86_400,
        does="cancel abort",
        because="7 days",
        in_queue=True,
    ),
    "it was just submitted": Case(P.SUBMITTED, Slot(S.GONE), slot=None, does="queued"),
    "it was never submitted": Case(
        P.SUBMITTED, Slot(S.GONE), slot=None, age_s=300, does="abort", because="never reached"
    ),
    "it registered, and its element lags": Case(P.RUNNING, Slot(S.QUEUED), does=""),
    "it registered, and its element says it ended": Case(P.RUNNING, Slot(S.ENDED, 0), does=""),
    "it registered, and its element forgot it": Case(P.RUNNING, Slot(S.GONE), 999, does=""),
    "it is lost, and its element says it runs": Case(P.LOST, Slot(S.RUNNING), 999, does=""),
    "it is lost, and has just ended": Case(P.LOST, Slot(S.ENDED), 0, does="", counts=False),
    "it is silent, and its element says it runs": Case(
        P.RUNNING, Slot(S.RUNNING), 999, does="", is_silent=True
    ),
    "it is silent, and has just ended": Case(
        P.DRAINING,
        Slot(S.ENDED, 143),
        0,
        does="silent",
        because="reports its end, with exit code 143",
        counts=False,
        is_silent=True,
    ),
    "it is silent, and out of sight": Case(P.RUNNING, Slot(S.GONE), 299, does="", is_silent=True),
    "it is silent, and stays out of sight": Case(
        P.RUNNING,
        Slot(S.GONE),
        301,
        does="silent",
        because="does not know it",
        counts=False,
        is_silent=True,
    ),
    "it is silent, and its slot is unknown": Case(
        P.RUNNING, Slot(S.GONE), slot=None, does="", is_silent=True
    ),
    "it is lost, and ended long ago": Case(
        P.LOST, Slot(S.ENDED, 137), 301, does="lost", because="exit code 137", counts=False
    ),
    "it is lost, and its element forgot it": Case(P.LOST, Slot(S.GONE), 999, does="", counts=False),
    "it said good-bye": Case(P.DONE, Slot(S.ENDED, 0), does="forget", counts=False),
    "it said good-bye, and its element lags": Case(P.DONE, Slot(S.RUNNING), does=""),
    "it said good-bye, and its batch job runs on": Case(
        P.DONE, Slot(S.RUNNING), age_s=301, does="cancel"
    ),
    "it said good-bye, and waits still": Case(P.DONE, Slot(S.QUEUED), does="cancel", in_queue=True),
    "it failed": Case(P.FAILED, Slot(S.ENDED, 1), does="fetch forget", counts=False),
    "it failed, and is out of sight": Case(P.FAILED, Slot(S.GONE), does="", counts=False),
    "it failed, and nothing is left": Case(
        P.FAILED, Slot(S.GONE), age_s=301, does="forget", counts=False
    ),
    "it failed, and its batch job runs on": Case(P.FAILED, Slot(S.RUNNING), does="cancel"),
    "it was taken back": Case(P.ABORTED, Slot(S.QUEUED), does="cancel", in_queue=True),
    "it never had a slot": Case(P.ABORTED, Slot(S.GONE), slot=None, does="forget", counts=False),
}


def a_row(case: Case) -> SlotRow:
    registered = case.state not in (P.SUBMITTED, P.WAITING, P.FAILED, P.ABORTED)
    return SlotRow(
        pilot="p1",
        community="ctao",
        site="PIC",
        element="slurm",
        shape="8c",
        slot=case.slot,
        state=case.state,
        made_at=WALL - case.age_s,
        registered_at=WALL - 1 if registered else None,
        ended_at=WALL - case.age_s if case.state in FINAL else None,
        host="",
    )


def done(found: ReconcileResult) -> str:
    verbs = ("cancel", "fail", "abort", "silent", "lost", "fetch", "forget", "queued")
    return " ".join(verb for verb in verbs if getattr(found, verb))


@pytest.mark.parametrize("name", CASES)
def test_what_an_element_says(name: str) -> None:
    case = CASES[name]
    seen = SlotHistory()
    said = {} if case.said.state is S.GONE and not case.for_s else {"7": case.said}
    seen.note(said, now=100.0)

    found = reconcile(
        [a_row(case)],
        said,
        seen,
        wall=WALL,
        now=100.0 + case.for_s,
        patience=PATIENCE,
        silent={"p1"} if case.is_silent else (),
    )

    assert done(found) == case.does
    assert (found.pilots, found.leaving) == (int(case.counts), int(case.in_queue))
    assert found.quiet == int(case.counts and (case.is_silent or case.state is P.LOST))
    reasons = [*found.fail.values(), *found.abort.values(), *found.lost.values()]
    reasons += found.silent.values()
    assert case.because in " ".join(reasons)


def test_the_time_counts_from_when_the_word_changed() -> None:
    seen = SlotHistory()
    seen.note({"7": Slot(S.QUEUED)}, 10.0)
    seen.note({"7": Slot(S.QUEUED)}, 20.0)
    waited = seen.for_s("7", 25.0)
    seen.note({"7": Slot(S.RUNNING)}, 30.0)
    ran = seen.for_s("7", 35.0)
    seen.note({}, 40.0)

    assert (waited, ran, seen.since) == (15.0, 5.0, {})


def test_an_end_that_was_told_counts_when_the_element_has_forgotten_it() -> None:
    seen, lost = SlotHistory(), a_row(Case(P.LOST, Slot(S.ENDED)))
    seen.note({"7": Slot(S.RUNNING)}, 0.0)
    seen.note({"7": Slot(S.ENDED, 9, "OUT_OF_MEMORY")}, 10.0)
    seen.note({"7": Slot(S.GONE)}, 100.0)
    said = {"7": Slot(S.GONE)}
    at = [
        reconcile([lost], said, seen, wall=WALL, now=now, patience=PATIENCE).lost
        for now in (390.0, 401.0)
    ]
    seen.note({"7": Slot(S.RUNNING)}, 500.0)

    assert at == [
        {},
        {
            "p1": "lost: it is silent, and its element reports its end, with exit code 9 "
            "(OUT_OF_MEMORY)"
        },
    ]
    assert seen.ends == {}, "it runs after all"


def test_only_pilots_that_live_are_looked_for() -> None:
    rows = [
        a_row(Case(P.SUBMITTED, Slot(S.GONE), slot=None)),
        a_row(Case(P.ABORTED, Slot(S.GONE), slot=None)),
        a_row(Case(P.WAITING, Slot(S.QUEUED))),
    ]

    assert nameless(rows) == ["p1"]
