"""Sends files to a Rucio server, and reads back what it has. Every step may be repeated.

The server answers 201 for other bytes under a known name, and changes nothing. So the names are
looked up before, and what the server has is read back after.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from pilotage.proto.catalogue import Did, Metadata, Value

from .files import RucioRule
from .http import RucioApi, RucioFailed, RucioRefused
from .remote_files import UNSORTED, read_as

THERE: Final = ("DataIdentifierAlreadyExists", "DuplicateRule")  # fine: asked before
DENIED: Final = "AccessDenied"  # of a right of the account in a scope, whatever the files are
DATASETS_KNOWN_MAX: Final = 10_000

_Found = dict[tuple[str, str], dict[str, Any]]


class _Copies(msgspec.Struct):
    """What must be in a row about the copies of a file."""

    states: dict[str, str] | None = None
    rses: dict[str, list[str]] | None = None


class OutgoingFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file with its names in Rucio."""

    entry_id: int
    did: Did
    bytes: int
    adler32: str
    metadata: Metadata
    datasets: tuple[Did, ...]
    rse: str
    pfn: str

    @property
    def key(self) -> tuple[str, str]:
        return self.did.scope, self.did.name

    @property
    def names(self) -> dict[str, str]:
        return _names(self.did)


class Delivered(msgspec.Struct, kw_only=True):
    """What became of files, by entry id."""

    taken: int = 0  # files that the server has, whether their datasets are complete or not
    confirmed: list[int] = msgspec.field(default_factory=list[int])
    clashes: dict[int, str] = msgspec.field(default_factory=dict[int, str])
    refused: dict[int, str] = msgspec.field(default_factory=dict[int, str])  # another try may help

    def add(self, other: "Delivered") -> None:
        """Add what became of other files."""
        self.taken += other.taken
        self.confirmed += other.confirmed
        self.clashes |= other.clashes
        self.refused |= other.refused


# Asks for the rules of datasets, and returns why the server refuses some of them.
AskRules = Callable[[Sequence[Did]], Awaitable[Mapping[Did, str]]]


