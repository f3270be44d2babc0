"""Writes the reports and matches of turns. One transaction writes the turns of many pilots."""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from ..jobs.record import change, change_all
from ..jobs.record_rows import body_of, grant_columns
from ..jobs.record_types import AttemptChange, JobBody, NewAttempt
from ..store.engine import joined_by
from ..store.session import Session, json_list
from ..store.writer import JointOperation

Room = Callable[[list[JobBody | None]], int]

_bodies: Final = msgspec.json.Decoder(list[tuple[int, int, str | None, int, int, int, int]])


class Matches(NamedTuple):
    """The matches of one pilot. `room` returns how many of the bodies fit into one answer."""

    attempts: Sequence[NewAttempt]
    room: Room | None = None


def match(session: Session, several: Sequence[Matches]) -> list[list[JobBody | None]]:
    """Write matches. Return the body of each job, None if the match lost a race.

    Matches beyond the room of an answer are not written and are omitted.
    """
    job_ids = [one.job_id for each in several for one in each.attempts]
    if not job_ids:
        return [[] for _ in several]
    # Read first: this brings the database pages into memory that the inserts need.
    found = _runnable(session, job_ids)
    bodies = [[found.get(one.job_id) for one in each.attempts] for each in several]
    written: list[NewAttempt] = []
    for each, its in zip(several, bodies, strict=True):
        if each.room is not None:
            del its[each.room(its) :]
        written += each.attempts[: len(its)]
    lost = _insert(session, written)
    again = [(one.attempt_id,) for one in written if one.epoch > 1]
    if lost:
        again = [row for row in again if row[0] not in lost]
        bodies = [
            [
                None if one.attempt_id in lost else body
                for one, body in zip(each.attempts, its, strict=False)
            ]
            for each, its in zip(several, bodies, strict=True)
        ]
    session.many("close_previous", again)
    return bodies


def _runnable(session: Session, job_ids: Sequence[int]) -> dict[int, JobBody]:
    """Return the bodies of these jobs. The insert checks whether the jobs may run."""
    if len(job_ids) == 1:
        body = _alone(session, job_ids[0])
        return {} if body is None else {body.job_id: body}
    rows = _bodies.decode(session.one("bodies_to_run", (json_list(job_ids),))[0])
    found: dict[int, JobBody] = {}
    for job_id, submission_id, text, *counts in rows:
        if text is None:  # the body is too long for the joint query
            known = _alone(session, job_id)
            if known is not None:
                found[job_id] = known
        else:
            row = (job_id, submission_id, bytes.fromhex(text), *counts)
            found[job_id] = body_of(row, session.template(submission_id))
    return found


def _alone(session: Session, job_id: int) -> JobBody | None:
    row = session.one("body_to_run", (job_id,))
    return None if row is None else body_of(row, session.template(row[1]))


def _insert(session: Session, attempts: Sequence[NewAttempt]) -> frozenset[int]:
    """Write attempts. Return the ids of those that lost a race."""
    rows = [_new_row(session, one) for one in attempts]
    if len(rows) == 1:  # arrays of one value cost PostgreSQL more
        count = session.run("insert_attempt", rows[0]).rowcount
    else:
        count = session.many("insert_attempt", rows)
    return frozenset() if count == len(rows) else _lost(session, attempts)


def _lost(session: Session, attempts: Iterable[NewAttempt]) -> frozenset[int]:
    """Return the ids without a row. No id is used twice, so a row belongs to its match."""
    ids = [one.attempt_id for one in attempts]
    written = {row[0] for row in session.rows("attempts_written", (json_list(ids),))}
    return frozenset(ids) - written


def _new_row(session: Session, one: NewAttempt) -> tuple[object, ...]:
    return (
        one.attempt_id,
        one.job_id,
        one.class_id,
        one.epoch,
        one.pilot,
        one.session,
        one.ask,
        session.site(one.site),
        one.element,
        one.host,
        one.at,
        one.lease_s,
        *grant_columns(one.grant),
    )


ChangedTurns = tuple[list[bool], list[JobBody | None]]


class TurnChanges(JointOperation):
    """Changes of attempts, then matches. The order among pilots does not matter."""

    __slots__ = ("changes", "matches")

    def __init__(
        self,
        changes: Sequence[AttemptChange] = (),
        attempts: Sequence[NewAttempt] = (),
        room: Room | None = None,
    ) -> None:
        self.changes, self.matches = changes, Matches(attempts, room)

    def __call__(self, session: Session) -> ChangedTurns:
        won = change(session, self.changes) if self.changes else []
        return won, match(session, [self.matches])[0]

    @classmethod
    def together(cls, session: Session, several: "Sequence[TurnChanges]") -> list[ChangedTurns]:
        won = iter(change_all(session, [one for turn in several for one in turn.changes]))
        given = match(session, [turn.matches for turn in several])
        return [
            (list(islice(won, len(turn.changes))), bodies)
            for turn, bodies in zip(several, given, strict=True)
        ]


@joined_by(TurnChanges)
def turn(
    session: Session,
    changes: Sequence[AttemptChange],
    attempts: Sequence[NewAttempt],
    room: Room | None = None,
) -> ChangedTurns:
    """Write the changes and the matches of a pilot's turn in one transaction.

    Changes come first, in order; each is a separate compare-and-set. The body of a match is None
    if the job was not Waiting at that epoch, or has other needs by now. A match closes an earlier
    attempt that is still open. `room` gets the bodies of the jobs and returns how many of the
    attempts to write. The others are not written, and have no body in the answer. `room` may be
    called twice.
    """
    return TurnChanges(changes, attempts, room)(session)
