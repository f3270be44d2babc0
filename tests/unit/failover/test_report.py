"""What people are told of failures."""

import msgspec
import pytest

from pilotage.central.failover.decisions import Decision, TaskHistory, decide
from pilotage.central.failover.report import (
    FailoverReport,
    FailureCase,
    RemainingWork,
    as_json,
    as_text,
    last_line,
    reports,
    title,
)
from pilotage.central.failover.rules import RuleVerb, default_rules
from pilotage.proto.failures import Evidence, FailureClass
from pilotage.proto.messages import How

RULES = default_rules()
LEFT = {5: RemainingWork(name="dl1-gamma", state="Active", tasks_open=3, inputs_unused=40)}


def case(job: int, how: How, site: str, *, hosts: int = 1, inputs: int = 0) -> FailureCase:
    evidence = Evidence(
        how=how,
        memory_mb=2_000,
        exit_code=1 if how is How.EXITED else None,
        site=site,
        host=f"n{job % 2}",
        detail=f"file {job} of 12 is bad" if how is How.EXITED else "",
    )
    decisions = decide(RULES, evidence, TaskHistory(same_on_hosts=hosts, inputs=inputs))
    failure = decisions[0].failure
    assert failure is not None
    return FailureCase(
        transformation=5,
        job=job,
        failure=failure,
        evidence=evidence,
        decisions=tuple(decisions),
    )


def some() -> list[FailureCase]:
    return [
        case(101, How.MEMORY, "PIC"),
        case(102, How.MEMORY, "PIC"),
        case(103, How.MEMORY, "CSCS"),
        case(104, How.EXITED, "PIC", hosts=2),
        case(105, How.EXITED, "PIC", hosts=2, inputs=1),
    ]


def test_one_report_for_each_cause_and_none_when_all_is_quiet() -> None:
    made = reports(some(), LEFT, cycle=7)

    assert [one.failure for one in made] == [FailureClass.MEMORY, FailureClass.PAYLOAD]
    assert reports([], LEFT, cycle=8) == []
    assert [one.cycle for one in made] == [7, 7]


def test_it_says_what_why_where_what_was_done_what_is_left_and_what_was_saved() -> None:
    memory, payload = reports(some(), LEFT, cycle=7)

    assert title(memory) == "dl1-gamma: 3 failures of class limit.memory"
    assert as_text(memory).splitlines()[2:] == [
        "What    3 attempts of 3 jobs, such as 103, 102, 101",
        "Why     it needed more memory than it was given (family: limit)",
        "Where   PIC 2, CSCS 1",
        "        n1 2, n0 1",
        "Look    pilotage logs 103 --stream stderr",
        "Done    3 x run again with more memory (rule: more memory)",
        "Left    3 tasks open, 40 inputs unused, 0 Problematic, 0 Stuck; it is Active",
        "Saved   3 interventions; none stuck",
    ]
    assert as_text(payload).splitlines()[2:] == [
        "What    2 attempts of 2 jobs, such as 105, 104",
        "Why     it failed by itself, or exceeded its limit of disk, output or processes "
        "(family: payload)",
        "        2 x file N of N is bad",
        "Where   PIC 2",
        "        n0 1, n1 1",
        "Look    pilotage logs 105 --stream stderr",
        "Done    1 x inputs stuck (rule: fails alike on two hosts)",
        "        1 x its input set Problematic (rule: fails alike on two hosts, its input)",
        "Left    3 tasks open, 40 inputs unused, 0 Problematic, 0 Stuck; it is Active",
        "Saved   1 intervention; 1 stuck",
    ]


def test_it_is_the_same_as_json() -> None:
    made = reports(some(), LEFT, cycle=7)[0]

    assert msgspec.json.decode(as_json(made), type=FailoverReport) == made


def acted(do: RuleVerb, failure: FailureClass | None = None, *, dry_run: bool = False) -> Decision:
    return Decision(rule="r", do=do, failure=failure, dry_run=dry_run, why="it was so")


def test_what_was_done_with_a_transformation_stands_with_its_cause_or_by_itself() -> None:
    done = {
        5: [
            acted(RuleVerb.PAUSE, FailureClass.MEMORY),
            acted(RuleVerb.FLUSH),
            acted(RuleVerb.REPORT),
        ]
    }

    made = reports(some(), LEFT, cycle=7, acted=done)

    assert [one.cause for one in made] == ["flush", "limit.memory", "payload"]
    flush, memory, _ = made
    assert title(flush) == "dl1-gamma: flushed (rule: r)"
    assert as_text(flush).splitlines()[2:4] == [
        "Why     it was so",
        "Done    1 x flushed (rule: r)",
    ]
    assert (flush.saved, flush.for_people) == (1, 0)
    assert "1 x transformation paused (rule: r)" in as_text(memory)
    assert (memory.saved, memory.for_people) == (3, 1), "who pauses leaves it to a person"


def test_what_a_rule_only_tries_would_have_been() -> None:
    (made,) = reports([], LEFT, cycle=7, acted={5: [acted(RuleVerb.FLUSH, dry_run=True)]})

    assert title(made) == "dl1-gamma: would have: flushed (rule: r)"
    assert "Tried   1 x would have: flushed (rule: r)" in as_text(made).splitlines()
    assert (made.saved, made.for_people, made.done) == (0, 0, ())


def test_a_job_that_ran_again_and_then_was_left_to_a_person_was_not_saved() -> None:
    first = msgspec.structs.replace(
        case(104, How.MEMORY, "PIC"), decisions=(Decision(rule="the job's own", do=RuleVerb.RETRY),)
    )

    memory, payload = reports([first, case(104, How.EXITED, "PIC", hosts=2)], LEFT, cycle=7)

    assert (memory.saved, payload.saved, payload.for_people) == (0, 0, 1)


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"a\nValueError: no run 7\n\n", "ValueError: no run 7"),
        (b"\x1b[31mred\x1b[0m\r\n", "[31mred [0m"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 1_000, "x" * 200),
    ],
)
def test_the_last_line_of_standard_error_is_one_line_that_can_be_shown(
    stderr: bytes, expected: str
) -> None:
    assert last_line(stderr) == expected
