"""Routes of the catalogue: files, copies, metadata, datasets."""

from typing import Annotated, Final

import msgspec
from litestar.types import ASGIApp
from msgspec import Meta

from pilotage.proto.api_data import (
    LINKS_MAX,
    DatasetAction,
    DatasetRequest,
    DeclareRequest,
    DidsRequest,
    DidText,
    Direction,
    FindRequest,
    KeysRequest,
    Limit,
    MetadataRequest,
    RegisterRequest,
    RuleRequest,
)
from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code

from ..decode import decode
from ..errors import Refused
from .answers import JSON, encoded, nothing
from .call import Call

FILES_BYTES_MAX: Final = 2 << 20  # a thousand files with all that is usually said of them


class FileQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which file."""

    did: DidText


class ChangesQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Since which change."""

    since: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limit: Limit = 100


class LineageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which file, and which way."""

    did: DidText
    direction: Direction = Direction.UP
    limit: Annotated[int, Meta(ge=1, le=LINKS_MAX)] = 100


class DatasetsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of datasets."""

    after: Annotated[str, Meta(max_length=600)] = ""
    limit: Limit = 100


class RemnantsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of remnants."""

    storage: Annotated[str, Meta(max_length=64)] = ""  # empty: of all
    all: bool = False  # those whose time is not over too, and those that stay
    after: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limit: Limit = 100


async def find(call: Call) -> ASGIApp:
    return encoded(await call.services.data.find(call.user(), await call.read(FindRequest)))


async def register(call: Call) -> ASGIApp:
    call.media(JSON)
    asked = decode(await call.body(FILES_BYTES_MAX).whole(), RegisterRequest)
    return encoded(await call.services.data.register(call.user(), asked))


async def detail(call: Call) -> ASGIApp:
    return encoded(await call.services.data.file(call.user(), call.query(FileQuery).did))


async def replicas(call: Call) -> ASGIApp:
    return encoded(await call.services.data.replicas(call.user(), await call.read(DidsRequest)))


async def set_metadata(call: Call) -> ASGIApp:
    asked = await call.read(MetadataRequest)
    return encoded(await call.services.data.set_metadata(call.user(), asked))


async def declare(call: Call) -> ASGIApp:
    return encoded(await call.services.data.declare(call.user(), await call.read(DeclareRequest)))


async def remove(call: Call) -> ASGIApp:
    return encoded(await call.services.data.remove(call.user(), await call.read(DidsRequest)))


async def changes(call: Call) -> ASGIApp:
    asked = call.query(ChangesQuery)
    return encoded(
        await call.services.data.changes(call.user(), since=asked.since, limit=asked.limit)
    )


async def lineage(call: Call) -> ASGIApp:
    asked = call.query(LineageQuery)
    return encoded(
        await call.services.data.lineage(call.user(), asked.did, asked.direction, limit=asked.limit)
    )


async def make_dataset(call: Call) -> ASGIApp:
    asked = await call.read(DatasetRequest)
    return encoded(await call.services.data.make_dataset(call.user(), asked))


async def datasets(call: Call) -> ASGIApp:
    asked = call.query(DatasetsQuery)
    return encoded(
        await call.services.data.datasets(call.user(), after=asked.after, limit=asked.limit)
    )


async def act_on_dataset(call: Call) -> ASGIApp:
    asked = await call.read(DatasetAction)
    return encoded(await call.services.data.act_on_dataset(call.user(), asked))


async def keys(call: Call) -> ASGIApp:
    return encoded(await call.services.data.keys(call.user()))


async def add_keys(call: Call) -> ASGIApp:
    return encoded(await call.services.data.add_keys(call.user(), await call.read(KeysRequest)))


async def add_rule(call: Call) -> ASGIApp:
    return encoded(await call.services.rules.add(call.user(), await call.read(RuleRequest)))


async def rules(call: Call) -> ASGIApp:
    return encoded(await call.services.rules.all(call.user()))


async def sweep(call: Call) -> ASGIApp:
    return encoded(await call.services.sweeps.counts(call.user()))


async def remnants(call: Call) -> ASGIApp:
    asked = call.query(RemnantsQuery)
    page = await call.services.sweeps.remnants(
        call.user(), storage=asked.storage, all=asked.all, after=asked.after, limit=asked.limit
    )
    return encoded(page)


async def rule(call: Call) -> ASGIApp:
    return encoded(await call.services.rules.show(call.user(), _rule_id(call)))


async def drop_rule(call: Call) -> ASGIApp:
    await call.services.rules.drop(call.user(), _rule_id(call))
    return nothing()


async def retry_rule(call: Call) -> ASGIApp:
    return encoded(await call.services.rules.retry(call.user(), _rule_id(call)))


def _rule_id(call: Call) -> int:
    text = call.path("rule")
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise Refused(Code.NOT_FOUND, f"there is no rule {text[:40]!r}", field="rule")
    return int(text)
