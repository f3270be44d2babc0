"""One job that is out: pending for an offer, or running."""

import msgspec

from ..types import Grant
from .fair_shares import ShareNode
from .running_limits import Limit
from .submission_caps import Cap


class MatchedJob(msgspec.Struct, gc=False):
    """One job that is out. A reference to it closes no circle, so the collector need not look."""

    owner: ShareNode
    class_id: int
    pilot: str
    site: str
    element: str
    grant: Grant
    at: float  # when it was matched
    limits: tuple[Limit, ...]
    is_running: bool = False
    cap: Cap | None = None  # of its submission
    part: float = 0.0  # of what it asks for that it is charged with; 0: not yet known

    @property
    def ends_at(self) -> float:
        """When it must have ended."""
        return self.at + self.grant.wall_s
