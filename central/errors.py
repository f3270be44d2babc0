"""Errors of services. A face can pass them on as they are."""

from pilotage.proto.decoding.nesting import TOO_DEEP
from pilotage.proto.problems import STATUS, Code


class Refused(Exception):
    """The request cannot be carried out; nothing was stored.

    `field` names the wrong part of the request, or is empty.
    """

    def __init__(self, code: Code, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.field = code, message, field

    @property
    def status(self) -> int:
        return STATUS[self.code]


class DependencyUnavailable(Exception):
    """A service that the central needs (database, disk) is not available now.

    The caller cannot know whether anything was written. It repeats the same request.
    """


class Misdirected(Refused):
    """Another process keeps the queue; nothing was done here. `leader`: its URL, if known."""

    def __init__(self, leader: str = "") -> None:
        where = f"at {leader}" if leader else "at an unknown address"
        super().__init__(Code.NOT_LEADER, f"another process keeps the queue, {where}")
        self.leader = leader


class TooDeep(Refused):
    """The JSON is nested too deeply. `where`: its path within the request."""

    def __init__(self, where: str) -> None:
        super().__init__(Code.MALFORMED, f"{where} is {TOO_DEEP}", field=where)


class BlobMismatch(Refused):
    """The bytes have another hash than the announced one."""

    def __init__(self, sha256: str, found: str) -> None:
        super().__init__(
            Code.INVALID, f"the bytes have the hash {found}, not {sha256}", field="sha256"
        )


class BlobTooLarge(Refused):
    """There are more bytes than the limit, or than announced."""

    def __init__(self, sha256: str, size_max: int) -> None:
        super().__init__(Code.TOO_LARGE, f"blob {sha256} has more than {size_max} bytes")


class BlobNotFound(Refused):
    """There is no such blob, or this caller may not read it."""

    def __init__(self, sha256: str) -> None:
        super().__init__(Code.NOT_FOUND, f"there is no blob {sha256}")


class NoSpace(Refused):
    """The disk is full. The file was not kept; try again when there is room."""

    def __init__(self, why: str) -> None:
        super().__init__(Code.STORE_FULL, f"no space is left on the disk: {why}")


def printable(name: str) -> str:
    r"""Return the name of a file as JSON can carry it: bytes that are not UTF-8 become `\xff`."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
