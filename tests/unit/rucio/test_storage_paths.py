"""Where PFNs of Rucio lie below the URLs of our storages."""

import pytest

from pilotage.central.catalogue.storages import StorageEntry
from pilotage.central.rucio.storage_paths import path_below

#   type, URL of the storage, PFN, path
PLACES = [
    ("davs", "https://se.example.org/top", "davs://se.example.org:443/top/a/b", "a/b"),
    ("davs", "https://se.example.org:1094/", "https://se.example.org:1094//a%20b", "a b"),
    ("davs", "https://se.example.org/top", "davs://se.example.org:1094/top/a", None),
    ("davs", "https://se.example.org/top", "root://se.example.org/top/a", None),
    ("davs", "https://se.example.org/top", "davs://other.example.org/top/a", None),
    ("davs", "https://se.example.org/top", "davs://se.example.org/topless/a", None),
    ("davs", "https://se.example.org/top", "davs://se.example.org/top", None),
    ("root", "roots://se.example.org//top", "root://se.example.org:1094//top/a", "a"),
    ("file", "file:///srv/pic", "file://localhost:0/srv/pic/a", "a"),
    ("http", "http://web.example.org/x", "http://web.example.org:80/x/a", "a"),
    ("file", "file:///srv/pic", "file://localhost:port/srv/pic/a", None),
]


@pytest.mark.parametrize(("kind", "url", "pfn", "path"), PLACES)
def test_the_path_is_what_follows_the_url(kind: str, url: str, pfn: str, path: str | None) -> None:
    assert path_below(StorageEntry(type=kind, url=url), ["srm://x/y", pfn]) == path
