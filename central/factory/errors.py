"""Errors of compute elements, sorted by how the factory reacts."""

import difflib
import enum


class ElementOperation(str, enum.Enum):
    """The operation at an element that failed."""

    REACH = "reach"
    CREDENTIAL = "credential"
    AUTHORISE = "authorise"
    SUBMIT = "submit"
    STATES = "states"
    CANCEL = "cancel"
    OUTPUT = "output"


class ElementTrouble(Exception):
    """A whole call of an element failed; the message has the element's own words."""

    def __init__(self, step: ElementOperation, why: str) -> None:
        super().__init__()
        self.step = step
        self.say(why)

    def say(self, why: str) -> None:
        """Replace the words of the message."""
        self.why, self.args = why, (f"{self.step.value}: {why}",)


class ElementUnreachable(ElementTrouble):
    """The answer was missing, late or unreadable; the call may have had its effect.

    Submit nothing until the element has reported its pilots.
    """


class Denied(ElementTrouble):
    """The element understood and refused, so nothing happened; an operator must act."""


class CredentialExpired(Denied):
    """The credential for the element has expired, or its source gives no new one."""

    def __init__(self, why: str, ended_at: float | None = None) -> None:
        super().__init__(ElementOperation.CREDENTIAL, why)
        self.ended_at = ended_at  # wall clock; None: unknown


class BadOptions(ValueError):
    """The options of an element are wrong; the message names field and value."""


class NoSuchDriver(BadOptions):
    """There is no driver of this name. `why`: the message without its field."""

    def __init__(self, kind: str, known: list[str]) -> None:
        near = difflib.get_close_matches(kind, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        self.why = f"there is no driver {kind!r}; known drivers: {', '.join(known)}{hint}"
        super().__init__(f"kind: {self.why}")
