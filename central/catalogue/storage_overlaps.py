"""Find storages whose folders may contain each other, from their URLs and real paths. Pure."""

import posixpath
import urllib.parse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from .storage_types import names_host

_PORTS: Final = {"http": 80, "https": 443}
_Folder = tuple[str, ...]


class Location(NamedTuple):
    """The place of a storage."""

    url: str
    real: str = ""  # the real path of a folder, without links, as this machine sees it


def overlaps(locations: Mapping[str, Location]) -> dict[str, str]:
    """Return, for each storage whose bytes may be those of another one, the name of such a storage.

    Folders are compared by their URLs, and by their real paths on this machine. Servers on
    different ports of one host may share files, so such storages overlap. A folder and a web
    server are not compared: a sweep looks for each path on both.
    """
    trees: defaultdict[str, list[tuple[str, _Folder]]] = defaultdict(list)
    ports: defaultdict[str, dict[tuple[str, int], str]] = defaultdict(dict)
    found: dict[str, str] = {}
    for name, (url, real) in locations.items():
        if not names_host(url):
            trees["as it is written"].append((name, _parts(url)))
            if real:
                trees["as it is seen"].append((name, _split(real)))
            continue
        where = urllib.parse.urlsplit(url)
        trees[f"//{_host(where)}"].append((name, _parts(url)))
        ports[_host(where)].setdefault(_port(where), name)
    for tree in trees.values():
        for one, other in _nested(tree):
            found.setdefault(one, other)
            found.setdefault(other, one)
    for name, (url, _) in locations.items():
        where = urllib.parse.urlsplit(url)
        if names_host(url) and len(known := ports[_host(where)]) > 1:
            other = next(one for port, one in known.items() if port != _port(where))
            found.setdefault(name, other)
    return found


def _nested(tree: Sequence[tuple[str, _Folder]]) -> Iterable[tuple[str, str]]:
    """Yield pairs of storages of which one contains the other, at least one for each such storage.

    Storages with the same folder are each paired with the first of them.
    """
    first: dict[_Folder, str] = {}
    for name, folder in tree:
        first.setdefault(folder, name)
    for name, folder in tree:
        for length in range(len(folder) + 1):
            other = first.get(folder[:length], name)
            if other != name:
                yield name, other


def _host(url: urllib.parse.SplitResult) -> str:
    return (url.hostname or "").rstrip(".")


def _port(url: urllib.parse.SplitResult) -> tuple[str, int]:
    return url.scheme, url.port or _PORTS.get(url.scheme, 0)


def _parts(url: str) -> _Folder:
    return _split(urllib.parse.unquote(urllib.parse.urlsplit(url).path))


def _split(path: str) -> _Folder:
    return tuple(part for part in posixpath.normpath(f"/{path}").split("/") if part)
