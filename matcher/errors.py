"""The errors of the matcher."""

from typing import Final

_SHOWN_MAX: Final = 60


class MatcherError(Exception):
    """The base of the errors of this room."""


class BadTags(MatcherError):
    """A tag expression is not valid: the submitter must correct it. `position` counts from 1."""

    def __init__(self, text: str, position: int, problem: str) -> None:
        super().__init__(f"tags {_around(text, position)!r}, position {position}: {problem}")
        self.text, self.position, self.problem = text, position, problem


def _around(text: str, position: int) -> str:
    """Return a text for a message; of a long one, the part around a position."""
    if len(text) <= _SHOWN_MAX:
        return text
    start = max(0, min(position - 1 - _SHOWN_MAX // 2, len(text) - _SHOWN_MAX))
    end = start + _SHOWN_MAX
    return "..." * (start > 0) + text[start:end] + "..." * (end < len(text))


class UnknownClass(MatcherError):
    """Jobs arrived for an unknown class. Call `add_class` first."""

    def __init__(self, class_id: int) -> None:
        super().__init__(f"class {class_id} is not known to the matcher: add it before its jobs")
        self.class_id = class_id
