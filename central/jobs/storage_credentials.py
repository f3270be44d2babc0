"""Credentials for storages: of running attempts for their files, and of people for theirs."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from pilotage.proto.catalogue import PUT_FOLDER
from pilotage.proto.problems import Code
from pilotage.proto.storages import (
    PATH_MAX,
    TOKEN_PATHS_MAX,
    SignedUrl,
    StorageOperation,
    StorageTokenReply,
    StorageTokenRequest,
    is_good_path,
)

from ..catalogue import record_read as catalogue_read, record_remnants as remnant_records
from ..catalogue.locality import writable
from ..catalogue.publications import folder_of
from ..catalogue.remnants import RemnantPlace
from ..catalogue.remote.storage_http import (
    RemoteStorages,
    StorageAway,
    StorageRefuses,
    scope_for,
)
from ..catalogue.rights import community_of, writing
from ..catalogue.storages import KEYS, StorageEntry, Storages
from ..catalogue.types.s3 import signed_url
from ..errors import Refused
from ..identity.callers import AttemptCaller, User
from ..identity.policy import Permission, require
from ..identity.scope import Owners
from ..ports import Clock
from ..store.engine import Store
from . import record as job_records
from .attempt_callers import AttemptCallers, over
from .definition.rendering import job_of

LIFE_S: Final = 3_600  # of signed URLs
UNKNOWN_S: Final = 300.0  # after which a token without a known end is asked for again
SCOPES_MAX: Final = 2_500  # characters: many servers take headers of 4 kB
# A part of a path in a scope. Without `%`, which some servers would decode, and find `..`.
_IN_SCOPE: Final = re.compile(r"[!#$&-\[\]-~]+")
_PUT_PART: Final = re.compile("[A-Za-z0-9_-]+")  # the folder of an upload
_SHA256: Final = re.compile("[0-9a-f]{64}")
_PUT_PARTS: Final = 4  # COMMUNITY/put/ANYTHING/NAME


class _Allowed(NamedTuple):
    """What a caller may do: the operation, the paths asked for, and the folder to create in."""

    operation: StorageOperation
    paths: tuple[str, ...]
    folder: str = ""


class StorageCredentials:
    """Gives credentials that are no wider than the files of the caller's request."""

    def __init__(
        self,
        *,
        store: Store,
        attempts: AttemptCallers,
        owners: Owners,
        storages: Storages,
        remote: RemoteStorages | None,
        clock: Clock,
    ) -> None:
        self._store, self._attempts, self._owners = store, attempts, owners
        self._storages = storages
        self._remote, self._clock = remote, clock

    async def give(
        self, caller: User | AttemptCaller, request: StorageTokenRequest
    ) -> StorageTokenReply:
        """Return a credential for one storage.

        Raises Refused: NOT_FOUND (the storage), FORBIDDEN (the attempt is over, or a path is not
        the caller's), NOT_LEADER, INVALID, UNAVAILABLE.
        """
        entry = self._storages.book.storages.get(request.storage)
        if entry is None:
            why = f"storage: found {request.storage[:80]!r}, which is not in force"
            raise Refused(Code.NOT_FOUND, why, field="storage")
        wrong = [one for one in request.paths if not is_good_path(one, PATH_MAX)]
        if wrong or not 0 < len(request.paths) <= TOKEN_PATHS_MAX:
            found = repr(wrong[0][:200]) if wrong else f"{len(request.paths)} paths"
            why = f"paths: found {found}, expected 1 to {TOKEN_PATHS_MAX} paths below the storage"
            raise Refused(Code.INVALID, why, field="paths")
        if isinstance(caller, User):
            allowed = await self._of_user(caller, request)
        else:
            allowed = await self._of_attempt(caller, request)
        try:
            reply = await self._given(request, entry, allowed)
        except StorageAway as why:
            raise Refused(Code.UNAVAILABLE, str(why)) from None
        except StorageRefuses as why:
            raise Refused(Code.ILLEGAL_STATE, str(why), field="storage") from None
        if isinstance(caller, User) and allowed.operation is StorageOperation.CREATE:
            await self._note(caller, request)
        return reply

    async def _note(self, caller: User, request: StorageTokenRequest) -> None:
        """Note the files that a person may store now: the sweeps remove those never registered."""
        owner = await self._owners.get(caller.community, caller)
        places = [
            RemnantPlace(
                storage=request.storage,
                path=path,
                community=owner.community,
                owner_id=owner.owner_id,
                group=next(iter(caller.groups), ""),
            )
            for path in sorted(set(request.paths))
        ]
        at = self._clock.wall()
        await self._store.write(remnant_records.begin_uploads, places, at=at)

    # -- who may do what ------------------------------------------------------------------------

    async def _of_attempt(self, caller: AttemptCaller, request: StorageTokenRequest) -> _Allowed:
        lease = self._attempts.live_lease(caller)
        if (request.job, request.epoch) != (caller.job, caller.epoch):
            raise over(caller)
        if request.operation is StorageOperation.READ:
            inputs = await self._store.read(catalogue_read.inputs_of_job, lease.job)
            ids = list({one.file_id for one in inputs})
            return _Allowed(request.operation, await self._copies(request, ids))
        folder = folder_of(lease.kind.community, self._store.generation, lease.job, lease.epoch)
        _check_below(request.paths, folder)
        bodies = await self._store.read(job_records.bodies, [lease.job])
        body = bodies.get(lease.job)
        data = job_of(body.template, body.body).data if body is not None else None
        outputs = data.outputs if data is not None else ()
        book = self._storages.book
        if not any(request.storage in writable(book, one.storages) for one in outputs):
            why = f"storage: no output of job {lease.job} may be stored on {request.storage}"
            raise Refused(Code.FORBIDDEN, why, field="storage")
        return _Allowed(request.operation, request.paths, folder)

    async def _copies(self, request: StorageTokenRequest, file_ids: list[int]) -> tuple[str, ...]:
        """Return the paths of copies of these files on the storage. Raises Refused without any.

        A copy may have been removed since the attempt began; the others can still be read.
        """
        copies = await self._store.read(catalogue_read.replicas_of, file_ids) if file_ids else {}
        known = {
            one.path for some in copies.values() for one in some if one.storage == request.storage
        }
        found = tuple(one for one in request.paths if one in known)
        if not found:
            first = request.paths[0]
            why = f"paths: {first!r} is no copy of an input of this job on {request.storage}"
            raise Refused(Code.FORBIDDEN, why, field="paths")
        return found

    async def _of_user(self, caller: User, request: StorageTokenRequest) -> _Allowed:
        community = community_of(caller)
        if request.operation is StorageOperation.READ:
            require(caller, Permission.DATA_READ)
            known = await self._store.read(
                catalogue_read.paths_of_community, community, request.storage, request.paths
            )
            strange = sorted(set(request.paths) - known)
            if strange:
                why = f"paths: {strange[0]!r} is no copy of a file on {request.storage}"
                raise Refused(Code.FORBIDDEN, why, field="paths")
            return _Allowed(request.operation, request.paths)
        writing(caller)
        if not self._storages.book.storages[request.storage].writable:
            why = f"storage: {request.storage!r} is not writable"
            raise Refused(Code.FORBIDDEN, why, field="storage")
        parts = request.paths[0].split("/")
        folder = "/".join(parts[: _PUT_PARTS - 1])
        is_put = len(parts) >= _PUT_PARTS and parts[:2] == [community, PUT_FOLDER]
        if not is_put or not _PUT_PART.fullmatch(parts[2]):
            right = f"expected a path such as {community}/{PUT_FOLDER}/FOLDER/NAME"
            why = f"paths: found {request.paths[0]!r}, {right}"
            raise Refused(Code.FORBIDDEN, why, field="paths")
        _check_below(request.paths, folder)
        return _Allowed(request.operation, request.paths, folder)

    # -- credentials ----------------------------------------------------------------------------

    async def _given(
        self, request: StorageTokenRequest, entry: StorageEntry, allowed: _Allowed
    ) -> StorageTokenReply:
        """Return the credential. Raises StorageAway, StorageRefuses; Refused, INVALID."""
        if self._remote is None or entry.credential is None:
            return StorageTokenReply(float(LIFE_S))
        if entry.credential.source == KEYS:
            return await self._signed(request, entry, allowed)
        found = await self._remote.tokens.token(request.storage, scopes_for(entry.prefix, allowed))
        left_s = UNKNOWN_S
        if found.expires_at is not None:
            left_s = max(0.0, found.expires_at - self._clock.wall())
        return StorageTokenReply(left_s, token=found.text)

    async def _signed(
        self, request: StorageTokenRequest, entry: StorageEntry, allowed: _Allowed
    ) -> StorageTokenReply:
        """Return signed URLs for each path."""
        assert self._remote is not None, "the caller has it"
        creates = allowed.operation is StorageOperation.CREATE
        if creates and not _SHA256.fullmatch(request.sha256):
            right = "expected the 64 hexadecimal digits of the file to create"
            why = f"sha256: found {request.sha256[:80]!r}, {right}"
            raise Refused(Code.INVALID, why, field="sha256")
        keys, now = await self._remote.tokens.keys(request.storage), self._clock.wall()

        sign = partial(
            signed_url, url=entry.url, keys=keys, region=entry.region, now=now, life_s=LIFE_S
        )
        sums = {"PUT": request.sha256, "HEAD": ""} if creates else {"GET": "", "HEAD": ""}
        urls = tuple(
            SignedUrl(path, method, sign(method, path=path, sha256=sha256))
            for path in allowed.paths
            for method, sha256 in sums.items()
        )
        return StorageTokenReply(float(LIFE_S), urls=urls)


