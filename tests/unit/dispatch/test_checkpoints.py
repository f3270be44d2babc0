"""Which checkpoint the next attempt is given, and how it is told of."""

import dataclasses

import msgspec

from pilotage.central.dispatch.turns.checkpoints import left, with_input
from pilotage.central.jobs.definition.rendering import body_of
from pilotage.central.jobs.record_types import AttemptRow
from pilotage.matcher.types import Grant
from pilotage.proto.documents.job import Input, Job
from pilotage.proto.messages import CHECKPOINT_FILE, Body, How, InputFile, Output


def an_attempt(epoch: int, *kept: str, round: int = 1) -> AttemptRow:
    """Return an attempt that left a checkpoint with each of these first digits of its hash."""
    return AttemptRow(
        attempt_id=epoch,
        job_id=7,
        epoch=epoch,
        round=round,
        pilot="p",
        session=1,
        ask=1,
        site="PIC",
        element="ce",
        host="wn",
        grant=Grant(1, 1, 1, 1.0),
        state=None,
        live=False,
        open=False,
        wanted=None,
        matched_at=1.0,
        started_at=1.0,
        ended_at=2.0,
        how=How.DRAINED,
        exit_code=None,
        detail="",
        isolation="",
        usage=None,
        outputs=(
            Output(".pilotage/stdout", "0" * 64, 5),
            *(Output(CHECKPOINT_FILE, digit * 64, 10_240) for digit in kept),
        ),
        progress=(),
    )


def found(attempts: list[AttemptRow], epoch: int) -> str:
    return "".join(one.sha256[0] for one in left(attempts, epoch))


def test_the_newest_before_it_comes_first_whatever_was_lost_between() -> None:
    attempts = [an_attempt(1, "a"), an_attempt(2, "b"), an_attempt(3), an_attempt(4)]

    assert found(attempts, 4) == "ba"


def test_nothing_of_a_later_attempt_or_of_another_round_is_taken() -> None:
    attempts = [
        an_attempt(1, "a"),
        an_attempt(2, "b", round=2),
        an_attempt(3, "c", round=2),
        an_attempt(4, "d", round=2),
    ]

    assert found(attempts, 3) == "b"
    assert found(attempts, 2) == "", "a round begins anew"
    assert found(attempts, 9) == "", "an attempt that is not known has no round"


def test_it_is_the_last_input_and_all_else_stays_as_it_is() -> None:
    hash_of = "e" * 64
    job = Job(
        command=("run", "é\u2028"),
        checkpoint="state",
        inputs=(Input(name="a", sha256=hash_of, size_bytes=3),),
    )
    body = body_of(job, "maria")
    file = InputFile(CHECKPOINT_FILE, hash_of, 10_240, unpack=True)
    got = msgspec.json.decode(with_input(msgspec.Raw(msgspec.json.encode(body)), file), type=Body)

    assert got == dataclasses.replace(body, inputs=(*body.inputs, file))
