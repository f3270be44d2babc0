"""A type of storage of another package: an entry point for the central, one for the pilot."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pilotage.central.catalogue.locality import steer
from pilotage.central.catalogue.remote.signed_urls import SigningType
from pilotage.central.catalogue.remote.storage_http import S3Keys
from pilotage.central.catalogue.storage_types import storage_type, wrong_url
from pilotage.central.catalogue.storages import StorageBook, read_storage
from pilotage.central.identity import signature
from pilotage.central.operate.distribution.extra_drivers import BadDriver, additions, complete
from pilotage.central.operate.distribution.handout import Handout
from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.central.operate.files import RealDisk
from pilotage.central.operate.local_pilots import PilotPlan, argv
from pilotage.central.rucio.remote_files import RseProtocol
from pilotage.central.rucio.storage_paths import path_below, pfn_of

from .interpreters import fit_minors

ONLY_CENTRAL = "import msgspec  # no pilot has it\n"
TYPE = """
from pilotage.central.catalogue.storage_types import StorageType

class ShelfType(StorageType):
    tag = "ladder"
    credential = "keys"
    webdav = True
    second_url = True
    pfn_schemes = {"shelf": 0, "rack": 0}

    def signed_url(self, entry, method, path, *, keys, now, life_s, sha256=""):
        return f"{entry.url}/{path}?{method}-{keys.access}-{sha256[:3]}"

    def wrong(self, url):
        return "" if url.startswith("shelf://") else "expected shelf://name"

TYPE = ShelfType()
"""
DRIVER = """
import shutil
from pathlib import Path
from pilotage.pilot.data.storages import CopyChecksums
from .shelves import place_on

class ShelfStorage:
    tag = "ladder"
    programs = ("ladder", "torch")

    def put(self, source, place, *, go_on):
        shutil.copy(source, place_on(place))
        return CopyChecksums(Path(source).stat().st_size, "", "")

    def get(self, place, to, *, bytes_max, go_on):
        shutil.copy(place_on(place), to)
        return CopyChecksums(Path(to).stat().st_size, "", "")
"""
SHELVES = """
def place_on(place):
    return place.url[len("shelf://"):] + "/" + place.path
"""
FILES = {
    "shelf/__init__.py": ONLY_CENTRAL,
    "shelf/central.py": TYPE,
    "shelf/pilot/__init__.py": "from .driver import ShelfStorage\n",
    "shelf/pilot/driver.py": DRIVER,
    "shelf/pilot/shelves.py": SHELVES,
    "shelf_alone.py": "import a_module_that_no_node_has\n",
    "shelf_broken.py": "raise OSError('no shelf today')\n",
}
SHELF_FILE = """
type: shelf
url: shelf://north/data
https_url: https://north:8443/data
tpc: true
credential: {source: keys, options: {file: /etc/keys}}
"""
ENTRIES = """
[pilotage.storages]
shelf = shelf.central:TYPE
broken = shelf_broken:TYPE
http = shelf.central:TYPE
[pilotage.pilot.storages]
shelf = shelf.pilot:ShelfStorage
alone = shelf_alone:AloneStorage
"""
STORES = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pilotage.pilot.data.drivers import programs, storages
from pilotage.pilot.data.storages import CopyLocation
told = []
found = storages(lambda event, facts: told.append([event, facts["type"], facts["why"]]))
place = CopyLocation(f"shelf://{sys.argv[2]}", "copy")
put = found["shelf"].put(Path(sys.argv[1]), place, go_on=lambda: None)
got = found["shelf"].get(place, Path(sys.argv[2]) / "back", bytes_max=-1, go_on=lambda: None)
assert got == put and programs(found)["ladder"] == ("ladder", "torch")
print(json.dumps([sorted(found), told, put.size_bytes, "importlib.metadata" in sys.modules]))
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the package of somebody else, and return where."""
    folder = tmp_path / "site"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    facts = folder / "shelf-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    importlib.invalidate_caches()
    storage_type.cache_clear()
    additions.cache_clear()
    yield folder
    storage_type.cache_clear()
    additions.cache_clear()
    for name in [one for one in sys.modules if one.split(".")[0] in ("shelf", "shelf_alone")]:
        del sys.modules[name]


def test_the_central_knows_the_type_of_another_package(site: Path) -> None:
    assert wrong_url("shelf", "shelf://north") == ("", "")
    assert wrong_url("shelf", "http://north/")[1].endswith("expected shelf://name")
    assert wrong_url("tape", "tape://x")[1].endswith(
        "types: broken, davs, file, http, root, s3, shelf"
    )


