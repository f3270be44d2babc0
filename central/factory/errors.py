"""What can go wrong with a compute element, by what the factory has to do about it."""

import difflib
import enum


class ElementOperation(str, enum.Enum):
    """What was being done at an element when it failed."""

    REACH = "reach"
    CREDENTIAL = "credential"
    AUTHORISE = "authorise"
    SUBMIT = "submit"
    STATES = "states"
    CANCEL = "cancel"
    OUTPUT = "output"


class ElementTrouble(Exception):
    """A call of an element failed as a whole; the message names the element's own words."""

    def __init__(self, step: ElementOperation, why: str) -> None:
        super().__init__()
        self.step = step
        self.say(why)

    def say(self, why: str) -> None:
        """Say it in other words."""
        self.why, self.args = why, (f"{self.step.value}: {why}",)


class ElementUnreachable(ElementTrouble):
    """No answer that can be understood, or none in time: what was asked may have happened.

    What is not known is not nothing: submit no more until the element has said what it has.
    """


class Denied(ElementTrouble):
    """The element has understood and will not: nothing has happened. Somebody has to mend that."""


class CredentialExpired(Denied):
    """What the element knows us by has run out, or its source gives no new one."""

    def __init__(self, why: str, ended_at: float | None = None) -> None:
        super().__init__(ElementOperation.CREDENTIAL, why)
        self.ended_at = ended_at  # wall clock; None: there is none that says so


class BadOptions(ValueError):
    """The configuration of an element does not read; the message names the field and the value."""


class NoSuchDriver(BadOptions):
    """No driver has this name. `why`: the same without the field that names it."""

    def __init__(self, kind: str, known: list[str]) -> None:
        near = difflib.get_close_matches(kind, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        self.why = f"there is no driver {kind!r}; there are {', '.join(known)}{hint}"
        super().__init__(f"kind: {self.why}")
