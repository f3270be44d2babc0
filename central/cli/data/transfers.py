"""`pilotage data put` and `get`: files between this machine and storages."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from pilotage.proto.catalogue import BadCatalogueField, KeyType, query_of_words, value_of_text

from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes, reads
from ..exit_codes import UsageError
from ..presentation import note


@changes
async def put(
    central: CentralConnection,
    file: Annotated[Path, Parameter(help="A local file.")],
    did: Annotated[str, Parameter(help="Name in the catalogue, as SCOPE:NAME.")],
    /,
    *pairs: Annotated[str, Parameter(help="Metadata, as KEY=VALUE.")],
    storage: Annotated[
        str, Parameter(help="Storage to write to (default: a default storage).")
    ] = "",
    dataset: Annotated[
        tuple[str, ...], Parameter(help="Datasets to add it to, as SCOPE:NAME.")
    ] = (),
) -> CommandResult:
    """Store a local file on a storage, and register it.

    This machine must reach the storage. A name keeps its bytes: the same file again changes
    nothing, and another file is refused.
    """
    if not file.is_file():
        raise UsageError(f"{file} is not a file")
    client = await central.client()
    metadata = _metadata(pairs, await keys_of(client))
    found = await client.put_file(file, did, storage=storage, metadata=metadata, datasets=dataset)
    copies = ", ".join(f"{one.storage}: {one.path}" for one in found.replicas)
    return CommandResult(found, f"{found.file.did} {found.file.bytes} bytes, {copies}")


@reads
async def get(
    central: CentralConnection,
    *what: Annotated[
        str, Parameter(help="A file, as SCOPE:NAME, or conditions as for `data find`.")
    ],
    to: Annotated[
        Path, Parameter(help="Folder to fetch into, or the file for a single one.")
    ] = Path(),
    force: Annotated[bool, Parameter(help="Replace local files that differ.")] = False,
) -> Answers:
    """Fetch files: one by name, or all that meet the conditions. Checksums are verified.

    Copies in folders that this machine sees come first. A local file that differs stays, and is
    reported, unless you add --force.
    """
    if not what:
        raise UsageError("no files to fetch: give SCOPE:NAME, or conditions such as run=7")
    client = await central.client()
    try:
        count = 0
        async for path in _fetched(client, what, to, force=force):
            count += 1
            yield CommandResult({"path": str(path)}, str(path))
        if not count:
            note("no file meets these conditions")
    except OSError as why:  # from local files: network errors have other classes
        raise UsageError(f"{why.filename or to}: {why.strerror or why}") from None


async def _fetched(
    client: Client, what: Sequence[str], to: Path, *, force: bool
) -> AsyncIterator[Path]:
    if len(what) == 1 and ":" in what[0] and not set("=<>~") & set(what[0]):
        yield await client.get_file(what[0], to, force=force)
        return
    keys = await keys_of(client)
    if len(what) == 1 and what[0] not in keys and not set("=<>~!") & set(what[0]):
        raise UsageError(f"{what[0]!r}: expected SCOPE:NAME, or conditions such as run=7")
    async for path in client.get_found(query_of(what, keys), to, force=force):
        yield path


async def keys_of(client: Client) -> dict[str, KeyType]:
    """Return the metadata keys with their types."""
    return {one.key: one.type for one in (await client.metadata_keys()).keys}


def query_of(words: Sequence[str], keys: dict[str, KeyType]) -> dict[str, Any]:
    """Return the query from conditions such as `run=7`. Raises UsageError."""
    try:
        return query_of_words(words, keys).document()
    except BadCatalogueField as why:
        raise UsageError(str(why)) from None


def _metadata(pairs: Sequence[str], keys: dict[str, KeyType]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair!r}: expected KEY=VALUE")
        try:
            found[key] = value_of_text(text, keys.get(key), f"metadata.{key}")
        except BadCatalogueField as why:
            raise UsageError(str(why)) from None
    return found
