"""Routes of the catalogue (files, copies, metadata, datasets) and of storages.

Changes of the catalogue need the leader, whose writer caches the catalogue's rows.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api import data as api_data
from pilotage.proto.api.storages import StorageCheck, StorageList, StorageView
from pilotage.proto.ids import ID_MAX

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .service import CatalogueService
from .storage_service import StorageService

ROUTES: Final = Routes[CatalogueService]()
STORAGE_ROUTES: Final = Routes[StorageService]()
FILES_BYTES_MAX: Final = 2 << 20  # a thousand files with usual metadata


class FileQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects a file."""

    did: api_data.DidText


class ChangesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects the changes after one."""

    since: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limit: api_data.PageLimit = 100


class LineageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects a file, and the direction of its lineage."""

    did: api_data.DidText
    direction: api_data.Direction = api_data.Direction.UP
    limit: Annotated[int, Meta(ge=1, le=api_data.LINKS_MAX)] = 100


class DatasetsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects a page of datasets."""

    after: Annotated[str, Meta(max_length=600)] = ""
    limit: api_data.PageLimit = 100


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects the files to count: of a scope, of a dataset, or all."""

    scope: Annotated[str, Meta(max_length=64)] = ""
    dataset: Annotated[str, Meta(max_length=600)] = ""
    after: Annotated[str, Meta(max_length=600)] = ""


@ROUTES.add("POST", "/v1/data/find", Permission.DATA_READ, needs_leader=False)
async def find(data: CatalogueService, call: Call, body: api_data.FindRequest) -> api_data.FilePage:
    """Find files by a query over their metadata."""
    return await data.find(user(call), body)


@ROUTES.add(
    "POST", "/v1/data/files", Permission.DATA_WRITE, takes=api_data.RegisterRequest, creates=True
)
async def register(data: CatalogueService, call: Call) -> api_data.ItemsReply:
    """Register files in any order, each on its own. Known files stay unchanged."""
    asked = await call.read(api_data.RegisterRequest, FILES_BYTES_MAX)
    return await data.register(user(call), asked)


@ROUTES.add("GET", "/v1/data/files", Permission.DATA_READ, needs_leader=False)
async def detail(data: CatalogueService, call: Call, query: FileQuery) -> api_data.FileDetail:
    """Show one file with its copies and datasets."""
    return await data.file(user(call), query.did)


@ROUTES.add("POST", "/v1/data/replicas", Permission.DATA_READ, needs_leader=False)
async def replicas(
    data: CatalogueService, call: Call, body: api_data.DidsRequest
) -> api_data.Replicas:
    """List copies of files."""
    return await data.replicas(user(call), body)


@ROUTES.add("POST", "/v1/data/list", Permission.DATA_READ, needs_leader=False)
async def list_copies(
    data: CatalogueService, call: Call, body: api_data.ListRequest
) -> api_data.CopyPage:
    """List files with their copies: by name, by a pattern of names, or of a dataset."""
    return await data.list_copies(user(call), body)


@ROUTES.add("GET", "/v1/data/usage", Permission.DATA_READ, needs_leader=False)
async def usage(data: CatalogueService, call: Call, query: UsageQuery) -> api_data.UsagePage:
    """Count files and bytes, also by storage. Each page counts some thousands of files."""
    return await data.usage(user(call), scope=query.scope, dataset=query.dataset, after=query.after)


@ROUTES.add("POST", "/v1/data/metadata", Permission.DATA_WRITE, creates=True)
async def set_metadata(
    data: CatalogueService, call: Call, body: api_data.MetadataRequest
) -> api_data.ItemsReply:
    """Set and remove metadata of files, each on its own."""
    return await data.set_metadata(user(call), body)


@ROUTES.add("POST", "/v1/data/declare", Permission.DATA_WRITE)
async def declare(
    data: CatalogueService, call: Call, body: api_data.DeclareRequest
) -> api_data.ItemsReply:
    """Declare copies bad, missing or available."""
    return await data.declare(user(call), body)


@ROUTES.add("POST", "/v1/data/remove", Permission.DATA_WRITE)
async def remove(
    data: CatalogueService, call: Call, body: api_data.DidsRequest
) -> api_data.ItemsReply:
    """Remove files from the catalogue. Their bytes are removed later, if the storage allows it."""
    return await data.remove(user(call), body)


@ROUTES.add("GET", "/v1/data/changes", Permission.DATA_READ, needs_leader=False)
async def changes(data: CatalogueService, call: Call, query: ChangesQuery) -> api_data.ChangePage:
    """List files that changed after `since`, in order of change."""
    return await data.changes(user(call), since=query.since, limit=query.limit)


@ROUTES.add("GET", "/v1/data/lineage", Permission.DATA_READ, needs_leader=False)
async def lineage(data: CatalogueService, call: Call, query: LineageQuery) -> api_data.Lineage:
    """List the jobs that produced a file, or that read it."""
    return await data.lineage(user(call), query.did, query.direction, limit=query.limit)


@ROUTES.add("POST", "/v1/data/datasets", Permission.DATA_WRITE, creates=True)
async def make_dataset(
    data: CatalogueService, call: Call, body: api_data.DatasetRequest
) -> api_data.DatasetView:
    """Make a dataset. An existing one stays as it is."""
    return await data.make_dataset(user(call), body)


@ROUTES.add("GET", "/v1/data/datasets", Permission.DATA_READ, needs_leader=False)
async def datasets(
    data: CatalogueService, call: Call, query: DatasetsQuery
) -> api_data.DatasetPage:
    """List datasets in order of name."""
    return await data.datasets(user(call), after=query.after, limit=query.limit)


@ROUTES.add("POST", "/v1/data/datasets/actions", Permission.DATA_WRITE, creates=True)
async def act_on_dataset(
    data: CatalogueService, call: Call, body: api_data.DatasetAction
) -> api_data.ItemsReply:
    """Open or close a dataset, attach or detach files."""
    return await data.act_on_dataset(user(call), body)


@ROUTES.add("GET", "/v1/data/keys", Permission.DATA_READ, needs_leader=False)
async def keys(data: CatalogueService, call: Call) -> api_data.KeyList:
    """List metadata keys with types and, if they are few, values."""
    return await data.keys(user(call))


@ROUTES.add("POST", "/v1/data/keys", Permission.DATA_WRITE, creates=True)
async def add_keys(
    data: CatalogueService, call: Call, body: api_data.KeysRequest
) -> api_data.KeyList:
    """Add metadata keys with their types."""
    return await data.add_keys(user(call), body)


@STORAGE_ROUTES.add("GET", "/v1/storages", Permission.PILOT_READ)
async def storages(storages: StorageService, call: Call) -> StorageList:
    """List storages: where they are, and which sites reach them."""
    return await storages.all(user(call))


@STORAGE_ROUTES.add("GET", "/v1/storages/{storage}", Permission.PILOT_READ)
async def storage(storages: StorageService, call: Call) -> StorageView:
    """Show one storage."""
    return await storages.show(user(call), call.path("storage"))


@STORAGE_ROUTES.add("POST", "/v1/storages/{storage}/check", Permission.SITE_CONTROL)
async def check(storages: StorageService, call: Call) -> StorageCheck:
    """Store, read and remove a small file, and try what tokens of jobs must not allow."""
    return await storages.check(user(call), call.path("storage"))
