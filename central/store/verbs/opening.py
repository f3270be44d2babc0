"""What is done to a store before it is used."""

from typing import Final

from .retention import remove_unnamed_classes
from .session import Session
from .submissions import drop_some

CLASSES_FORGOTTEN_MAX: Final = 20_000  # that a start removes, if no job names them


def make_ready(session: Session, at: float) -> None:
    """Give a new store its generation, and remove what never finished."""
    session.begin()
    session.run("make_generation", {"at": at})
    session.commit()
    for (submission_id,) in session.rows("arriving_submissions"):
        while _drop_some(session, submission_id):
            pass
    session.generation = session.one("get_generation")[0]


def forget_classes(session: Session) -> None:
    """Remove classes that no job names: only now it is certain that nobody knows their ids."""
    session.begin()
    remove_unnamed_classes(session, CLASSES_FORGOTTEN_MAX)
    session.commit()


def _drop_some(session: Session, submission_id: int) -> bool:
    session.begin()
    more = drop_some(session, submission_id)
    session.commit()
    return more
