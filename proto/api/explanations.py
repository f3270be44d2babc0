"""Why a job waits, and why a pilot gets nothing: the answers."""

from typing import Any, Final

from .bodies import ReplyStruct as _Out

ROOM_ASKED_MAX: Final = 2_048  # of the offers that fit a job: they are asked what is free now


class Obstacle(_Out, frozen=True):
    """One clause and how many of the live offers it excludes, alone or with others."""

    clause: str
    wanted: str
    excludes: int
    best: str = ""  # the nearest that any live offer has
    would_fit: int = 0  # offers that would fit if this clause alone were met


class Advice(_Out, frozen=True):
    """A change to the job with which more of the live offers would fit."""

    text: str
    need: int  # which of the needs changes, from 0
    change: dict[str, Any]  # fields of that need, or `group`, `owner`, `type` of the job
    offers: int  # that would fit then, with nothing else on them


class Explanation(_Out, frozen=True):
    """Why a job waits, or that it does not: then its state is in the notes and all else is 0."""

    job: int | None
    state: str
    offers: int
    fitting: int  # live offers that fit when nothing else is on them
    obstacles: list[Obstacle] = []
    ahead: int = 0  # jobs of its owner before it, among those that the same offers could run
    notes: list[str] = []
    groups_ahead: int = 0  # of its community that wait and are served before by their shares
    owners_ahead: int = 0  # of its group that wait and are served before by their shares
    held: int = 0  # of the fitting offers: those where limits or bans let it not start now
    with_room: int | None = None  # of those, 2 048 at most: enough is free there now
    next_on: int = 0  # of those with room (128 at most): a match now would give it this job
    advice: list[Advice] = []


class OfferObstacle(_Out, frozen=True):
    """One clause and how many of the waiting jobs it keeps from an offer."""

    clause: str
    excludes: int
    would_fit: int = 0  # jobs that would fit if this clause alone were met


class OfferExplanation(_Out, frozen=True):
    """Why an offer gets nothing, or what it would get."""

    pilot: str
    waiting: int  # jobs of its community
    fitting: int  # those that it could run with what is free now
    obstacles: list[OfferObstacle] = []
    held: int = 0  # of the fitting jobs: those that limits or bans let not start there now
    notes: list[str] = []
    when_empty: int | None = None  # jobs that it could run if nothing were on it
