"""One job that is out: pending for an offer, or running."""

import msgspec

from .caps import Cap
from .limits import Limit
from .shares import Node


class Out(msgspec.Struct, gc=False):
    """One job that is out. A reference to it closes no circle, so the collector need not look."""

    owner: Node
    class_id: int
    pilot: str
    site: str
    element: str
    cores: int
    memory_mb: int
    scratch_mb: int
    wall_s: float
    at: float  # when it was matched
    limits: tuple[Limit, ...]
    gpus: int = 0
    charged_cores: float = 0.0  # 0: those that it has
    is_running: bool = False
    cap: Cap | None = None  # of its submission
    part: float = 0.0  # of what it asks for that it is charged with; 0: not yet known

    @property
    def ends_at(self) -> float:
        """When it must have ended."""
        return self.at + self.wall_s
