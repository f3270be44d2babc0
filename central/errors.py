"""What a service refuses, in terms that a face can hand on without looking inside."""

from pilotage.proto.problems import STATUS, Code


class Refused(Exception):
    """The request cannot be carried out; nothing of it was stored.

    `field` names the part of the request that is wrong, where there is one.
    """

    def __init__(self, code: Code, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.field = code, message, field

    @property
    def status(self) -> int:
        return STATUS[self.code]
