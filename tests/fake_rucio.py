"""A Rucio server in memory, with the answers of a real one as far as the central asks for them."""

import json
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pilotage.central.rucio.http import RucioAway, RucioFailed, RucioRefused

Name = tuple[str, str]
FAILS = "fails"  # a name at which the server fails inside, in place of the class of an exception


@dataclass
class FakeFile:
    """A file of the server."""

    bytes: int
    adler32: str | None
    copies: dict[str, str]  # PFN by RSE
    meta: dict[str, Any]
    created_at: float


@dataclass
class FakeDataset:
    """A dataset or container of the server."""

    type: str
    names: list[Name] = field(default_factory=list[Name])
    open: bool = True


class FakeRucio:
    """The server. `asked` has the paths of its requests."""

    def __init__(self, wall: Callable[[], float], *rses: str) -> None:
        self._wall = wall
        self.files: dict[Name, FakeFile] = {}
        self.datasets: dict[Name, FakeDataset] = {}
        self.readable = dict.fromkeys(rses, True)
        self.asked: list[str] = []
        self.is_deterministic = False
        self.protocols: dict[str, list[dict[str, Any]]] = {}  # by RSE
        self.rules: list[tuple[Name, str]] = []  # dataset and RSE expression
        self.refused: dict[
            str, str
        ] = {}  # class of the exception, by name, scope or RSE expression
        self.added = 0  # copies that it has ever got by requests
        self.around: Callable[[bool], None] = lambda is_over: None  # a request begins, or is over
        self.is_away = False
        self.cut_at = ""  # a path whose answer ends too early, once

    def add(
        self,
        did: str,
        *,
        rse: str = "A",
        size: int = 3,
        adler32: str | None = "0000000a",
        **meta: Any,
    ) -> None:
        """Add a file with one copy."""
        scope, name = did.split(":")
        pfn = f"davs://{rse.lower()}.example.org:443/top/data{name}"
        self.files[scope, name] = FakeFile(size, adler32, {rse: pfn}, dict(meta), self._wall())

    def dataset(self, did: str, *inside: str, kind: str = "DATASET") -> FakeDataset:
        """Make or return a dataset, with more in it."""
        scope, name = did.split(":")
        found = self.datasets.setdefault((scope, name), FakeDataset(kind))
        for one in inside:
            its_scope, _, its_name = one.partition(":")
            found.names.append((its_scope, its_name))
        return found

    def file(self, did: str) -> FakeFile:
        scope, name = did.split(":")
        return self.files[scope, name]

    def erase(self, did: str) -> None:
        """Erase a file, also from datasets."""
        scope, name = did.split(":")
        del self.files[scope, name]
        for one in self.datasets.values():
            one.names = [each for each in one.names if each != (scope, name)]

    # -- RucioApi --------------------------------------------------------------------------------

    async def get(self, path: str) -> Any:
        self._begin(path)
        kind, _, rest = path.strip("/").partition("/")
        if kind == "rses":
            if rest not in self.readable:
                raise RucioRefused("RSENotFound", rest)
            protocols = self.protocols.get(rest, [])
            return {
                "rse": rest, "availability_read": self.readable[rest], "protocols": protocols,
                "deterministic": self.is_deterministic,
            }  # fmt: skip
        found = self._dataset(rest)
        return {"type": found.type, "open": found.open}

    async def post(self, path: str, body: Any) -> None:
        self._begin(path)
        if path == "/replicas":
            self._add_copies(body["rse"], body["files"])
        elif path == "/dids/attachments":
            self._attach(body["attachments"])
        elif path == "/dids/bulkdidsmeta":
            for one in body["dids"]:
                self.files[_name(one)].meta.update(one["meta"])
        elif path == "/rules/":
            self._add_rule(_name(body["dids"][0]), body["rse_expression"])
        else:
            scope, _, name = urllib.parse.unquote(path.removeprefix("/dids/")).partition("/")
            self._refuse(name)
            if (scope, name) in self.datasets:
                raise RucioRefused("DataIdentifierAlreadyExists", "it is there")
            self.datasets[scope, name] = FakeDataset(body["type"])
        self.around(True)

    def _refuse(self, *words: str) -> None:
        for word in words:
            if self.refused.get(word) == FAILS:
                raise RucioFailed("status 500")
            if word in self.refused:
                raise RucioRefused(self.refused[word], f"{word} is refused")

    def _add_copies(self, rse: str, files: Sequence[Mapping[str, Any]]) -> None:
        """Add copies. Other bytes under a known name change nothing, and are no error."""
        self._refuse(*(one["name"] for one in files), *(one["scope"] for one in files))
        for one in files:
            its = FakeFile(one["bytes"], one["adler32"], {}, {}, self._wall())
            copies = self.files.setdefault(_name(one), its).copies
            if rse not in copies:
                self.added += 1
                copies[rse] = one["pfn"]

    def _attach(self, attachments: Sequence[Mapping[str, Any]]) -> None:
        for one in attachments:
            if not self.datasets[_name(one)].open:
                raise RucioRefused("UnsupportedOperation", f"{one['name']} is closed")
        for one in attachments:
            names = self.datasets[_name(one)].names
            names += [_name(did) for did in one["dids"] if _name(did) not in names]

    def _add_rule(self, dataset: Name, rse_expression: str) -> None:
        self._refuse(rse_expression)
        if (dataset, rse_expression) in self.rules:
            raise RucioRefused("DuplicateRule", "it is there")
        self.rules.append((dataset, rse_expression))

    async def lines(
        self, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Sequence[Any]:
        self._begin(path)
        if path == "/dids/bulkmeta" or path == "/replicas/list":
            assert isinstance(body, dict)
            names = [(one["scope"], one["name"]) for one in body["dids"]]
            plugin = body.get("plugin", "")
            rows: list[Any] = [self._row(path, one, plugin) for one in names if one in self.files]
        elif path.endswith("/dids/search"):
            rows = self._found(path.split("/")[2], query or {})
        else:
            rows = [self._inside(one) for one in self._dataset(path[6:-5]).names]
        if self.cut_at == path:
            self.cut_at = ""
            raise RucioAway(f"{path}: incomplete")
        self.around(True)
        return rows

    def _begin(self, path: str) -> None:
        self.asked.append(path)
        if self.is_away:
            raise RucioAway("no connection")
        self.around(False)

    def _dataset(self, path: str) -> FakeDataset:
        scope, _, name = urllib.parse.unquote(path).partition("/")
        if (scope, name) not in self.datasets:
            raise RucioRefused("DataIdentifierNotFound", f"{scope}:{name}")
        return self.datasets[scope, name]

    def _inside(self, name: Name) -> dict[str, Any]:
        row: dict[str, Any] = {"scope": name[0], "name": name[1]}
        if name in self.datasets:
            return {**row, "type": self.datasets[name].type}
        its = self.files[name]
        return {**row, "type": "FILE", "bytes": its.bytes, "adler32": its.adler32}

    def _row(self, path: str, name: Name, plugin: str) -> dict[str, Any]:
        its, row = self.files[name], {"scope": name[0], "name": name[1]}
        if path == "/dids/bulkmeta":
            columns = {"bytes": its.bytes, "adler32": its.adler32, "did_type": "FILE"}
            shown = columns if plugin in ("DID_COLUMN", "ALL") else {}
            return {**row, **shown, **(its.meta if plugin in ("JSON", "ALL") else {})}
        rses = {rse: [pfn] for rse, pfn in its.copies.items()}
        states = dict.fromkeys(its.copies, "AVAILABLE")
        return {**row, "bytes": its.bytes, "adler32": its.adler32, "rses": rses, "states": states}

    def _found(self, scope: str, query: Mapping[str, str]) -> list[str]:
        (said,) = json.loads(query.get("filters", "[{}]"))
        since = said.get("created_at.gte", "1970-01-01 00:00:00")
        return [
            name
            for (its_scope, name), its in self.files.items()
            if its_scope == scope
            and time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(its.created_at)) >= since
        ]


def _name(one: Mapping[str, Any]) -> Name:
    return one["scope"], one["name"]