class Deliverer:
    """Delivers files to one server. It remembers datasets that the server has."""

    def __init__(self, api: RucioApi, ask_rules: AskRules) -> None:
        self._api, self._ask_rules = api, ask_rules
        self._datasets: set[Did] = set()

    async def deliver(self, files: Sequence[OutgoingFile]) -> Delivered:
        """Deliver files, each at most once in the batch. Raises RucioAway.

        The server refuses a batch for one bad file. Then the halves are delivered; or the scopes,
        if a right is missing.
        """
        try:
            return await self._steps(files)
        except RucioRefused as why:
            parts = [files[: len(files) // 2], files[len(files) // 2 :]]
            if why.kind == DENIED:
                scopes = sorted({one.did.scope for one in files})
                parts = [[one for one in files if one.did.scope == scope] for scope in scopes]
            if len(files) == 1 or len(parts) == 1:
                return Delivered(refused={one.entry_id: str(why) for one in files})
        found = Delivered()
        for part in parts:
            found.add(await self.deliver(part))
        return found

    async def _steps(self, files: Sequence[OutgoingFile]) -> Delivered:
        known = await self._metadata(files, "DID_COLUMN")
        try:
            return await self._sent(files, known)
        except RucioFailed as why:  # its database has just answered, so it fails at these files
            raise RucioRefused("Failed", str(why)) from None

    async def _sent(self, files: Sequence[OutgoingFile], known: _Found) -> Delivered:
        found = Delivered()
        for one in files:
            if (there := known.get(one.key)) and (why := _other_bytes(one, there)):
                found.clashes[one.entry_id] = why
        left = [one for one in files if one.entry_id not in found.clashes]
        if left:
            await self._register(left)
            datasets = sorted({dataset for one in left for dataset in one.datasets})
            refused = await self._make(datasets)
            refused |= await self._attach(left, refused)
            await self._describe(left)
            refused |= await self._ask_rules([one for one in datasets if one not in refused])
            await self._read_back(left, refused, found)
        return found

    async def _register(self, files: Sequence[OutgoingFile]) -> None:
        by_rse: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for one in files:
            its = {**one.names, "bytes": one.bytes, "adler32": one.adler32, "pfn": one.pfn}
            by_rse[one.rse].append(its)
        for rse, several in by_rse.items():
            body = {"rse": rse, "files": several, "ignore_availability": True}
            await self._api.post("/replicas", body)

    async def _make(self, datasets: Sequence[Did]) -> dict[Did, str]:
        """Make datasets that are missing, and return why the server refuses some of them."""
        if len(self._datasets) > DATASETS_KNOWN_MAX:
            self._datasets.clear()
        refused: dict[Did, str] = {}
        for one in datasets:
            if one not in self._datasets:
                try:
                    await _once(
                        self._api, f"/dids/{one.scope}/{quote(one.name)}", {"type": "DATASET"}
                    )
                except RucioRefused as why:
                    refused[one] = str(why)
                else:
                    self._datasets.add(one)
        return refused

    async def _attach(
        self, files: Sequence[OutgoingFile], refused: Mapping[Did, str]
    ) -> dict[Did, str]:
        """Attach files to their datasets, and return why the server refuses some of these.

        The server refuses all for one closed dataset. Then each is sent alone.
        """
        inside: defaultdict[Did, list[dict[str, str]]] = defaultdict(list)
        for one in files:
            for dataset in one.datasets:
                if dataset not in refused:
                    inside[dataset].append(one.names)
        several = [{**_names(dataset), "dids": names} for dataset, names in inside.items()]
        try:
            await self._post_attachments(several)
        except RucioRefused as why:
            if len(inside) == 1:
                return dict.fromkeys(inside, str(why))
        else:
            return {}
        found: dict[Did, str] = {}
        for dataset, alone in zip(inside, several, strict=True):
            try:
                await self._post_attachments([alone])
            except RucioRefused as why:
                found[dataset] = str(why)
        return found

    async def _post_attachments(self, several: Sequence[object]) -> None:
        if several:
            body = {"attachments": several, "ignore_duplicate": True}
            await self._api.post("/dids/attachments", body)

    async def _describe(self, files: Sequence[OutgoingFile]) -> None:
        several = [
            {**one.names, "meta": {key: plain(value) for key, value in one.metadata.items()}}
            for one in files
            if one.metadata
        ]
        if several:
            await self._api.post("/dids/bulkdidsmeta", {"dids": several})

    # -- look ------------------------------------------------------------------------------------

    async def _read_back(
        self, files: Sequence[OutgoingFile], refused: Mapping[Did, str], found: Delivered
    ) -> None:
        copies = await self._copies(files)
        described = [one for one in files if one.metadata]
        known = await self._metadata(described, "ALL") if described else {}
        for one in files:
            there = copies.get(one.key)
            if there is None or one.rse not in (there.get("states") or {}):
                found.refused[one.entry_id] = f"Rucio shows no copy of {one.did} on {one.rse}"
            elif why := _other_bytes(one, there) or _other_copy(one, there):
                found.clashes[one.entry_id] = why
            elif why := _other_metadata(one, known.get(one.key, {})):
                found.refused[one.entry_id] = why
            else:
                found.taken += 1
                if held := [dataset for dataset in one.datasets if dataset in refused]:
                    found.refused[one.entry_id] = f"dataset {held[0]}: {refused[held[0]]}"
                else:
                    found.confirmed.append(one.entry_id)

    async def _metadata(self, files: Sequence[OutgoingFile], plugin: str) -> _Found:
        """Return what the server knows about files. Unknown files are omitted."""
        body = {"dids": [one.names for one in files], "plugin": plugin}
        return _by_name(await self._api.lines("/dids/bulkmeta", body))

    async def _copies(self, files: Sequence[OutgoingFile]) -> _Found:
        body = {
            "dids": [one.names for one in files],
            "schemes": sorted({one.pfn.partition(":")[0] for one in files}),
            "all_states": True,
            "ignore_availability": True,  # copies on RSEs that are off are copies
        }
        rows = await self._api.lines("/replicas/list", body, query=UNSORTED)
        read_as(list(rows), list[_Copies])
        return _by_name(rows)


async def ask_for_rule(api: RucioApi, account: str, dataset: Did, rule: RucioRule) -> None:
    """Ask for a rule on a dataset. A rule that is there already is fine.

    Raises RucioAway, RucioRefused.
    """
    body: dict[str, Any] = {
        "dids": [_names(dataset)],
        "account": account,
        "copies": rule.copies,
        "rse_expression": rule.rse_expression,
        "lifetime": rule.lifetime_s,
        "grouping": "DATASET",
        "asynchronous": True,
    }
    await _once(api, "/rules/", body)


async def _once(api: RucioApi, path: str, body: object) -> None:
    try:
        await api.post(path, body)
    except RucioRefused as why:
        if why.kind not in THERE:
            raise


def _names(did: Did) -> dict[str, str]:
    return {"scope": did.scope, "name": did.name}


def plain(value: Value) -> object:
    """Return a value as Rucio stores it: its filters cannot compare booleans."""
    return str(value).lower() if isinstance(value, bool) else value


def _by_name(rows: Sequence[Any]) -> _Found:
    """Return rows by the name of their file. Raises RucioAway if they have another form."""
    known = read_as(list(rows), list[dict[str, Any]])
    return {(str(row.get("scope")), str(row.get("name"))): row for row in known}


def _other_bytes(one: OutgoingFile, there: dict[str, Any]) -> str:
    """Return how the file of this name in Rucio differs, or an empty text."""
    for field, ours in (("bytes", one.bytes), ("adler32", one.adler32)):
        theirs = there.get(field)
        if theirs is not None and theirs != ours:
            return f"Rucio has another {one.did}: its {field} is {theirs}, not {ours}"
    kind = there.get("did_type") or "FILE"
    return "" if kind == "FILE" else f"Rucio has a {str(kind).lower()} with the name {one.did}"


def _other_copy(one: OutgoingFile, there: dict[str, Any]) -> str:
    """Return how the copy in Rucio differs, or an empty text.

    Rucio may add a port to our URL. It shows no PFN if the protocol is not for reading.
    """
    pfns = list(_pfns(there, one.rse))
    if pfns and not any(_path(pfn) == _path(one.pfn) for pfn in pfns):
        return f"Rucio has another copy of {one.did} on {one.rse}: {pfns[0]}, not {one.pfn}"
    return ""


def _pfns(there: dict[str, Any], rse: str) -> Iterator[str]:
    copies = cast(dict[str, list[Any]], there.get("rses") or {})
    yield from map(str, copies.get(rse) or ())


def _path(pfn: str) -> str:
    return "/".join(part for part in pfn.partition("://")[2].partition("/")[2].split("/") if part)


def _other_metadata(one: OutgoingFile, there: dict[str, Any]) -> str:
    """Return which key Rucio shows with another value, or an empty text."""
    for key, value in one.metadata.items():
        if not _is_same(there.get(key), plain(value)):
            return f"Rucio shows {key} of {one.did} as {there.get(key)!r}, not {plain(value)!r}"
    return ""


def _is_same(theirs: object, ours: object) -> bool:
    """Return whether a value came back. Rucio writes a number such as 1e17 with all its digits."""
    if isinstance(ours, float) and isinstance(theirs, int):
        return ours.is_integer() and theirs == int(ours)
    return str(theirs) == str(ours)
