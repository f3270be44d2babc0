"""What can go wrong between a submitter and the central, one class for each way to react.

`Refused` and its subclasses come from an answer of the central; the others say that there was
none, or that none was asked for.
"""

from collections.abc import Mapping

from pilotage.proto.problems import Code


class ClientError(Exception):
    """Base of everything that this client raises on purpose."""


class Unreachable(ClientError):
    """No answer within the client's patience. Whether it took effect is not known; try again with
    the same idempotency key."""

    def __init__(self, url: str, what: str, why: str) -> None:
        super().__init__(f"no answer from {url} to {what}: {why}")
        self.url, self.why = url, why


class NoCentral(ClientError):
    """Nobody said where the central is, or the local one is not running."""


class NoneRuns(NoCentral):
    """No central runs on this machine's data directory now; one that restarts is there soon.

    `soon`: one starts there, or waits to lead; it takes seconds.
    """

    def __init__(self, message: str, *, soon: bool = False) -> None:
        super().__init__(message)
        self.soon = soon


class UnsafeCredentials(ClientError):
    """A file with a token can be read by others. Nothing was sent; chmod it and renew the token."""

    def __init__(self, path: str, mode: int) -> None:
        super().__init__(
            f"{path} has mode {mode:04o}: a file with a token must be 0600 (chmod 600 {path})"
        )
        self.path, self.mode = path, mode


class UnreadableCredentials(ClientError):
    """A file with a token is missing or is not what it should be."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class TimedOut(ClientError):
    """What was waited for did not happen in time. It goes on all the same."""

    def __init__(self, what: str, timeout_s: float, left: int) -> None:
        super().__init__(f"{what}: {left} not finished after {timeout_s:g} s")
        self.timeout_s, self.left = timeout_s, left


class JobsHeld(ClientError):
    """What was waited for has not ended: all that is left is Held, until somebody releases it.

    `held` says which jobs, and why each of them is.
    """

    def __init__(self, held: Mapping[int, str]) -> None:
        job, why = next(iter(held.items()))
        first = f"job {job} is Held" + (f": {why}" if why else "")
        more = f"; so are {len(held) - 1} more" if len(held) > 1 else ""
        super().__init__(first + more)
        self.held = dict(held)


class BadAnswer(ClientError):
    """The answer is not what a central of this version says; is the URL right?"""

    def __init__(self, url: str, what: str, why: str) -> None:
        super().__init__(f"{url} answered {what} with something else than a central: {why}")


class BadDownload(ClientError):
    """What arrived has another hash than what the job kept. Nothing was written; try again."""

    def __init__(self, name: str, wanted: str, found: str) -> None:
        super().__init__(f"output {name}: expected sha256 {wanted[:12]}…, received {found[:12]}…")


class UnsafeName(ClientError):
    """An output's name would lead out of the folder that it is written to."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"output {name!r} is not a relative path inside a folder: give a file name"
        )


class StorageTrouble(ClientError):
    """A storage did not do what it was asked for. Another one may."""

    def __init__(self, storage: str, why: str) -> None:
        super().__init__(f"storage {storage}: {why}")
        self.storage, self.why = storage, why


class BadCopy(StorageTrouble):
    """A copy is not what the catalogue says. Nothing was written; another copy may be right."""


class NoStorage(ClientError):
    """No storage can be used for this. The message says which there are."""


class NoCopy(ClientError):
    """No copy of a file could be fetched. The message says of each why."""


class FileThere(ClientError):
    """A file of this machine has other bytes than the one to be fetched to its place."""


class FilesClash(ClientError):
    """Two files that were to be fetched into one folder would be one file there."""


class BadJobFile(ClientError):
    """A job file, or something on the command line that stands for it, is wrong."""

    def __init__(self, where: str, line: int | None, field: str, message: str) -> None:
        place = where if line is None else f"{where}:{line}"
        super().__init__(f"{place}: {field}: {message}" if field else f"{place}: {message}")
        self.where, self.line, self.field, self.message = where, line, field, message


class Refused(ClientError):
    """The central said no, and stored nothing of the request.

    `code` is one of `proto.problems.Code`, `field` the part of the request that is wrong.
    """

    def __init__(self, code: str, message: str, field: str = "", status: int = 0) -> None:
        # One of many things must be told apart; else a message is a sentence of its own.
        place = field.removeprefix("$.")
        many = "[" in place or place.startswith("line ")
        said = f"{place}: {message}" if many and place not in message else message
        super().__init__(said.removeprefix("$."))
        self.code, self.message, self.field, self.status = code, message, field, status


class Invalid(Refused):
    """The request is malformed, too large, or has a wrong value. Correct it; do not repeat it."""


class NotAuthenticated(Refused):
    """There is no token, or it is wrong, revoked or expired. Fetch a new one."""


class Forbidden(Refused):
    """The token is good, but its role does not reach this far."""


class OverQuota(Refused):
    """An owner, group or community has used its quota. Make room first; do not repeat it."""


class NotFound(Refused):
    """There is no such thing, or the token may not see it."""


class KeyReused(Refused):
    """This idempotency key belongs to an earlier request with another body."""


class CountChanged(Refused):
    """Another number of jobs matches now than was expected. Count again, then decide again."""


class IllegalState(Refused):
    """The thing is in a state in which this cannot be done."""


class TooManyRequests(Refused):
    """Slow down; the client has already waited as long as its patience allows."""


class StoreFull(Refused):
    """The central's disk is full: it accepts nothing new and loses nothing."""


class Unavailable(Refused):
    """The central cannot answer now, and has not within the client's patience."""


_KINDS: dict[str, type[Refused]] = {
    Code.MALFORMED.value: Invalid,
    Code.INVALID.value: Invalid,
    Code.TOO_LARGE.value: Invalid,
    Code.NOT_ALLOWED.value: Invalid,
    Code.NO_TOKEN.value: NotAuthenticated,
    Code.BAD_TOKEN.value: NotAuthenticated,
    Code.EXPIRED_TOKEN.value: NotAuthenticated,
    Code.FORBIDDEN.value: Forbidden,
    Code.OVER_QUOTA.value: OverQuota,
    Code.NOT_FOUND.value: NotFound,
    Code.KEY_REUSED.value: KeyReused,
    Code.COUNT_CHANGED.value: CountChanged,
    Code.ILLEGAL_STATE.value: IllegalState,
    Code.TOO_MANY.value: TooManyRequests,
    Code.STORE_FULL.value: StoreFull,
    Code.UNAVAILABLE.value: Unavailable,
    Code.NOT_LEADER.value: Unavailable,
}


def refusal(code: str, message: str, field: str, status: int) -> Refused:
    """Return the exception for a problem that the central named; unknown ones are plain Refused."""
    return _KINDS.get(code, Refused)(code, message, field, status)
