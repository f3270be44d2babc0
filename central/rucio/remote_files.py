"""Reads files, datasets and storages of a Rucio server (Rucio 41, its REST interface)."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec

from .http import RucioApi, RucioAway, RucioRefused

DATASETS_MAX: Final = 10_000  # of a container, with the containers in it
# For lists of copies: otherwise the server sorts the copies of each file by distance, which takes
# more time than all the rest.
UNSORTED: Final = {"sort": "random"}
NOT_THERE: Final = ("DataIdentifierNotFound", "RSENotFound", "ScopeNotFound")

T = TypeVar("T")
Name = tuple[str, str]  # scope and name in Rucio


class RemoteName(msgspec.Struct, frozen=True, gc=False):
    """A file in a list. The checksum is empty, and the size None, if the list has none."""

    scope: str
    name: str
    type: str = "FILE"
    bytes: int | None = None
    adler32: str | None = None

    @property
    def key(self) -> Name:
        return self.scope, self.name


class RemoteDataset(msgspec.Struct, frozen=True):
    """A dataset or container."""

    type: str
    open: bool | None = None


class RemoteCopies(msgspec.Struct, frozen=True, gc=False):
    """The bytes of a file, and the PFNs of its copies by RSE."""

    scope: str
    name: str
    bytes: int | None = None
    adler32: str | None = None
    rses: dict[str, list[str]] = {}


class RseProtocol(msgspec.Struct, frozen=True):
    """A way to a storage. Its PFNs have a port unless it is 0."""

    scheme: str
    hostname: str = ""
    port: int = 0
    prefix: str = "/"


class RemoteRse(msgspec.Struct, frozen=True):
    """A storage of the server."""

    availability_read: bool | None = None
    deterministic: bool = False  # paths follow from names
    protocols: tuple[RseProtocol, ...] = ()


class RemoteDetails(NamedTuple):
    """Metadata and copies of some files. Erased files are in neither."""

    metadata: Mapping[Name, Mapping[str, Any]]  # of their own
    copies: Mapping[Name, RemoteCopies]


async def dataset(api: RucioApi, scope: str, name: str) -> RemoteDataset:
    """Return a dataset or container. Raises RucioAway, RucioRefused."""
    return read_as(await api.get(f"/dids/{scope}/{quote(name)}"), RemoteDataset)


async def content(api: RucioApi, scope: str, name: str) -> list[RemoteName]:
    """Return the files of a dataset, or the datasets of a container.

    Raises RucioAway, RucioRefused.
    """
    rows = await api.lines(f"/dids/{scope}/{quote(name)}/dids")
    return read_as(list(rows), list[RemoteName])


async def datasets_below(api: RucioApi, scope: str, name: str) -> list[Name]:
    """Return all datasets of a container, also those of containers in it.

    Raises RucioAway, RucioRefused.
    """
    found: dict[Name, None] = {}
    seen = {(scope, name)}
    todo = [(scope, name)]
    while todo:
        for one in await content(api, *todo.pop()):
            if one.type == "CONTAINER" and one.key not in seen:
                seen.add(one.key)
                todo.append(one.key)
            elif one.type == "DATASET":
                found[one.key] = None
        if len(found) + len(seen) > DATASETS_MAX:
            raise RucioRefused("Container", f"{scope}:{name} has more than {DATASETS_MAX} datasets")
    return list(found)


async def files_of_scope(api: RucioApi, scope: str, since: float | None) -> list[RemoteName]:
    """Return the files of a scope, or those that were made since a time by its clock.

    Raises RucioAway, RucioRefused.
    """
    query = {"type": "file"}
    if since is not None:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(since))
        query["filters"] = msgspec.json.encode([{"created_at.gte": at}]).decode()
    names = await api.lines(f"/dids/{scope}/dids/search", query=query)
    return [RemoteName(scope, name) for name in read_as(list(names), list[str])]


async def details(api: RucioApi, names: Sequence[Name]) -> RemoteDetails:
    """Return metadata and copies of some hundred files. Raises RucioAway, RucioRefused."""
    dids = [{"scope": scope, "name": name} for scope, name in names]
    metadata: dict[Name, Mapping[str, Any]] = {}
    for row in await api.lines("/dids/bulkmeta", {"dids": dids, "plugin": "JSON"}):
        own = read_as(row, dict[str, Any])
        metadata[str(own.pop("scope", "")), str(own.pop("name", ""))] = own
    # Copies on RSEs that are off are copies.
    asked = {"dids": dids, "ignore_availability": True}
    found = await api.lines("/replicas/list", asked, query=UNSORTED)
    rows = read_as(list(found), list[RemoteCopies])
    return RemoteDetails(metadata, {(one.scope, one.name): one for one in rows})


async def rse(api: RucioApi, name: str) -> RemoteRse:
    """Return an RSE. Raises RucioAway, RucioRefused."""
    return read_as(await api.get(f"/rses/{name}"), RemoteRse)


def read_as(found: Any, kind: type[T]) -> T:
    """Return an answer of the server in the form that it must have. Raises RucioAway."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as why:
        raise RucioAway(f"its answer has another form than that of Rucio 41: {why}") from None
