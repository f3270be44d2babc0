"""Mirrors one Rucio server: polls its inputs, and compares everything once a day.

Rucio sends no event when a file gets metadata or is attached to a dataset. So the polls count, and
events only make a poll come at once. Each step may be repeated.
"""

import contextlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from pilotage.proto.catalogue import (
    BYTES_MAX,
    BadCatalogueField,
    Did,
    FileState,
    KeyType,
    Query,
    Value,
    check_path,
    checked_metadata,
)

from ..catalogue import record_read as catalogue_read
from ..catalogue.record_types import PRESENT, FileCursor, FileRow, NewFile, NewReplica
from ..catalogue.storages import Storages
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from . import record_mirror, remote_files
from .files import RucioEntry
from .http import RucioApi, RucioAway, RucioRefused
from .input_states import Content, InputState
from .names import inside, outside
from .remote_files import Name, RemoteCopies, RemoteName
from .storage_paths import path_below

TOGETHER: Final = 200  # files in a request and in a transaction
PAGE: Final = 1_000
OVERLAP_S: Final = 600.0  # the clocks may differ, and transactions there may take long
AGAIN_MAX: Final = 1_000  # waiting files that a poll looks at again
COMPARE_S: Final = 86_400.0
COMPARE_FIRST_S: Final = 3_600.0  # after the start
RSE_S: Final = 60.0  # between two looks at RSEs; a shorter period of an input counts
PAUSE_S: Final = 5.0  # after the first failure; doubled by each further one
PAUSE_MAX_S: Final = 300.0
HINT_S: Final = 1.0  # between two polls of an input that events ask for
CHANGED_MAX: Final = 10_000
LOST_MAX: Final = 1_000  # files that may be erased together without a doubt


_ADLER32: Final = re.compile("[0-9a-fA-F]{1,8}")


class _Waits(Exception):
    """A file cannot be shown here yet. The message says why."""


class _Unwanted(Exception):
    """A file is not meant by the input."""


class _Lists(NamedTuple):
    """The terms of a poll."""

    datasets: tuple[Did, ...]  # the files are attached to them
    full: bool  # everything is compared
    changed: frozenset[Name]  # files that events named


