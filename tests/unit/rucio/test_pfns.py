"""The PFN of a copy is one that the RSE's protocol accepts."""

import pytest

from pilotage.central.catalogue.storages import StorageEntry
from pilotage.central.rucio.remote_files import RseProtocol
from pilotage.central.rucio.storage_paths import path_below, pfn_of

#     type  url                        protocols                      pfn
TABLE = """
      davs  https://se.org:1094/ctao   davs://se.org:1094/ctao/       davs://se.org:1094/ctao/o/a
      davs  https://se.org/ctao        https://se.org:443/            https://se.org:443/ctao/o/a
      davs  https://se.org/ctao        davs://se.org:0/ctao           davs://se.org/ctao/o/a
      davs  https://se.org/ctao        root://se.org:1094/ctao/       -
      davs  https://se.org/ctao        davs://other.org:443/ctao/     -
      davs  https://se.org/ctao        davs://se.org:443/ctao2/       -
      root  root://se.org//ctao        roots://se.org:1094//ctao/     roots://se.org:1094/ctao/o/a
      file  file:///data/pic           file://localhost:0/data/pic/   file://localhost/data/pic/o/a
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_the_pfn_has_scheme_host_port_and_prefix_of_a_protocol(line: str) -> None:
    kind, url, protocol, pfn = line.split()
    scheme, _, rest = protocol.partition("://")
    host, _, rest = rest.partition("/")
    name, _, port = host.partition(":")
    others = [RseProtocol("gsiftp", "se.org", 2811, "/"), RseProtocol("xyz")]
    one = RseProtocol(scheme, name, int(port), f"/{rest}")
    found = pfn_of(StorageEntry(type=kind, url=url), "o/a", [*others, one])

    assert found == ("" if pfn == "-" else pfn)


@pytest.mark.parametrize(("path", "is_written"), [("o/run=7+é.h5", True), ("o/a%41?b", False)])
def test_xrootd_gets_a_path_as_it_is_or_not_at_all(path: str, is_written: bool) -> None:
    entry = StorageEntry(type="root", url="root://se.org//ctao")
    pfn = pfn_of(entry, path, [RseProtocol("root", "se.org", 1094, "//ctao/")])

    assert pfn == (f"root://se.org:1094/ctao/{path}" if is_written else "")


def test_a_path_with_reserved_characters_comes_back_unchanged() -> None:
    entry = StorageEntry(type="davs", url="https://se.org/ctao")
    path = "o/7/1/~2/run 1#é?%41.h5"
    pfn = pfn_of(entry, path, [RseProtocol("davs", "se.org", 443, "/ctao/")])

    assert "?" not in pfn and "#" not in pfn and " " not in pfn
    assert path_below(entry, [pfn]) == path
