"""What a service refuses, in terms that a face can hand on without looking inside."""

from pilotage.proto.decoding.nesting import TOO_DEEP
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


class DependencyUnavailable(Exception):
    """What the central needs for an answer is not there now: no bug, and nobody's fault.

    Whether anything was written is not known: the caller repeats its request as it was.
    """


class Misdirected(Refused):
    """Another process keeps the queue: nothing was done here. `leader`: its URL, if it is known."""

    def __init__(self, leader: str = "") -> None:
        where = f"at {leader}" if leader else "and which one is not known now"
        super().__init__(Code.NOT_LEADER, f"another process keeps the queue, {where}")
        self.leader = leader


class TooDeep(Refused):
    """JSON is nested deeper than anything that we take. `where`: its path within the request."""

    def __init__(self, where: str) -> None:
        super().__init__(Code.MALFORMED, f"{where} is {TOO_DEEP}", field=where)


class BlobMismatch(Refused):
    """The bytes have another hash than the one that they were announced under."""

    def __init__(self, sha256: str, found: str) -> None:
        super().__init__(
            Code.INVALID, f"the bytes have the hash {found}, not {sha256}", field="sha256"
        )


class BlobTooLarge(Refused):
    """More bytes than the limit, or than was announced."""

    def __init__(self, sha256: str, size_max: int) -> None:
        super().__init__(Code.TOO_LARGE, f"blob {sha256} has more than {size_max} bytes")


class BlobNotFound(Refused):
    """No such blob, or none that this caller may read."""

    def __init__(self, sha256: str) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no blob {sha256}")


class NoSpace(Refused):
    """The disk is full. Nothing of the file was kept; try again when there is room."""

    def __init__(self, why: str) -> None:
        super().__init__(Code.STORE_FULL, f"no space is left: {why}")


def printable(name: str) -> str:
    r"""Return the name of a file as JSON can carry it: bytes that are not UTF-8 as `\xff`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
