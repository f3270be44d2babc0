"""What is done to a store before it is used."""

from collections.abc import Callable
from typing import Final

from .session import Session

Step = Callable[[Session], bool]

_unfinished: Final[list[Step]] = []
_unnamed: Final[list[Step]] = []


def removes_unfinished(step: Step) -> Step:
    """Mark a verb that removes unfinished rows, and returns whether there may be more.

    Each process that writes runs it when it opens the store, once a transaction, until it
    returns False.
    """
    _unfinished.append(step)
    return step


def removes_unnamed(step: Step) -> Step:
    """Mark a verb that removes rows that no other row names.

    An opening runs it once, where no other process can know the ids of these rows.
    """
    _unnamed.append(step)
    return step


def make_ready(session: Session, at: float) -> None:
    """Give a new store its generation, and remove what never finished."""
    session.begin()
    session.run("make_generation", {"at": at})
    session.commit()
    for step in _unfinished:
        while _run(session, step):
            pass
    session.generation = session.one("get_generation")[0]


def remove_unnamed(session: Session) -> None:
    """Remove rows that no other row names."""
    for step in _unnamed:
        _run(session, step)


def _run(session: Session, step: Step) -> bool:
    session.begin()
    more = step(session)
    session.commit()
    return more