class ServerMirror:
    """The mirror of one server, until its file changes."""

    def __init__(
        self,
        name: str,
        entry: RucioEntry,
        api: RucioApi,
        owner_id: int,
        *,
        store: Store,
        storages: Storages,
        clock: Clock,
        log: Log,
        hide: Callable[[], None],
    ) -> None:
        self.name, self.entry, self._hide = name, entry, hide
        self._api, self._owner_id = api, owner_id
        self._store, self._storages, self._clock, self._log = store, storages, clock, log
        self.inputs = [InputState(one) for one in entry.inputs]
        self.off: dict[str, str] = {}  # storages that are not readable now, with their RSEs
        self.unknown: list[str] = []  # RSEs of its file that the server does not have
        self.why = ""  # why the server is not asked now
        self.compared_at: float | None = None  # wall clock
        self._compare_at = clock.monotonic() + COMPARE_FIRST_S
        self._rests_until = self._rses_at = 0.0
        self._rse_s = min([RSE_S, *(one.period_s for one in entry.inputs)])
        self._failures = 0
        self._seen: set[Did] = set()  # in a comparison
        self._types: Mapping[str, KeyType] = {}

    # -- when ------------------------------------------------------------------------------------

    def hint(self, scope: str, name: str, *, changed: bool) -> None:
        """Let inputs be polled soon. `changed`: the copies of this file, or the file, changed."""
        now = self._clock.monotonic()
        for one in self.inputs:
            if one.entry.scope == scope or one.entry.container:
                if changed and len(one.changed) < CHANGED_MAX:
                    one.changed.add((scope, name))
                one.due_at = min(one.due_at, max(now, one.asked_at + HINT_S))

    def compare_now(self) -> None:
        """Let the next turn compare everything."""
        self._compare_at = 0.0

    async def turn(self) -> None:
        """Poll the inputs that are due. Raises StoreError."""
        now = self._clock.monotonic()
        if now < self._rests_until:
            return
        full = now >= self._compare_at
        due = [one for one in self.inputs if full or now >= one.due_at]
        try:
            if now >= self._rses_at:
                await self._look_at_rses()
                self._rses_at = now + self._rse_s
            if due:
                await self._poll_all(due, full)
        except (RucioAway, RucioRefused) as why:
            for one in due:
                one.due_at = 0.0
            self.why = str(why)
            self._rests_until = now + min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(self._failures, 20))
            self._failures += 1
            self._log("rucio_away", rucio=self.name, why=self.why)
        else:
            self._failures, self.why = 0, ""

    async def _poll_all(self, due: Sequence[InputState], full: bool) -> None:
        keys = await self._store.read(catalogue_read.keys, self.entry.community)
        self._types = {one.key: one.type for one in keys}
        self._seen.clear()
        is_whole = True
        for one in due:
            one.asked_at = self._clock.monotonic()
            one.due_at = one.asked_at + one.entry.period_s  # an event may lower it
            try:
                await self._poll(one, full)
            except RucioRefused as why:
                is_whole = False
                if one.why != str(why):
                    self._log("rucio_refused", rucio=self.name, input=one.entry.key, why=str(why))
                one.why = str(why)
        if full:
            if is_whole:
                await self._find_erased()
                self.compared_at = self._clock.wall()
            self._compare_at = self._clock.monotonic() + COMPARE_S

    async def _look_at_rses(self) -> None:
        off: dict[str, str] = {}
        unknown: list[str] = []
        for rse, storage in self.entry.storages.items():
            try:
                if (await remote_files.rse(self._api, rse)).availability_read is False:
                    off[storage] = rse
            except RucioRefused as why:
                if why.kind not in remote_files.NOT_THERE:
                    raise RucioAway(str(why)) from None
                off[storage] = rse
                unknown.append(rse)
        for storage in off.keys() ^ self.off.keys():
            rse = {**off, **self.off}[storage]
            said = {"rucio": self.name, "rse": rse, "storage": storage}
            self._log("rse_off" if storage in off else "rse_on", **said)
        self.off, self.unknown = off, unknown
        self._hide()  # now: the polls that follow may take long

    # -- polls -----------------------------------------------------------------------------------

    async def _poll(self, one: InputState, full: bool) -> None:
        """Poll one input. Raises RucioAway, RucioRefused, StoreError."""
        entry, began = one.entry, self._clock.wall()
        changed, one.changed = frozenset(one.changed), set()
        lists = _Lists((), full, changed)
        if full:
            one.troubles.clear()
        if entry.container:
            with self._troubles(one, (entry.scope, entry.container)):
                await self._poll_container(one, lists)
        elif entry.dataset:
            await self._poll_dataset(one, (entry.scope, entry.dataset), lists)
        else:
            is_first = full or one.began_at is None
            since = None if is_first or one.began_at is None else one.began_at - OVERLAP_S
            rows = await remote_files.files_of_scope(self._api, entry.scope, since)
            await self._take(one, one.content((entry.scope, "")), rows, lists)
        one.began_at, one.polled_at, one.why = began, self._clock.wall(), ""

    async def _poll_container(self, one: InputState, lists: _Lists) -> None:
        name = (one.entry.scope, one.entry.container)
        did = self._ours(one, name)
        if did is None:
            return
        info = await remote_files.dataset(self._api, *name)
        datasets = await remote_files.datasets_below(self._api, *name)
        listed: set[Did] = set()
        for each in datasets:
            listed |= await self._poll_dataset(one, each, lists._replace(datasets=(did,)))
        states = [one.content(each) for each in datasets]
        is_open = info.open is not False or not all(each.is_whole for each in states)
        await self._settle(one.content(name), did, listed, is_open, lists.full)

    async def _poll_dataset(self, one: InputState, name: Name, lists: _Lists) -> set[Did]:
        """Poll a dataset. Return its files; none if a file here has the name of the dataset."""
        listed = set[Did]()
        with self._troubles(one, name):
            listed = await self._poll_good_dataset(one, name, lists)
        return listed

    async def _poll_good_dataset(self, one: InputState, name: Name, lists: _Lists) -> set[Did]:
        """Poll a dataset. Return its files. Raises BadCatalogueField if a file has its name."""
        did = self._ours(one, name)
        if did is None:
            return set()
        lists = lists._replace(datasets=(did, *lists.datasets))
        known = one.content(name)
        info = await remote_files.dataset(self._api, *name)
        if known.is_whole and info.open is False and not lists.full and not lists.changed:
            return self._dids(known.settled)
        rows = await remote_files.content(self._api, *name)
        rows = [each for each in rows if each.type == "FILE"]
        if any(lists.full or not known.is_known(each.key) for each in rows):
            await self._open(one, lists.datasets)
        await self._take(one, known, rows, lists)
        names = {each.key for each in rows}
        for each in [each for each in known.waiting if each not in names]:
            known.forget(each)
        listed = self._dids(names)
        is_open = info.open is not False or bool(known.waiting)
        known.is_whole = not is_open
        await self._settle(known, did, listed, is_open, lists.full)
        known.settled &= names
        return listed

    def _dids(self, names: Iterable[Name]) -> set[Did]:
        """Return our names. Those that we cannot hold are left out."""
        found: set[Did] = set()
        for name in names:
            with contextlib.suppress(BadCatalogueField):
                found.add(inside(*name, self.entry.strip))
        return found

    async def _open(self, one: InputState, dids: Sequence[Did]) -> None:
        """Open datasets here, so that files can be attached."""
        for did in dids:
            known = one.content(_name(outside(did, self.entry.strip)))
            if known.is_open:
                continue
            await self._store.write(
                record_mirror.settle_dataset,
                self.entry.community,
                did,
                (),
                is_open=True,
                owner_id=self._owner_id,
                at=self._clock.wall(),
            )
            known.is_open = True

    async def _settle(
        self, known: Content, did: Did, listed: set[Did], is_open: bool, full: bool
    ) -> None:
        """Detach files that Rucio's dataset does not have, and close the dataset if Rucio did."""
        if full:
            here = await self._files_of(did)
        else:
            here = self._dids(known.settled)
        gone = sorted(here - listed)
        if not gone and known.is_open is is_open:
            return
        await self._store.write(
            record_mirror.settle_dataset,
            self.entry.community,
            did,
            gone,
            is_open=is_open,
            owner_id=self._owner_id,
            at=self._clock.wall(),
        )
        known.is_open = is_open

    async def _files_of(self, dataset: Did) -> set[Did]:
        """Return the files of a dataset here."""
        found: set[Did] = set()
        after: FileCursor | None = FileCursor()
        while after is not None:
            page = await self._store.read(
                catalogue_read.find_files,
                self.entry.community,
                Query((), dataset),
                states=PRESENT,
                after=after,
                limit=PAGE,
            )
            found |= {row.did for row in page.files}
            after = page.next
        return found

    # -- files -----------------------------------------------------------------------------------

    async def _take(
        self, one: InputState, known: Content, rows: Sequence[RemoteName], lists: _Lists
    ) -> None:
        """Take over listed files, and look again at those that wait."""
        if lists.full:
            known.settled.clear()
            known.aside.clear()
        todo = {
            each.key: each
            for each in rows
            if not known.is_known(each.key) and each.key not in known.waiting
        }
        room = one.entry.files_max - len(known.settled)
        if len(todo) > room:
            why = f"has more files than files_max: {one.entry.files_max}"
            self._trouble(one, one.entry.key, why)
            todo = dict(list(todo.items())[: max(0, room)])
        listed = {each.key: each for each in rows}
        again = [*list(known.waiting)[:AGAIN_MAX], *(known.settled & lists.changed)]
        for name in again:
            todo[name] = listed.get(name, RemoteName(*name))
        several = list(todo.values())
        for start in range(0, len(several), TOGETHER):
            await self._take_some(one, known, several[start : start + TOGETHER], lists)

    async def _take_some(
        self, one: InputState, known: Content, rows: Sequence[RemoteName], lists: _Lists
    ) -> None:
        dids = {row.key: did for row in rows if (did := self._ours(one, row.key, known))}
        self._seen.update(dids.values())
        here = await self._here(list(dids.values()))
        attached = await self._store.read(
            catalogue_read.datasets_of, [file.file_id for file in here.values()]
        )
        asked: dict[Name, tuple[Did, FileRow | None, tuple[Did, ...]]] = {}
        for row in rows:
            did = dids.get(row.key)
            if did is None:
                continue
            file = here.get(did)
            inside_of = attached.get(file.file_id, ()) if file is not None else ()
            missing = tuple(each for each in lists.datasets if each not in inside_of)
            if file is not None and (why := _other_bytes(file, row.bytes, row.adler32)):
                self._set_aside(one, known, row.key, why)
            elif file is not None and self._is_settled(file, row.key, missing, lists):
                self._settled(one, known, row.key)
            else:
                asked[row.key] = did, file, missing
        if asked:
            await self._ask(one, known, asked, lists)

    def _is_settled(self, file: FileRow, name: Name, missing: Sequence[Did], lists: _Lists) -> bool:
        """Return whether a file here needs no look at Rucio."""
        is_here = file.state is FileState.AVAILABLE and not missing
        return is_here and not lists.full and name not in lists.changed

    async def _here(self, dids: Sequence[Did]) -> dict[Did, FileRow]:
        """Return the files that are here and not removed."""
        rows = await self._store.read(catalogue_read.files_by_did, self.entry.community, dids)
        return {row.did: row for row in rows if row and row.state is not FileState.REMOVED}

    async def _ask(
        self,
        one: InputState,
        known: Content,
        asked: Mapping[Name, tuple[Did, FileRow | None, tuple[Did, ...]]],
        lists: _Lists,
    ) -> None:
        """Ask for the metadata and copies of files, and register those that are ready."""
        found = await remote_files.details(self._api, list(asked))
        ready: list[tuple[Name, NewFile]] = []
        for name, (did, file, datasets) in asked.items():
            own = found.metadata.get(name)
            if own is None:
                known.forget(name)
                if name in lists.changed:
                    await self._erase([did])
                continue
            try:
                made = self._new_file(one, did, own, found.copies.get(name), file)
            except BadCatalogueField as why:
                self._set_aside(one, known, name, str(why))
            except _Waits as why:
                known.wait(name, str(why))
            except _Unwanted:
                known.set_aside(name)
            else:
                ready.append((name, _into(made, datasets)))
        if not ready:
            return
        outcomes = await self._store.write(
            record_mirror.mirror_files,
            self.entry.community,
            [made for _, made in ready],
            tuple(self.entry.storages.values()),
            at=self._clock.wall(),
        )
        for (name, _), outcome in zip(ready, outcomes, strict=True):
            if outcome.clash is not None:
                self._set_aside(one, known, name, str(outcome.clash))
            else:
                self._settled(one, known, name)

    def _new_file(
        self,
        one: InputState,
        did: Did,
        own: Mapping[str, Any],
        copies: RemoteCopies | None,
        file: FileRow | None,
    ) -> NewFile:
        """Return the file to register. Raises BadCatalogueField, _Waits, _Unwanted."""
        metadata = self._typed(one, own)
        if file is None:
            self._check_wanted(one, own, metadata)
        if copies is None or copies.bytes is None:
            raise _Waits("Rucio has no copy of it")
        if not 0 <= copies.bytes <= BYTES_MAX:
            raise BadCatalogueField("bytes", copies.bytes, f"a size of 0 to {BYTES_MAX} bytes")
        replicas = tuple(self._copies(copies))
        if not replicas and file is None:
            raise _Waits(f"it has no copy on {', '.join(self.entry.storages)}")
        adler32 = copies.adler32 or ""
        if not _ADLER32.fullmatch(adler32):
            raise BadCatalogueField("adler32", adler32, "an Adler-32 of 8 hexadecimal digits")
        if file is not None and (why := _other_bytes(file, copies.bytes, adler32)):
            raise BadCatalogueField("bytes", copies.bytes, why)
        return NewFile(
            did=did,
            bytes=copies.bytes,
            adler32=adler32.lower().zfill(8),
            metadata=metadata,
            replicas=replicas,
            owner_id=self._owner_id,
        )

    def _check_wanted(
        self, one: InputState, own: Mapping[str, Any], metadata: Mapping[str, Value]
    ) -> None:
        """Raise _Waits if a file lacks keys, and _Unwanted if the filter does not take it."""
        lacking = [key for key in one.entry.required if key not in metadata]
        if lacking:
            raise _Waits(f"it has no metadata {', '.join(lacking)}")
        if not one.filter.meets(own):
            keys = {term.key for terms in one.filter.alternatives for term in terms}
            lacking = sorted(key for key in keys if own.get(key) is None)
            if lacking:
                raise _Waits(f"it has no metadata {', '.join(lacking)}, which the filter names")
            raise _Unwanted

    def _copies(self, copies: RemoteCopies) -> Iterator[NewReplica]:
        """Yield the copies on our storages. Raises BadCatalogueField."""
        for rse, name in self.entry.storages.items():
            pfns, storage = copies.rses.get(rse), self._storages.book.storages.get(name)
            if not pfns or storage is None:
                continue
            path = path_below(storage, pfns)
            if path is None:
                right = f"a path below {storage.url}, the URL of the storage {name}"
                raise BadCatalogueField(f"pfn on {rse}", pfns[0], right)
            check_path(path, f"pfn on {rse}")
            yield NewReplica(storage=name, path=path)

    def _typed(self, one: InputState, own: Mapping[str, Any]) -> dict[str, Value]:
        """Return metadata with the types of their keys here. Values of other forms are left out."""
        found: dict[str, Value] = {}
        for key, value in own.items():
            if value is None:
                continue
            try:
                found.update(checked_metadata({key: _as(value, self._types.get(key))}))
            except BadCatalogueField as why:
                self._trouble(one, f"the key {key}", str(why))
        return found

    # -- erased files ----------------------------------------------------------------------------

    async def _find_erased(self) -> None:
        """Remove the files of this server that Rucio does not have any more."""
        lost: list[Did] = []
        count, after = 0, 0
        page: int | None = 0
        while page is not None:
            dids, page = await self._store.read(
                record_mirror.files_of_owner, self.entry.community, self._owner_id, after
            )
            count, after = count + len(dids), page or after
            unseen = [did for did in dids if did not in self._seen]
            for start in range(0, len(unseen), TOGETHER):
                lost += await self._lost(unseen[start : start + TOGETHER])
        if len(lost) > max(LOST_MAX, count / 2):
            why = f"Rucio shows {count - len(lost)} of {count} files: none is removed here"
            self._log("rucio_refused", rucio=self.name, input="", why=why)
            return
        for start in range(0, len(lost), TOGETHER):
            await self._erase(lost[start : start + TOGETHER])

    async def _lost(self, dids: Sequence[Did]) -> list[Did]:
        """Return those of the files that Rucio does not have."""
        names = {_name(outside(did, self.entry.strip)): did for did in dids}
        found = await remote_files.details(self._api, list(names))
        return [did for name, did in names.items() if name not in found.metadata]

    async def _erase(self, dids: Sequence[Did]) -> None:
        erased = await self._store.write(
            record_mirror.erase_files,
            self.entry.community,
            dids,
            tuple(self.entry.storages.values()),
            owner_id=self._owner_id,
            at=self._clock.wall(),
        )
        if erased:
            said = {"count": len(erased), "first": str(erased[0])}
            self._log("rucio_erased", rucio=self.name, **said)

    # -- troubles --------------------------------------------------------------------------------

    def _ours(self, one: InputState, name: Name, known: Content | None = None) -> Did | None:
        """Return our name, or note that we cannot hold Rucio's."""
        try:
            return inside(*name, self.entry.strip)
        except BadCatalogueField as why:
            if known is not None:
                known.set_aside(name)
            self._trouble(one, ":".join(name), str(why))
            return None

    @contextlib.contextmanager
    def _troubles(self, one: InputState, name: Name) -> Generator[None]:
        """Note that the catalogue cannot hold a dataset."""
        try:
            yield
        except BadCatalogueField as why:
            self._trouble(one, ":".join(name), str(why))

    def _settled(self, one: InputState, known: Content, name: Name) -> None:
        known.settle(name)
        one.troubles.pop(":".join(name), None)

    def _set_aside(self, one: InputState, known: Content, name: Name, why: str) -> None:
        known.set_aside(name)
        self._trouble(one, ":".join(name), why)

    def _trouble(self, one: InputState, name: str, why: str) -> None:
        if one.trouble(name, why):
            said = {"input": one.entry.key, "what": name, "why": why}
            self._log("rucio_skipped", rucio=self.name, **said)


def _name(did: Did) -> Name:
    return did.scope, did.name


def _into(made: NewFile, datasets: tuple[Did, ...]) -> NewFile:
    return msgspec.structs.replace(made, datasets=datasets)


def _other_bytes(file: FileRow, size: int | None, adler32: str | None) -> str:
    """Return how the bytes in Rucio differ from those of the file here, or an empty text."""
    if size is not None and size != file.bytes:
        return f"bytes: Rucio has {size}, the file of this name here has {file.bytes}"
    if adler32 and file.adler32 and adler32.lower().zfill(8) != file.adler32:
        return f"adler32: Rucio has {adler32}, the file of this name here has {file.adler32}"
    return ""


def _as(value: object, kind: KeyType | None) -> object:
    """Return a value as its key is typed here: Rucio keeps what it got, often a text."""
    if not isinstance(value, str):
        return value
    if kind is KeyType.BOOLEAN and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind is KeyType.NUMBER:
        try:
            return float(value)
        except ValueError:
            return value
    return value
