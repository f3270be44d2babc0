"""What a simulated world raises when a promise is broken."""

from typing import Any


class Violation(Exception):
    """A promise was broken; `kind` says which, the message how."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind
        self.world: Any = None  # in which it happened