def test_all_that_the_central_must_know_is_in_the_file_of_the_type(
    site: Path, tmp_path: Path
) -> None:
    file = tmp_path / "north.yaml"
    file.write_text(SHELF_FILE)
    entry = read_storage(file)
    book = StorageBook({"north": entry})
    rse = RseProtocol("rack", "north", 0, "/data")

    assert book.access("north").options.signed_urls
    assert steer(book, [(1, ["north"])], []).tags == {"ladder"}
    assert pfn_of(entry, "a b", [rse]) == "rack://north/data/a%20b"
    assert path_below(entry, ["rack://north/data/a%20b"]) == "a b"
    assert isinstance(entry.kind, SigningType)
    keys = S3Keys("me", "secret")
    signed = entry.kind.signed_url(entry, "PUT", "x", keys=keys, now=0.0, life_s=1, sha256="abcd")
    assert signed == "shelf://north/data/x?PUT-me-abc"


def test_what_does_not_derive_from_the_class_of_types_is_refused(site: Path) -> None:
    (site / "shelf" / "central.py").write_text("TYPE = 7\n")

    assert wrong_url("shelf", "shelf://north") == (
        "type",
        "shelf.central:TYPE of the type 'shelf' is 7, expected a StorageType",
    )


def test_a_type_that_fails_or_comes_twice_is_refused_by_its_name(site: Path) -> None:
    field, why = wrong_url("broken", "broken://x")
    assert (field, why) == (
        "type",
        "shelf_broken:TYPE of the type 'broken' cannot be loaded: OSError('no shelf today')",
    )
    assert "is installed twice" in wrong_url("http", "http://host/x")[1]
    assert wrong_url("file", "file:///data") == ("", "")


def test_the_pilot_that_a_central_hands_out_stores_there(site: Path, tmp_path: Path) -> None:
    signer = signature.load(tmp_path, disk=RealDisk())
    pyz = tmp_path / "pilot.pyz"
    pyz.write_bytes(Handout(pilot_bundle(), signer, lambda: "http://x").files().signed.content)

    for python in fit_minors():
        argv = [python, "-I", "-S", "-c", STORES, str(pyz), str(tmp_path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)

        assert done.returncode == 0, done.stderr
        known, told, stored, has_metadata = json.loads(done.stdout)
        why = repr(ModuleNotFoundError("No module named 'a_module_that_no_node_has'"))
        assert known == ["davs", "file", "http", "root", "s3", "shelf"]
        assert told == [["storage_type_left_out", "alone", why]]
        assert stored == pyz.stat().st_size
        assert not has_metadata, "a start reads no metadata of packages"
        assert (tmp_path / "copy").read_bytes() == pyz.read_bytes()
        assert (tmp_path / "back").read_bytes() == pyz.read_bytes()


def test_the_same_packages_give_the_same_bytes(site: Path) -> None:
    bundle = pilot_bundle().read_bytes()
    first = complete(bundle)
    additions.cache_clear()

    assert complete(bundle) == first != bundle


def test_without_other_packages_it_is_the_bundle_itself() -> None:
    bundle = pilot_bundle().read_bytes()

    assert complete(bundle) == bundle


def test_a_pilot_that_is_started_here_has_them_too(site: Path, tmp_path: Path) -> None:
    plan = PilotPlan(central="http://x", secret="s", state=tmp_path / "state")
    plan.state.mkdir()
    words = argv(plan, tmp_path / "secret")

    assert words[3] == str(plan.state / "pilot.pyz")
    assert Path(words[3]).read_bytes() == complete(pilot_bundle().read_bytes())


def _compiled(site: Path) -> None:
    (site / "shelf" / "pilot" / "fast.abi3.so").touch()


def _gone(site: Path) -> None:
    (site / "shelf_alone.py").unlink()


@pytest.mark.parametrize(
    ("breaks", "told"),
    [(_compiled, r"shelf\.pilot.*fast\.abi3\.so is compiled"), (_gone, "source is not installed")],
)
def test_a_package_that_cannot_go_into_it_stops_the_central(
    site: Path, tmp_path: Path, breaks: object, told: str
) -> None:
    assert callable(breaks)
    breaks(site)

    with pytest.raises(BadDriver, match=told):
        Handout(pilot_bundle(), signature.load(tmp_path, disk=RealDisk()), lambda: "http://x")
