"""Resolve at submission which files a job reads, and at which sites it can therefore run."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pilotage.proto.api.storages import NO_STORAGES
from pilotage.proto.catalogue import (
    BadCatalogueField,
    Did,
    FileState,
    KeyType,
    Query,
    ReplicaState,
    check_scope,
    check_type,
    checked_metadata,
    parse_query,
)
from pilotage.proto.documents.job import DataInput, Job, JobData, Need, Preference
from pilotage.proto.problems import Code

from ..errors import Refused
from ..store.engine import Store
from . import record_datasets as dataset_records, record_read as catalogue_read
from .checks import INPUTS_MAX, check_filled, check_scope_of, refused
from .local_paths import path_of
from .locality import SiteChoice, reaches, steer, writable
from .record_types import FileRow, JobInput
from .rights import of_group
from .storages import StorageBook

PAGE = 1_000
SITES_SHOWN_MAX = 10
TOLD_BYTES_MAX = 16 << 20  # of all input files of a job; a pilot accepts four times as much
_TOLD_SURELY = 50  # this number of files always fits, whatever their metadata
_TOLD_BYTES = 400  # for each file, in addition to names, metadata and copies
_COPIES_TOLD = 4  # for each file
_COPY_BYTES = 60  # in addition to URL and path


@dataclass(frozen=True)
class ResolvedInputs:
    """The inputs of a job, and the job with the sites and the preference that they call for."""

    inputs: tuple[JobInput, ...]
    job: Job
    stores: tuple[str, ...] = ()  # storages that its outputs may be written to


class InputResolver:
    """Resolves the inputs of one submission's jobs. Equal inputs are looked up only once."""

    def __init__(self, store: Store, book: StorageBook, community: str) -> None:
        self._store, self._book, self._community = store, book, community
        self._keys: dict[str, KeyType] | None = None
        self._found: dict[bytes, list[FileRow]] = {}
        self._copies: dict[int, tuple[str, ...]] = {}  # by file id: storages with a readable copy
        self._places: dict[int, int] = {}  # by file id: length of the URLs and paths of its copies

    async def settle(
        self, job: Job, where: str, *, group: str, given: Sequence[Sequence[FileRow]] = ()
    ) -> ResolvedInputs:
        """Return the resolved inputs of a job of this group. Raises Refused with the field.

        `given` holds the files of the job's last inputs if the caller has already looked them up.
        """
        assert job.data is not None
        at = f"{where}.data"
        check_filled(job.data, at)
        if any(not (one.scope or one.did) for one in job.data.outputs):
            try:
                check_scope(group, f"{at}.outputs: the group is not a valid scope; give a scope")
            except BadCatalogueField as why:
                raise refused(why) from None
        for i, one in enumerate(job.data.outputs):
            check_scope_of(one, group, f"{at}.outputs[{i}]")
        if any(one.metadata for one in job.data.outputs):
            await self._check_metadata(job.data, at)
        outputs = [
            outputs_to(self._book, one.storages, f"{at}.outputs[{i}].storages")
            for i, one in enumerate(job.data.outputs)
        ]
        own = job.data.inputs[: len(job.data.inputs) - len(given)]
        found = [await self._files(one, f"{at}.inputs[{i}]") for i, one in enumerate(own)]
        found += [list(rows) for rows in given]
        found = _placed(job.data, found, len(own), at)
        files = [row for rows in found for row in rows]
        _check_copies(job, group, files, at)
        await self._look_at_copies(files, at)
        _check_scratch(job, sum(row.bytes for row in files), where)
        sizes: dict[tuple[str, ...], int] = {}
        for row in files:
            names = self._copies[row.file_id]
            sizes[names] = sizes.get(names, 0) + row.bytes
        steering = steer(self._book, [(size, names) for names, size in sizes.items()], outputs)
        inputs = tuple(
            JobInput(number, row.file_id) for number, rows in enumerate(found) for row in rows
        )
        stores = tuple(sorted({name for names in outputs for name in names}))
        return ResolvedInputs(inputs, self._steered(job, steering, files, where), stores)

    # -- inputs ---------------------------------------------------------------------------------

    async def _files(self, one: DataInput, where: str) -> list[FileRow]:
        key = msgspec.json.encode(one)
        if key not in self._found:
            try:
                self._found[key] = await self._looked_for(one, where)
            except BadCatalogueField as why:
                raise refused(why) from None
        return self._found[key]

    async def _looked_for(self, one: DataInput, where: str) -> list[FileRow]:
        if one.query:
            query = parse_query(one.query, f"{where}.query")
            query.check(await self._known_keys(), f"{where}.query")
            return await self._all(query, one.files_max, where, "query")
        did = Did.parse(one.did, f"{where}.did")
        (row,) = await self._store.read(catalogue_read.files_by_did, self._community, [did])
        if row is not None:
            if row.state is not FileState.AVAILABLE:
                raise _refused(f"{where}.did", f"{did} is {row.state.value}: no copy can be read")
            return [row]
        if await self._store.read(dataset_records.dataset, self._community, did) is None:
            raise _refused(f"{where}.did", f"no file or dataset is called {did}")
        return await self._all(Query((), did), one.files_max, where, "did")

    async def _known_keys(self) -> dict[str, KeyType]:
        """Return the metadata keys of the community; they are read only once."""
        if self._keys is None:
            rows = await self._store.read(catalogue_read.keys, self._community)
            self._keys = {row.key: row.type for row in rows}
        return self._keys

    async def _check_metadata(self, data: JobData, at: str) -> None:
        """Refuse metadata of outputs whose type differs from the key's type, which is fixed."""
        keys = await self._known_keys()
        try:
            for i, out in enumerate(data.outputs):
                for key, value in checked_metadata(out.metadata).items():
                    if key in keys:
                        check_type(key, value, keys[key], f"{at}.outputs[{i}].metadata")
        except BadCatalogueField as why:
            raise refused(why) from None

    async def _all(self, query: Query, most: int, where: str, field: str) -> list[FileRow]:
        rows: list[FileRow] = []
        after = None
        while True:
            page = await self._store.read(
                catalogue_read.find_files,
                self._community,
                query,
                after=after,
                limit=min(PAGE, most + 1 - len(rows)),
            )
            rows += page.files
            after = page.next
            if len(rows) > most:
                why = f"found more than {most} files: narrow the selection or raise files_max"
                raise _refused(f"{where}.{field}", why)
            if after is None:
                break
        if not rows:
            said = msgspec.json.encode(query.document()).decode()[:300]
            raise _refused(f"{where}.{field}", f"no readable file matches {said}")
        return sorted(rows, key=lambda row: row.did)

    async def learn(self, files: Sequence[FileRow]) -> None:
        """Read and cache the copies of these files; one call can serve many jobs."""
        found = self._copies
        unknown = list({row.file_id for row in files if row.file_id not in found})
        for start in range(0, len(unknown), PAGE):
            some = unknown[start : start + PAGE]
            copies = await self._store.read(catalogue_read.replicas_of, some)
            for file_id in some:
                there = [
                    one
                    for one in copies.get(file_id, [])
                    if one.state is ReplicaState.AVAILABLE and self._is_readable(one.storage)
                ]
                self._copies[file_id] = tuple(one.storage for one in there)
                lengths = sorted(len(self._book.storages[c.storage].url + c.path) for c in there)
                self._places[file_id] = sum(lengths[-_COPIES_TOLD:])

    async def _look_at_copies(self, files: Sequence[FileRow], where: str) -> None:
        await self.learn(files)
        for row in files:
            if not self._copies[row.file_id]:
                why = f"no configured storage has a readable copy of {row.did}"
                raise _refused(f"{where}.inputs", why)
        if len(files) > _TOLD_SURELY:
            self._check_description(files, where)

    def _check_description(self, files: Sequence[FileRow], where: str) -> None:
        """Refuse files whose description would be too long for the answer to a pilot."""
        size = len(files) * (_TOLD_BYTES + _COPIES_TOLD * _COPY_BYTES)
        for row in files:
            size += len(row.did.name) + self._places[row.file_id]
            size += len(msgspec.json.encode(row.metadata))
        if size > TOLD_BYTES_MAX:
            why = (
                f"the description of {len(files)} files has {size / 1e6:.0f} MB, expected at most "
                f"{TOLD_BYTES_MAX / 1e6:.0f}: give the job fewer files or files with less metadata"
            )
            raise _refused(f"{where}.inputs", why)

    def _is_readable(self, storage: str) -> bool:
        entry = self._book.storages.get(storage)
        return entry is not None and entry.readable

    # -- outputs, sites -------------------------------------------------------------------------

    def _steered(self, job: Job, steering: SiteChoice, files: Sequence[FileRow], where: str) -> Job:
        assert job.data is not None
        preference = job.preference
        if preference is None and steering.preferred and job.data.prefer_local_s:
            preference = Preference(sites=steering.preferred, for_s=job.data.prefer_local_s)
        job = msgspec.structs.replace(job, needs=_tagged(job.needs, steering.tags))
        if steering.sites is None:
            return msgspec.structs.replace(job, preference=preference)
        needs = [need for one in job.needs if (need := _at(one, steering.sites)) is not None]
        if not needs:
            raise _refused(f"{where}.data", self._nowhere(job, steering, files))
        return msgspec.structs.replace(job, needs=tuple(needs), preference=preference)

    def _nowhere(self, job: Job, steering: SiteChoice, files: Sequence[FileRow]) -> str:
        if steering.sites:
            some = ", ".join(sorted(steering.sites)[:SITES_SHOWN_MAX])
            return f"its data can be read only at {some}, and its needs allow none of these sites"
        for row in files:
            entries = [self._book.storages[name] for name in self._copies[row.file_id]]
            sites = sorted({site for one in entries for site in one.sites})
            if any(reaches(one, site) for one in entries for site in sites):
                some = ", ".join(sites[:SITES_SHOWN_MAX])
                return f"no site reaches all of its data: {row.did} can be read only at {some}"
        return "no site reaches all storages of its outputs"


