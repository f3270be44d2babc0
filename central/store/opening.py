"""Steps that make a store ready when it is opened."""

from collections.abc import Callable
from typing import Final

from .session import Session

Chunk = Callable[[Session], bool]
OpeningStep = Callable[[Session], None]

_unfinished: Final[list[Chunk]] = []
_unnamed: Final[list[OpeningStep]] = []


def removes_unfinished(step: Chunk) -> Chunk:
    """Mark a verb that removes unfinished rows, and returns whether more may exist.

    The leader runs it when it opens the store, one call in each transaction, until a call returns
    False.
    """
    _unfinished.append(step)
    return step


def removes_unnamed(step: OpeningStep) -> OpeningStep:
    """Mark a verb that removes rows to which no other row refers.

    It runs once when a store is opened, if no other process can know the ids of these rows.
    """
    _unnamed.append(step)
    return step


def make_ready(session: Session, at: float) -> None:
    """Give a new store its generation, and remove unfinished rows."""
    session.begin()
    session.run("make_generation", {"at": at})
    session.commit()
    for chunk in _unfinished:
        more = True
        while more:
            session.begin()
            more = chunk(session)
            session.commit()
    session.generation = session.one("get_generation")[0]


def remove_unnamed(session: Session) -> None:
    """Remove rows to which no other row refers."""
    for step in _unnamed:
        session.begin()
        step(session)
        session.commit()
