"""One GPU, as its vendor's tool reports it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """A GPU. Empty texts and 0 mean unknown."""

    index: str
    uuid: str
    model: str
    vendor: str
    memory_mb: int = 0
    compute_capability: str = ""  # "8.0"
    driver: str = ""  # "535.104.05"
