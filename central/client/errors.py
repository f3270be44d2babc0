"""Errors of the client, with one class for each way to react.

The central has answered with `Refused` or one of its subclasses. The other errors mean that there
was no answer, or no request.
"""

from collections.abc import Mapping, Sequence

from pilotage.proto.problems import Code


class ClientError(Exception):
    """Base class of the errors of this client."""


class Unreachable(ClientError):
    """No answer within the patience of the client.

    The request may have taken effect. Try again with the same idempotency key.
    """

    def __init__(self, url: str, what: str, why: str) -> None:
        super().__init__(f"no answer from {url} to {what}: {why}")
        self.url, self.why = url, why


class NoCentral(ClientError):
    """No URL of a central is known, and no local central is running."""


class NoneRuns(NoCentral):
    """No central is running for the local data directory.

    `soon`: a central is starting there, or stands by. It answers within seconds.
    """

    def __init__(self, message: str, *, soon: bool = False) -> None:
        super().__init__(message)
        self.soon = soon


class UnsafeCredentials(ClientError):
    """Other users can read a file with a token. Nothing was sent. Change its mode, and renew it."""

    def __init__(self, path: str, mode: int) -> None:
        super().__init__(
            f"{path} has mode {mode:04o}: a file with a token must be 0600 (chmod 600 {path})"
        )
        self.path, self.mode = path, mode


class UnsafeLogins(ClientError):
    """Other users can exchange the files of logins. Nothing was sent. Make the folder private."""

    def __init__(self, folder: str, why: str) -> None:
        super().__init__(
            f"{folder} {why}: other users could exchange your logins in it; make it yours"
            f" (chown), and close it to them (chmod go-w {folder})"
        )
        self.folder = folder


class UnreadableCredentials(ClientError):
    """A file with a token is missing or malformed."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


class TimedOut(ClientError):
    """The awaited jobs, pilots or production did not end in time. They continue."""

    def __init__(self, what: str, timeout_s: float, left: int) -> None:
        super().__init__(f"{what}: {left} not finished after {timeout_s:g} s")
        self.timeout_s, self.left = timeout_s, left


class LoginRefused(ClientError):
    """The person, the provider or the central refused a login."""


class JobsHeld(ClientError):
    """The remaining awaited jobs are Held: they continue only after a person releases them.

    `held` has these jobs, with the reason for each.
    """

    def __init__(self, held: Mapping[int, str]) -> None:
        job, why = next(iter(held.items()))
        first = f"job {job} is Held" + (f": {why}" if why else "")
        more = f"; so are {len(held) - 1} more" if len(held) > 1 else ""
        super().__init__(first + more)
        self.held = dict(held)


class CallFailed(ClientError):
    """The job of a Python function has no result. `said` is the end of its standard error."""

    def __init__(self, job: int, why: str, said: str = "") -> None:
        super().__init__(f"job {job}: {why}" + (f"\n{said}" if said else ""))
        self.job, self.said = job, said


class BadAnswer(ClientError):
    """The answer is not from a central of this version. Check the URL."""

    def __init__(self, url: str, what: str, why: str) -> None:
        super().__init__(
            f"the answer of {url} to {what} is not from a central: {why}; check the URL"
        )


class BadDownload(ClientError):
    """A downloaded output has a wrong hash. Nothing was written. Try again."""

    def __init__(self, name: str, wanted: str, found: str) -> None:
        super().__init__(f"output {name}: expected sha256 {wanted[:12]}…, received {found[:12]}…")


class UnsafeName(ClientError):
    """The name of an output leads out of the target folder."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"output {name!r} is not a relative path inside a folder: give a file name"
        )


class StorageTrouble(ClientError):
    """A storage failed. Another one may work."""

    def __init__(self, storage: str, why: str) -> None:
        super().__init__(f"storage {storage}: {why}")
        self.storage, self.why = storage, why


class NoCredential(StorageTrouble):
    """The central gave no credential for a storage, so nothing was sent there."""


class BadCopy(StorageTrouble):
    """A copy differs from the catalogue. Nothing was written. Another copy may be right."""


class NoStorage(ClientError):
    """No storage fits the request. The message names the storages."""


class NotStored(ClientError):
    """Some files were not stored. The message has the reasons. The others are registered."""


class NoCopy(ClientError):
    """No copy of a file could be fetched. The message has the reason for each copy."""


class FileThere(ClientError):
    """The target file exists with other bytes."""


class FilesClash(ClientError):
    """Two files have the same place in the target folder."""


class NotWritten(ClientError):
    """A local file cannot be written. Repeat the request after a correction: it goes on."""


class MissingPackage(ClientError):
    """The request needs a Python package that is not installed. The message names it."""


class BadJobFile(ClientError):
    """A job file, or the part of the command line in its place, is wrong."""

    def __init__(self, where: str, line: int | None, field: str, message: str) -> None:
        place = where if line is None else f"{where}:{line}"
        super().__init__(f"{place}: {field}: {message}" if field else f"{place}: {message}")
        self.where, self.line, self.field, self.message = where, line, field, message


class BadDescription(ClientError):
    """A description in JDL is wrong; nothing was stored. Each line has one mistake."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = list(lines)


class Refused(ClientError):
    """The central refused the request, and stored nothing of it.

    `code` is one of `proto.problems.Code`. `field` is the wrong part of the request.
    """

    def __init__(self, code: str, message: str, field: str = "", status: int = 0) -> None:
        # Name the place only if the request has several items; otherwise the message is enough.
        place = field.removeprefix("$.")
        many = "[" in place or place.startswith("line ")
        said = f"{place}: {message}" if many and place not in message else message
        super().__init__(said.removeprefix("$."))
        self.code, self.message, self.field, self.status = code, message, field, status


class Invalid(Refused):
    """The request is malformed, too large, or has a wrong value. Correct it; do not repeat it."""


class NotAuthenticated(Refused):
    """The token is missing, wrong, revoked or expired. Get a new one."""


class Forbidden(Refused):
    """The token is valid, but its role does not allow this."""


class PersonBanned(Refused):
    """An operator has banned you from this central. The message names the operator to ask."""


class OverQuota(Refused):
    """An owner, group or community has used its quota. Make room first; do not repeat it."""


class NotFound(Refused):
    """The object does not exist, or the token may not see it."""


class KeyReused(Refused):
    """This idempotency key belongs to an earlier request with another body."""


class CountChanged(Refused):
    """The number of matching jobs is not the expected one. Count and decide again."""


class IllegalState(Refused):
    """The state of the object does not allow this."""


class TooManyRequests(Refused):
    """Too many requests, even after the client has waited for all of its patience."""


class StoreFull(Refused):
    """The disk of the central is full. It accepts no new data, and loses none."""


class Unavailable(Refused):
    """The central could not answer within the patience of the client."""


_KINDS: dict[str, type[Refused]] = {
    Code.MALFORMED.value: Invalid,
    Code.INVALID.value: Invalid,
    Code.TOO_LARGE.value: Invalid,
    Code.NOT_ALLOWED.value: Invalid,
    Code.NO_TOKEN.value: NotAuthenticated,
    Code.BAD_TOKEN.value: NotAuthenticated,
    Code.EXPIRED_TOKEN.value: NotAuthenticated,
    Code.FORBIDDEN.value: Forbidden,
    Code.BANNED.value: PersonBanned,
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
    """Return the exception for a problem of the central. Unknown codes give Refused."""
    return _KINDS.get(code, Refused)(code, message, field, status)
