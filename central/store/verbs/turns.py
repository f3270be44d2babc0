"""What pilots say and are given in one turn: a transaction writes the turns of many of them."""

from collections.abc import Sequence
from itertools import islice

from ..protocol import Room
from ..records import Change, JobBody, NewAttempt
from .jobs import change, change_all
from .matching import Matches, match
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
