"""One job that is out: pending for an offer, or running."""

import msgspec

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
    part: float = 0.0  # of what it asks for that it is charged with; 0: not yet known

    @property
    def asked_core_s(self) -> float:
        """What it would be charged with if it took all the time that it asks for."""
        return (self.charged_cores or self.cores) * self.wall_s

    @property
    def core_s(self) -> float:
        """What it was charged with when it was matched."""
        return self.asked_core_s * self.part

    def charge_of(self, used_core_s: float) -> float:
        """Return the charge for what its own cores were really used."""
        if not self.charged_cores or not self.cores:
            return used_core_s
        return used_core_s * self.charged_cores / self.cores

    @property
    def ends_at(self) -> float:
        """When it must have ended."""
        return self.at + self.wall_s
