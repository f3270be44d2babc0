"""A job that is not waiting any more: pending for an offer, or running."""

import msgspec

from ..types import Grant
from .fair_shares import ShareNode
from .running_limits import Limit
from .submission_caps import SubmissionCap


class ActiveJob(msgspec.Struct, gc=False):
    """A pending or running job.

    It is in no reference cycle, so the garbage collector can skip it.
    """

    owner: ShareNode
    class_id: int
    pilot: str
    site: str
    element: str
    grant: Grant
    at: float  # when it was matched
    limits: tuple[Limit, ...]
    is_running: bool = False
    cap: SubmissionCap | None = None  # of its submission
    part: float = 0.0  # share of its request that it is charged with; 0: not known yet

    @property
    def ends_at(self) -> float:
        """The latest time at which it must have ended."""
        return self.at + self.grant.wall_s
