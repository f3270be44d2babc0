"""Transfers of catalogue files: `put` stores and registers them, `get` fetches them."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pilotage.proto.api.data import FileCopies, FileDetail, ListBy, UsageRow
from pilotage.proto.catalogue import FileState

from .arguments import file_at, names_of
from .errors import Invalid, NotFound
from .files import inside, target_of
from .pace import Pace
from .transfers.fetching import Fetching, Wanted, last_part, wanted_at
from .transfers.file_lists import files_listed, files_named, usage_of
from .transfers.local_sources import is_folder, is_pattern, sources_of, told
from .transfers.parallel import PARALLEL, OnBytes
from .transfers.storage_copies import StorageCopies
from .transfers.storing import StoredFile, Storing, storages_of
from .transport import Transport

if TYPE_CHECKING:
    from .client import AsyncClient


class DataFileCalls:
    """The methods of the client that transfer, list and count files of the catalogue."""

    _transport: Transport
    _pace: Pace

    async def put_file(
        self,
        path: Path | str,
        did: str,
        *,
        storage: str = "",
        metadata: Mapping[str, Any] | None = None,
        datasets: Iterable[str] = (),
    ) -> FileDetail:
        """Store a local file on a storage, register it, and return its catalogue entry.

        Without `storage` it uses a default storage. Repeating changes nothing: a name with the same
        bytes stays as it is.
        """
        if is_folder(did):
            did += last_part(f"{file_at(path)}")
        async for _ in self.put_files(
            [file_at(path)], did, storage=storage, metadata=metadata, datasets=datasets
        ):
            pass
        return await cast("AsyncClient", self).file(did)

    async def put_files(
        self,
        sources: Iterable[Path | str],
        target: str,
        *,
        recursive: bool = False,
        storage: str = "",
        metadata: Mapping[str, Any] | None = None,
        datasets: Iterable[str] = (),
        parallel: int = PARALLEL,
        on_progress: OnBytes | None = None,
    ) -> AsyncIterator[StoredFile]:
        """Store local files, register each once it is whole, and yield it.

        Sources are files, patterns, and folders if `recursive`. The target is the name of a single
        file, or ends with `/` or `:` and stands before the names. Repeating skips stored files.

        Raises Invalid, FilesClash or NoStorage before the first byte is sent. Other failures do not
        stop the rest; they are raised at the end as NotStored.
        """
        paths = [sources] if isinstance(sources, (str, Path)) else list(sources)
        found = sources_of(paths, target, recursive=recursive)
        storing = Storing(
            cast("AsyncClient", self),
            StorageCopies(self._transport, self._pace),
            storage=storage,
            metadata=metadata,
            datasets=names_of(datasets),
        )
        stored = storing.run(found, parallel=parallel, on_progress=on_progress)
        async with aclosing(stored):
            async for one in stored:
                yield one

    async def get_file(
        self,
        did: str,
        to: Path | str,
        *,
        force: bool = False,
        on_progress: OnBytes | None = None,
    ) -> Path:
        """Fetch a file into a folder or to a path, verify its checksums, and return the path.

        A text `to` that ends with `/` is a folder, which is made if it does not exist.
        A local file with the same bytes stays. Raises NoCopy, and FileThere for a local file with
        other bytes, unless `force` is set.
        """
        found = await self._named([did])
        name = last_part(did)
        target = inside(Path(to), name) if str(to).endswith("/") else target_of(Path(to), name)
        wanted = [Wanted(found[0], target)]
        async for path in self._fetched(wanted, force=force, on_progress=on_progress):
            target = path
        return target

    async def get_files(
        self,
        names: Iterable[str],
        to: Path | str,
        *,
        query: Mapping[str, Any] | None = None,
        dataset: str = "",
        recursive: bool = False,
        force: bool = False,
        parallel: int = PARALLEL,
        on_progress: OnBytes | None = None,
    ) -> AsyncIterator[Path]:
        """Fetch files into a folder, verify their checksums, and yield their paths.

        They are the files with these names or patterns of names, of the dataset, and those that
        meet the query. With `recursive` they keep the folders of their names; `SCOPE:FOLDER/` then
        means all files below. Repeating skips whole files, and continues partial ones.

        Raises FilesClash, FileThere and NotFound before the first byte. Failures of copies do not
        stop the others; they are raised at the end as NoCopy.
        """
        chosen = await self._chosen(names_of(names), query, dataset, recursive=recursive)
        each = {one.file.did: (one, base) for base, some in chosen for one in some}
        wanted = wanted_at(list(each.values()), Path(to), recursive=recursive)
        found = self._fetched(wanted, force=force, parallel=parallel, on_progress=on_progress)
        async with aclosing(found):
            async for path in found:
                yield path

    async def get_found(
        self, query: Mapping[str, Any], to: Path | str, *, force: bool = False
    ) -> AsyncIterator[Path]:
        """Fetch all files that meet a query into a folder, as `get_files` does."""
        async for path in self.get_files((), to, query=query, force=force):
            yield path

    async def list_files(self, which: str) -> AsyncIterator[FileCopies]:
        """Yield files with their copies: those of a dataset, or with a name or pattern of names.

        `SCOPE:` and `SCOPE:FOLDER/` stand for all files below. Raises NotFound if nothing has this
        name; a pattern may fit no file.
        """
        if is_folder(which) or is_pattern(which):
            pattern = f"{which}*" if is_folder(which) else which
            async for one in files_listed(self._transport, pattern, ListBy.PATTERN):
                yield one
            return
        found = [one async for one in files_named(self._transport, [which])]
        if found and found[0].file.state is FileState.REMOVED:
            raise NotFound("not_found", f"{which} is Removed from the catalogue", "did")
        if found:
            yield found[0]
            return
        try:
            async for one in files_listed(self._transport, which, ListBy.DATASET):
                yield one
        except NotFound:
            text = f"there is no file or dataset {which}; a folder ends with / ({which}/)"
            raise NotFound("not_found", text, "did") from None

    async def data_usage(self, of: str = "") -> list[UsageRow]:
        """Return the files and bytes of a scope or a dataset (default: of each scope).

        A row without a storage counts each file once; the others count readable copies.
        """
        which = {"scope": "", "dataset": of} if ":" in of else {"scope": of, "dataset": ""}
        return await usage_of(self._transport, **which)

    # -- parts of the methods --------------------------------------------------------------------

    async def _named(self, dids: Sequence[str]) -> list[FileCopies]:
        """Return the files with these names. Raises NotFound."""
        found = {one.file.did: one async for one in files_named(self._transport, dids)}
        missing = [f"there is no file {one}" for one in dids if one not in found]
        if missing:
            raise NotFound("not_found", told("files are unknown", missing), "did")
        return list(found.values())

    async def _chosen(
        self,
        names: Sequence[str],
        query: Mapping[str, Any] | None,
        dataset: str,
        *,
        recursive: bool,
    ) -> list[tuple[str, list[FileCopies]]]:
        """Return the chosen files, each list with the part of names that its paths leave out."""
        chosen = list[tuple[str, list[FileCopies]]]()
        plain = [one for one in names if not is_folder(one) and not is_pattern(one)]
        if plain:
            chosen.append(("", await self._named(plain)))
        for name in names:
            if is_folder(name) and not recursive:
                text = f"{name!r} is a folder: add --recursive (in Python: recursive=True)"
                raise Invalid("invalid", text, "did")
            if is_folder(name) or is_pattern(name):
                pattern = f"{name}*" if is_folder(name) else name
                found = [
                    one async for one in files_listed(self._transport, pattern, ListBy.PATTERN)
                ]
                if not found:
                    raise NotFound("not_found", f"no file matches {name}", "did")
                chosen.append((_base(name), found))
        if dataset:
            found = [one async for one in files_listed(self._transport, dataset, ListBy.DATASET)]
            chosen.append(("", found))
        if query is not None:
            client = cast("AsyncClient", self)
            dids = [view.did async for view in client.find_files(query)]
            chosen.append(("", [one async for one in files_named(self._transport, dids)]))
        return chosen

    async def _fetched(
        self,
        wanted: Sequence[Wanted],
        *,
        force: bool,
        parallel: int = PARALLEL,
        on_progress: OnBytes | None = None,
    ) -> AsyncGenerator[Path]:
        known = await storages_of(cast("AsyncClient", self))
        fetching = Fetching(StorageCopies(self._transport, self._pace), known)
        found = fetching.run(wanted, force=force, parallel=parallel, on_progress=on_progress)
        async with aclosing(found):
            async for path in found:
                yield path


def _base(name: str) -> str:
    """Return the folders of a name that the paths of its files leave out, as `cp` does.

    These are the folders above `FOLDER/`, and those before the first `*` or `?` of a pattern.
    """
    path = name.partition(":")[2]
    before = path.rstrip("/") if is_folder(name) else path.replace("?", "*").partition("*")[0]
    return before.rpartition("/")[0] + "/" if "/" in before else ""
