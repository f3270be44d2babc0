"""Fetches the outputs of a run of a CWL document."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from pilotage.proto.api.jobs import OutputView
from pilotage.proto.tasks import Tasks

from ..errors import FileThere, NotFound
from ..files import inside, is_fetched

if TYPE_CHECKING:
    from ..client import AsyncClient

AT_ONCE: Final = 8
_FORCE: Final = "replace the file with --force (in Python: force=True)"


async def fetched(client: "AsyncClient", outputs: Any, folder: Path, *, flat: bool = True) -> Any:
    """Fetch the files of outputs into a folder, and return the outputs with their paths.

    Equal names get a number before the ending: `fit.json`, `fit_2.json`. Without `flat` each output
    file has a folder of its own, named by a number. Files with the same bytes stay. Raises
    FileThere for a file with other bytes, and NoCopy for a file of the catalogue that cannot be
    read from here.
    """
    fetching = _Fetching(client, folder, flat)
    found = fetching.laid(outputs)
    await fetching.run()
    return found


class _Fetching:
    def __init__(self, client: "AsyncClient", folder: Path, flat: bool) -> None:
        self._client, self._folder, self._flat = client, folder, flat
        self._wanted: list[tuple[str, Path]] = []
        self._taken: set[Path] = set()
        self._views: dict[int, Mapping[str, OutputView]] = {}
        self._number = 0

    def laid(self, value: Any) -> Any:
        """Return a value with the paths that its files will have."""
        if isinstance(value, list):
            return [self.laid(one) for one in cast(Sequence[Any], value)]
        if not isinstance(value, dict):
            return value
        value = cast(dict[str, Any], value)
        if value.get("class") in ("File", "Directory"):
            self._number += 1
            folder = self._folder if self._flat else self._folder / str(self._number)
            return self._file(value, folder)
        return {key: self.laid(one) for key, one in value.items()}

    def _file(self, one: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        found = dict(one)
        location = str(found.get("location", ""))
        path = self._free(inside(folder, str(found.get("basename") or "file")))
        found["location"], found["path"] = path.absolute().as_uri(), str(path.absolute())
        if found["class"] == "Directory":
            path.mkdir(parents=True, exist_ok=True)
            found["listing"] = [self._file(its, path) for its in found.get("listing", ())]
        elif location:
            self._wanted.append((location, path))
        else:
            content = str(found.pop("contents", "")).encode()
            sha256 = hashlib.sha256(content).hexdigest()
            try:
                is_there = is_fetched(path, f"output {path.name}", sha256, force=False)
            except FileThere as why:
                raise _without_force(why) from None
            if not is_there:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        if found.get("secondaryFiles"):
            found["secondaryFiles"] = [self._file(its, folder) for its in found["secondaryFiles"]]
        return found

    def _free(self, path: Path) -> Path:
        number, free = 1, path
        while free in self._taken:
            number += 1
            free = path.with_name(f"{path.stem}_{number}{path.suffix}")
        self._taken.add(free)
        return free

    async def run(self) -> None:
        """Fetch all files."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(location: str, path: Path) -> None:
            async with gate:
                try:
                    await self._fetch(location, path)
                except FileThere as why:
                    raise _without_force(why) from None

        async with Tasks() as tasks:
            for location, path in self._wanted:
                tasks.start(one(location, path))

    async def _fetch(self, location: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind, _, rest = location.partition(":")
        if kind == "blob":
            await self._client.download_blob(rest, path)
            return
        if kind == "lfn":
            await self._client.get_file(rest, path)
            return
        job, _, name = rest.partition("/")
        kept = await self._outputs_of(int(job))
        if name not in kept:
            raise NotFound("not_found", f"job {job} has no output {name!r}", "name", 404)
        await self._client.download_output(int(job), kept[name], path)

    async def _outputs_of(self, job: int) -> Mapping[str, OutputView]:
        if job not in self._views:
            found = (await self._client.outputs(job)).outputs
            self._views[job] = {one.name: one for one in found}
        return self._views[job]


def _without_force(why: FileThere) -> FileThere:
    """Return the error with another remedy: these outputs have no --force."""
    return FileThere(str(why).replace(_FORCE, "remove the file"))
