"""One GPU as its vendor's tool tells it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """Empty words and 0: not known."""

    index: str
    uuid: str
    model: str
    vendor: str
    memory_mb: int = 0
    compute_capability: str = ""  # "8.0"
    driver: str = ""  # "535.104.05"
