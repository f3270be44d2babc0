"""The GPUs of a node. They are equal: a mixed node offers only one kind."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpus:
    """The number and the kind of GPUs; empty texts and 0 mean unknown."""

    count: int = 0
    model: str = ""
    vendor: str = ""  # nvidia, amd, intel
    memory_mb: int = 0  # of each GPU
    compute_capability: str = ""  # "8.0"
    driver: str = ""  # "535.104.05"
    devices: tuple[str, ...] = ()  # as the vendor's libraries name them; empty: unknown


NO_GPUS = Gpus()
