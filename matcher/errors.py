"""What can go wrong in the matcher."""


class MatcherError(Exception):
    """Base of the errors of this room."""


class BadTags(MatcherError):
    """A tag expression does not read. The submitter has to correct it; `position` counts from 1."""

    def __init__(self, text: str, position: int, problem: str) -> None:
        super().__init__(f"tags {text!r}, position {position}: {problem}")
        self.text, self.position, self.problem = text, position, problem


class UnknownClass(MatcherError):
    """Jobs came for a class that was not made known before. Call `add_class` first."""

    def __init__(self, class_id: int) -> None:
        super().__init__(f"class {class_id} is not known to the matcher: add it before its jobs")
        self.class_id = class_id
