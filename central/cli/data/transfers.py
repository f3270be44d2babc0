"""`pilotage data put` and `get`: files between this machine and storages."""

import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

from cyclopts import Parameter

from pilotage.proto.catalogue import BadCatalogueField, KeyType, query_of_words, value_of_text

from ...client.errors import Invalid
from ...client.transfers.local_sources import is_folder, is_pattern, sources_of
from ...client.transfers.parallel import PARALLEL, PARALLEL_MAX
from ..command_frame import Answers, CentralConnection, Client, CommandResult, changes, reads
from ..exit_codes import UsageError
from ..presentation import note
from ..progress import byte_bar
from ..whole_numbers import whole

ParallelOption = Annotated[int, whole(f"Transfers at once, at most {PARALLEL_MAX}.", least=1)]
_PAIR: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*=")  # begins KEY=VALUE; no DID begins so


@changes
async def put(
    central: CentralConnection,
    *files: Annotated[
        str, Parameter(help="FILE… SCOPE:NAME [KEY=VALUE…]. Quote patterns such as 'run*.h5'.")
    ],
    recursive: Annotated[
        bool, Parameter(alias="-r", help="Also store folders, with all files below them.")
    ] = False,
    storage: Annotated[
        str, Parameter(help="Storage to write to (default: a default storage).")
    ] = "",
    dataset: Annotated[
        tuple[str, ...], Parameter(help="Datasets to add the files to, as SCOPE:NAME.")
    ] = (),
    parallel: ParallelOption = PARALLEL,
) -> Answers:
    """Store local files on a storage, and register each once it is whole.

    The target is one name, or ends with `/` or `:` and stands before the names of all files. A name
    keeps its bytes: the same file again changes nothing, and another file is refused before any
    byte is sent. Repeat the command to continue after an interrupt.
    """
    sources, target, pairs = _parts(files)
    try:
        sources_of(sources, target, recursive=recursive)
    except Invalid as why:
        raise UsageError(str(why)) from None
    client = await central.client()
    metadata = _metadata(pairs, await keys_of(client) if pairs else {})
    with byte_bar("storing") as on_progress:
        stored = client.put_files(
            sources,
            target,
            recursive=recursive,
            storage=storage,
            metadata=metadata,
            datasets=dataset,
            parallel=parallel,
            on_progress=on_progress,
        )
        async with aclosing(stored):  # type: ignore[type-var]  # it is a generator
            async for one in stored:
                words_of = f"{one.did} {one.bytes} bytes, {one.storage}: {one.place}"
                facts = {
                    "did": one.did,
                    "bytes": one.bytes,
                    "storage": one.storage,
                    "path": one.place,
                    "is_new": one.is_new,
                }
                yield CommandResult(facts, words_of)


@reads
async def get(
    central: CentralConnection,
    *what: Annotated[
        str,
        Parameter(help="Files, as SCOPE:NAME or SCOPE:PATTERN, or conditions as for `data find`."),
    ],
    dataset: Annotated[
        str, Parameter(help="Fetch the files of a dataset, given as SCOPE:NAME.")
    ] = "",
    to: Annotated[
        str,
        Parameter(
            help="Folder to fetch into, or the file for a single one. It is a folder if it exists "
            "as one, or ends with /."
        ),
    ] = ".",
    recursive: Annotated[
        bool,
        Parameter(alias="-r", help="Keep the folders of names. SCOPE:FOLDER/ is then all below."),
    ] = False,
    force: Annotated[bool, Parameter(help="Replace local files that differ.")] = False,
    parallel: ParallelOption = PARALLEL,
) -> Answers:
    """Fetch files by name, by pattern, of a dataset, or by conditions. Checksums are verified.

    Quote patterns: `*` is any text, also with `/`, and `?` one character. Copies in folders that
    this machine sees come first. Repeat the command to continue after an interrupt: whole files
    stay, partial ones (`.NAME….part`) are continued.
    """
    if not what and not dataset:
        right = "give SCOPE:NAME, conditions such as run=7, or --dataset SCOPE:NAME"
        raise UsageError(f"no files to fetch: {right}")
    names = [one for one in what if _is_name(one)]
    words = [one for one in what if not _is_name(one)]
    if words and (names or dataset):
        right = "give names, or conditions (dataset=SCOPE:NAME is one), but not both"
        raise UsageError(f"{words[0]!r} is a condition: {right}")
    client = await central.client()
    query = await _query(client, words) if words else None
    count = 0
    try:
        with byte_bar("fetching") as on_progress:
            if len(names) == 1 and not (dataset or recursive) and _is_one(names[0]):
                path = await client.get_file(names[0], to, force=force, on_progress=on_progress)
                yield CommandResult({"path": str(path)}, str(path))
                return
            fetched = client.get_files(
                names,
                to,
                query=query,
                dataset=dataset,
                recursive=recursive,
                force=force,
                parallel=parallel,
                on_progress=on_progress,
            )
            async with aclosing(fetched):  # type: ignore[type-var]  # it is a generator
                async for path in fetched:
                    count += 1
                    yield CommandResult({"path": str(path)}, str(path))
        if not count:
            note("no file meets these conditions")
    except OSError as why:  # from local files: network errors have other classes
        raise UsageError(f"{why.filename or to}: {why.strerror or why}") from None


async def _query(client: Client, words: Sequence[str]) -> dict[str, Any]:
    keys = await keys_of(client)
    if len(words) == 1 and words[0] not in keys and not set("=<>~!") & set(words[0]):
        raise UsageError(f"{words[0]!r}: expected SCOPE:NAME, or conditions such as run=7")
    return query_of(words, keys)


def _is_name(word: str) -> bool:
    """Return whether a word is a name or pattern: in a condition no colon is before the sign."""
    return ":" in re.split("[=<>~!]", word, maxsplit=1)[0]


def _is_one(name: str) -> bool:
    """Return whether a name stands for a single file."""
    return not is_folder(name) and not is_pattern(name)


def _parts(words: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Return the sources, the target and the metadata of a command line. Raises UsageError."""
    count = len(words)
    while count and _PAIR.match(words[count - 1]):
        count -= 1
    *sources, target = words[:count] or ("",)
    if not sources or ":" not in target:
        found = f", and {target!r} is no SCOPE:NAME" if target else ""
        raise UsageError(f"expected FILE… SCOPE:NAME [KEY=VALUE…]{found}")
    return sources, target, list(words[count:])


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
        key, _, text = pair.partition("=")
        try:
            found[key] = value_of_text(text, keys.get(key), f"metadata.{key}")
        except BadCatalogueField as why:
            raise UsageError(str(why)) from None
    return found