def scopes_for(prefix: str, allowed: _Allowed) -> tuple[str, ...]:
    """Return scopes of at most SCOPES_MAX characters: the files, or the longest folders that fit.

    The source of their form is the WLCG profile 1.3.
    """
    if allowed.operation is StorageOperation.CREATE:
        return (scope_for("create", prefix, allowed.folder),)
    paths = sorted({_sayable(path) for path in allowed.paths})
    while True:
        scopes = tuple(scope_for("read", prefix, path) for path in paths)
        if len(" ".join(scopes)) <= SCOPES_MAX or len(paths) == 1:
            return scopes
        depth = max(path.count("/") for path in paths)
        paths = sorted({_above(path, depth) for path in paths})


def _sayable(path: str) -> str:
    """Return a path that a scope can name (RFC 6749, 3.3), or the longest such folder above it."""
    parts = path.split("/")
    good = next((i for i, part in enumerate(parts) if not _IN_SCOPE.fullmatch(part)), len(parts))
    return "/".join(parts[:good])


def _above(path: str, depth: int) -> str:
    """Return the folder of a path of this depth, or another path as it is."""
    return path.rpartition("/")[0] if path.count("/") == depth else path


def _check_below(paths: Sequence[str], folder: str) -> None:
    for path in paths:
        if not path.startswith(f"{folder}/"):
            why = f"paths: found {path!r}, expected a path below {folder}"
            raise Refused(Code.FORBIDDEN, why, field="paths")
