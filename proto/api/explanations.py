"""Why a job waits, and why a pilot gets nothing: the answers."""

from typing import Any, Final

from .bodies import ReplyStruct as _Out

ROOM_ASKED_MAX: Final = 2_048  # fitting offers of a job that are asked for their free room


class Obstacle(_Out, frozen=True):
    """A clause, and how many live offers it excludes."""

    clause: str
    wanted: str
    excludes: int
    best: str = ""  # the nearest value of any live offer
    would_fit: int = 0  # offers that would fit without this clause


class Advice(_Out, frozen=True):
    """A change to the job that makes more live offers fit."""

    text: str
    need: int  # index of the need to change, from 0
    change: dict[str, Any]  # new fields of that need, or `group`, `owner`, `type` of the job
    offers: int  # offers that would fit then, with nothing else on them


class Explanation(_Out, frozen=True):
    """Why a job waits. If it does not wait, `notes` has its state, and all counts are 0."""

    job: int | None
    state: str
    offers: int
    fitting: int  # live offers that could run it with nothing else on them
    obstacles: list[Obstacle] = []
    ahead: int = 0  # jobs of its owner before it, for the same offers
    notes: list[str] = []
    groups_ahead: int = 0  # groups of its community that are served first by fair share
    owners_ahead: int = 0  # owners of its group that are served first by fair share
    held: int = 0  # fitting offers where limits or bans stop it now
    with_room: int | None = None  # other fitting offers with room now (at most 2,048 are looked at)
    next_on: int = 0  # offers with room (at most 128) that would take this job next
    advice: list[Advice] = []


class OfferObstacle(_Out, frozen=True):
    """A clause, and how many waiting jobs it excludes."""

    clause: str
    excludes: int
    would_fit: int = 0  # jobs that would fit without this clause


class OfferExplanation(_Out, frozen=True):
    """Why an offer gets no job, or what it would get."""

    pilot: str
    waiting: int
    fitting: int  # jobs that it could run with its free resources
    obstacles: list[OfferObstacle] = []
    held: int = 0  # fitting jobs that limits or bans stop there now
    notes: list[str] = []
    when_empty: int | None = None  # jobs that it could run with nothing on it
