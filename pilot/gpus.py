"""The GPUs of a node. They are alike: of a mixed node only one kind is offered."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpus:
    """How many there are and what each is; empty words and 0: not known."""

    count: int = 0
    model: str = ""
    vendor: str = ""  # nvidia, amd, intel
    memory_mb: int = 0  # of each
    compute_capability: str = ""  # "8.0"
    driver: str = ""  # "535.104.05"
    devices: tuple[str, ...] = ()  # as the vendor's libraries name them; empty: not known


NO_GPUS = Gpus()