def _tagged(needs: tuple[Need, ...], tags: frozenset[str]) -> tuple[Need, ...]:
    """Return needs that also name the tags of pilots that reach the storages."""
    if not tags:
        return needs
    words = " & ".join(sorted(tags))
    return tuple(
        msgspec.structs.replace(one, tags=f"({one.tags}) & {words}" if one.tags.strip() else words)
        for one in needs
    )


def _at(need: Need, sites: frozenset[str]) -> Need | None:
    """Return the need restricted to these sites, or None if it allows none of them."""
    allowed = sites & set(need.sites) if need.sites else sites - set(need.banned_sites)
    if not allowed:
        return None
    return msgspec.structs.replace(need, sites=tuple(sorted(allowed)), banned_sites=())


def outputs_to(book: StorageBook, names: Sequence[str], field: str) -> list[str]:
    """Return the storages to which an output may go. Raises Refused if there is none."""
    known = book.storages
    shown = ", ".join(sorted(known))
    for name in names:
        if name not in known:
            raise _refused(field, _unknown_storage(name, shown))
        if not known[name].writable:
            raise _refused(field, f"storage {name!r} is not writable")
    found = writable(book, names)
    if not found:
        named = f"name one of {shown}, in `storages` or with --data-storage"
        why = f"no storage is the default one: {named}" if known else NO_STORAGES
        raise _refused(field.removesuffix(".storages"), why)
    return found


