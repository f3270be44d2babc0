"""Routes of the catalogue: files, copies, metadata, datasets; and of storages.

A change of the catalogue needs the leader, which knows what it has written there.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api import data as api_data
from pilotage.proto.api.storages import StorageList, StorageView
from pilotage.proto.ids import ID_MAX

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .service import CatalogueService
from .storage_service import StorageService

ROUTES: Final = Routes[CatalogueService]()
STORAGE_ROUTES: Final = Routes[StorageService]()
FILES_BYTES_MAX: Final = 2 << 20  # a thousand files with all that is usually said of them


class FileQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which file."""

    did: api_data.DidText


class ChangesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Since which change."""

    since: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limit: api_data.Limit = 100


class LineageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which file, and which way."""

    did: api_data.DidText
    direction: api_data.Direction = api_data.Direction.UP
    limit: Annotated[int, Meta(ge=1, le=api_data.LINKS_MAX)] = 100


class DatasetsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of datasets."""

    after: Annotated[str, Meta(max_length=600)] = ""
    limit: api_data.Limit = 100


@ROUTES.add("POST", "/v1/data/find", Permission.DATA_READ, needs_leader=False)
async def find(data: CatalogueService, call: Call, body: api_data.FindRequest) -> api_data.FilePage:
    """Files that meet a query over their metadata, page by page."""
    return await data.find(user(call), body)


@ROUTES.add(
    "POST", "/v1/data/files", Permission.DATA_WRITE, takes=api_data.RegisterRequest, creates=True
)
async def register(data: CatalogueService, call: Call) -> api_data.ItemsReply:
    """Register files, each by itself, in any order; a repeated one changes nothing."""
    asked = await call.read(api_data.RegisterRequest, FILES_BYTES_MAX)
    return await data.register(user(call), asked)


@ROUTES.add("GET", "/v1/data/files", Permission.DATA_READ, needs_leader=False)
async def detail(data: CatalogueService, call: Call, query: FileQuery) -> api_data.FileDetail:
    """One file, its copies and datasets."""
    return await data.file(user(call), query.did)


@ROUTES.add("POST", "/v1/data/replicas", Permission.DATA_READ, needs_leader=False)
async def replicas(
    data: CatalogueService, call: Call, body: api_data.DidsRequest
) -> api_data.Replicas:
    """Copies of files."""
    return await data.replicas(user(call), body)


@ROUTES.add("POST", "/v1/data/metadata", Permission.DATA_WRITE, creates=True)
async def set_metadata(
    data: CatalogueService, call: Call, body: api_data.MetadataRequest
) -> api_data.ItemsReply:
    """Set and remove metadata of files, each by itself."""
    return await data.set_metadata(user(call), body)


@ROUTES.add("POST", "/v1/data/declare", Permission.DATA_WRITE)
async def declare(
    data: CatalogueService, call: Call, body: api_data.DeclareRequest
) -> api_data.ItemsReply:
    """Say how copies are: bad, missing or available."""
    return await data.declare(user(call), body)


@ROUTES.add("POST", "/v1/data/remove", Permission.DATA_WRITE)
async def remove(
    data: CatalogueService, call: Call, body: api_data.DidsRequest
) -> api_data.ItemsReply:
    """Take files out of the catalogue; their bytes go later, where their storage says so."""
    return await data.remove(user(call), body)


@ROUTES.add("GET", "/v1/data/changes", Permission.DATA_READ, needs_leader=False)
async def changes(data: CatalogueService, call: Call, query: ChangesQuery) -> api_data.ChangePage:
    """Files that have changed since, as they are now, in order."""
    return await data.changes(user(call), since=query.since, limit=query.limit)


@ROUTES.add("GET", "/v1/data/lineage", Permission.DATA_READ, needs_leader=False)
async def lineage(data: CatalogueService, call: Call, query: LineageQuery) -> api_data.Lineage:
    """The jobs that a file came of, or that read it."""
    return await data.lineage(user(call), query.did, query.direction, limit=query.limit)


@ROUTES.add("POST", "/v1/data/datasets", Permission.DATA_WRITE, creates=True)
async def make_dataset(
    data: CatalogueService, call: Call, body: api_data.DatasetRequest
) -> api_data.DatasetView:
    """Make a dataset; one that is there stays."""
    return await data.make_dataset(user(call), body)


@ROUTES.add("GET", "/v1/data/datasets", Permission.DATA_READ, needs_leader=False)
async def datasets(
    data: CatalogueService, call: Call, query: DatasetsQuery
) -> api_data.DatasetPage:
    """Datasets in order of their names."""
    return await data.datasets(user(call), after=query.after, limit=query.limit)


@ROUTES.add("POST", "/v1/data/datasets/actions", Permission.DATA_WRITE, creates=True)
async def act_on_dataset(
    data: CatalogueService, call: Call, body: api_data.DatasetAction
) -> api_data.ItemsReply:
    """Open or close a dataset, attach or detach files."""
    return await data.act_on_dataset(user(call), body)


@ROUTES.add("GET", "/v1/data/keys", Permission.DATA_READ, needs_leader=False)
async def keys(data: CatalogueService, call: Call) -> api_data.KeyList:
    """Metadata keys with their types, and their values where they are few."""
    return await data.keys(user(call))


@ROUTES.add("POST", "/v1/data/keys", Permission.DATA_WRITE, creates=True)
async def add_keys(
    data: CatalogueService, call: Call, body: api_data.KeysRequest
) -> api_data.KeyList:
    """Make metadata keys with their types."""
    return await data.add_keys(user(call), body)


@STORAGE_ROUTES.add("GET", "/v1/storages", Permission.PILOT_READ)
async def storages(storages: StorageService, call: Call) -> StorageList:
    """Storages, where they are and who reaches them."""
    return await storages.all(user(call))


@STORAGE_ROUTES.add("GET", "/v1/storages/{storage}", Permission.PILOT_READ)
async def storage(storages: StorageService, call: Call) -> StorageView:
    """One storage."""
    return await storages.show(user(call), call.path("storage"))
