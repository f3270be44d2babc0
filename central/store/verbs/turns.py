"""What pilots say and are given in one turn: a transaction writes the turns of many of them."""

from collections.abc import Sequence
from itertools import islice

from ..engine import joined_by
from ..records import Change, JobBody, NewAttempt
from .jobs import change, change_all
from .matching import Matches, Room, match
from .session import Session
from .writer import Joint

Written = tuple[list[bool], list[JobBody | None]]


class Turn(Joint):
    """Changes of attempts, then matches; the order among pilots is nobody's business."""

    __slots__ = ("changes", "matches")

    def __init__(
        self,
        changes: Sequence[Change] = (),
        attempts: Sequence[NewAttempt] = (),
        room: Room | None = None,
    ) -> None:
        self.changes, self.matches = changes, Matches(attempts, room)

    def __call__(self, session: Session) -> Written:
        won = change(session, self.changes) if self.changes else []
        return won, match(session, [self.matches])[0]

    @classmethod
    def together(cls, session: Session, several: "Sequence[Turn]") -> list[Written]:
        won = iter(change_all(session, [one for turn in several for one in turn.changes]))
        given = match(session, [turn.matches for turn in several])
        return [
            (list(islice(won, len(turn.changes))), bodies)
            for turn, bodies in zip(several, given, strict=True)
        ]


@joined_by(Turn)
def turn(
    session: Session,
    changes: Sequence[Change],
    attempts: Sequence[NewAttempt],
    room: Room | None = None,
) -> Written:
    """Write what a pilot's turn says and is given, in one transaction: `change`, then `match`.

    Changes are applied in order, each a compare-and-set by itself. Each match is judged by itself:
    its body is None where the job was not Waiting at that epoch; an attempt of an earlier epoch
    that is still open is closed. `room` is given the bodies of the jobs, and says how many of the
    first attempts are written; the others are left alone, and are not in the answer. It may be
    called twice.
    """
    return Turn(changes, attempts, room)(session)
