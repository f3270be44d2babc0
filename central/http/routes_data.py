"""The routes of the catalogue, as a part of the table of all."""

from typing import Final

from pilotage.proto import api_data

from ..auth.policy import Action
from . import data
from .route import Route

_A = Action
DATA_ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/data/find",
        action=_A.DATA_READ,
        does="Files that meet a query over their metadata, page by page.",
        handler=data.find,
        takes=api_data.FindRequest,
        gives=api_data.FilePage,
    ),
    Route(
        method="POST",
        path="/v1/data/files",
        action=_A.DATA_WRITE,
        does="Register files, each by itself, in any order; a repeated one changes nothing.",
        handler=data.register,
        takes=api_data.RegisterRequest,
        gives=api_data.ItemsReply,
    ),
    Route(
        method="GET",
        path="/v1/data/files",
        action=_A.DATA_READ,
        does="One file, its copies and datasets.",
        handler=data.detail,
        query=data.FileQuery,
        gives=api_data.FileDetail,
    ),
    Route(
        method="POST",
        path="/v1/data/replicas",
        action=_A.DATA_READ,
        does="Copies of files.",
        handler=data.replicas,
        takes=api_data.DidsRequest,
        gives=api_data.Replicas,
    ),
    Route(
        method="POST",
        path="/v1/data/metadata",
        action=_A.DATA_WRITE,
        does="Set and remove metadata of files, each by itself.",
        handler=data.set_metadata,
        takes=api_data.MetadataRequest,
        gives=api_data.ItemsReply,
    ),
    Route(
        method="POST",
        path="/v1/data/declare",
        action=_A.DATA_WRITE,
        does="Say how copies are: bad, missing or available.",
        handler=data.declare,
        takes=api_data.DeclareRequest,
        gives=api_data.ItemsReply,
    ),
    Route(
        method="POST",
        path="/v1/data/remove",
        action=_A.DATA_WRITE,
        does="Take files out of the catalogue; their bytes stay where they are.",
        handler=data.remove,
        takes=api_data.DidsRequest,
        gives=api_data.ItemsReply,
    ),
    Route(
        method="GET",
        path="/v1/data/changes",
        action=_A.DATA_READ,
        does="Files that have changed since, as they are now, in order.",
        handler=data.changes,
        query=data.ChangesQuery,
        gives=api_data.ChangePage,
    ),
    Route(
        method="GET",
        path="/v1/data/lineage",
        action=_A.DATA_READ,
        does="The jobs that a file came of, or that read it.",
        handler=data.lineage,
        query=data.LineageQuery,
        gives=api_data.Lineage,
    ),
    Route(
        method="POST",
        path="/v1/data/datasets",
        action=_A.DATA_WRITE,
        does="Make a dataset; one that is there stays.",
        handler=data.make_dataset,
        takes=api_data.DatasetRequest,
        gives=api_data.DatasetView,
    ),
    Route(
        method="GET",
        path="/v1/data/datasets",
        action=_A.DATA_READ,
        does="Datasets in order of their names.",
        handler=data.datasets,
        query=data.DatasetsQuery,
        gives=api_data.DatasetPage,
    ),
    Route(
        method="POST",
        path="/v1/data/datasets/actions",
        action=_A.DATA_WRITE,
        does="Open or close a dataset, attach or detach files.",
        handler=data.act_on_dataset,
        takes=api_data.DatasetAction,
        gives=api_data.ItemsReply,
    ),
    Route(
        method="GET",
        path="/v1/data/keys",
        action=_A.DATA_READ,
        does="Metadata keys with their types, and their values where they are few.",
        handler=data.keys,
        gives=api_data.KeyList,
    ),
    Route(
        method="POST",
        path="/v1/data/keys",
        action=_A.DATA_WRITE,
        does="Make metadata keys with their types.",
        handler=data.add_keys,
        takes=api_data.KeysRequest,
        gives=api_data.KeyList,
    ),
)