def _unknown_storage(name: str, known: str) -> str:
    return f"unknown storage {name!r}; " + (f"known storages: {known}" if known else NO_STORAGES)


def _placed(
    data: JobData, found: Sequence[Sequence[FileRow]], own: int, where: str
) -> list[list[FileRow]]:
    """Return the files of each input, without files that an earlier input puts at the same path.

    Files of one input with the same last name get numbers (see `local_paths`); so do files that
    a transformation gives. Two files of different inputs among the first `own` ones must not
    have the same path: these are refused, since the user can give them different folders.
    """
    seen: dict[str, tuple[int, Did]] = {}
    there: set[tuple[str, Did]] = set()
    placed: list[list[FileRow]] = []
    for number, (one, rows) in enumerate(zip(data.inputs, found, strict=True)):
        placed.append([])
        for row in rows:
            path = path_of(row.did.name, one.to)
            if (path, row.did) in there:
                continue
            there.add((path, row.did))
            placed[-1].append(row)
            before, other = seen.setdefault(path, (number, row.did))
            if before != number < own:
                why = f"{other} and {row.did} both get path {path!r}: set different folders (to)"
                raise _refused(f"{where}.inputs", why)
    if len(there) > INPUTS_MAX:
        raise _refused(f"{where}.inputs", f"{len(there)} files, expected at most {INPUTS_MAX}")
    return placed


def _check_scratch(job: Job, size: int, where: str) -> None:
    """Refuse inputs that are larger than the scratch space that the job asks for."""
    for i, need in enumerate(job.needs):
        if need.scratch_mb and size > need.scratch_mb * 1_000_000:
            field = f"{where}.needs[{i}].scratch_mb"
            why = f"{need.scratch_mb} is less than the {size / 1e6:.1f} MB of its inputs"
            raise _refused(field, why)


def _refused(field: str, why: str) -> Refused:
    return Refused(Code.INVALID, f"{field}: {why}", field=field)


def _check_copies(job: Job, group: str, files: Sequence[FileRow], where: str) -> None:
    """Refuse copies of other groups' files unless the job does nothing but copy.

    A payload could store other bytes with the same size and Adler-32.
    """
    assert job.data is not None
    for i, one in enumerate(job.data.outputs):
        scope = one.did.partition(":")[0]
        if not one.did or of_group(scope, group):
            continue
        if not runs_nothing(job) or [str(row.did) for row in files] != [one.did]:
            right = (
                f"found {one.did}, expected a file of the job's group, {group}; to copy another "
                'group\'s file, use a rule, or a job with it as its one input that runs ["true"]'
            )
            raise _refused(f"{where}.outputs[{i}].did", right)


def runs_nothing(job: Job) -> bool:
    """Return whether a job runs no program of its user, so that no program can alter the files."""
    own = job.environment or job.inputs or job.image or job.software or job.modules
    return job.command == ("true",) and not own
