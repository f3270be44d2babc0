"""Mistakes in descriptions in JDL, with their places."""

from collections.abc import Sequence
from typing import Final

from ..errors import WorkflowError

NAMED_MAX: Final = 50  # mistakes of one file that are named


class BadJdl(WorkflowError):
    """A description has mistakes; nothing is stored. Each line of the message has one mistake."""

    def __init__(self, lines: Sequence[str]) -> None:
        more = len(lines) - NAMED_MAX
        shown = [*lines[:NAMED_MAX], *([f"and {more} more mistakes"] if more > 0 else [])]
        super().__init__("\n".join(shown))
        self.lines = list(lines)


class Mistakes:
    """The mistakes of a text that are found so far."""

    def __init__(self, where: str, text: str) -> None:
        self.where, self._text = where, text
        self._found: dict[tuple[int, str], None] = {}  # each once, though many jobs have it

    def add(self, at: int, message: str) -> None:
        """Note a mistake at a character of the text."""
        self._found[at, message] = None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._found)

    def place(self, at: int) -> str:
        """Return the place of a character: FILE:LINE:COLUMN, both from 1 on."""
        line, column = self._text.count("\n", 0, at) + 1, at - self._text.rfind("\n", 0, at)
        return f"{self.where}:{line}:{column}"

    def check(self) -> None:
        """Raise BadJdl with all mistakes, in the order of their places, if there are any."""
        if self._found:
            raise BadJdl([f"{self.place(at)}: {message}" for at, message in sorted(self._found)])
