"""The drivers on the oldest Python of nodes, from the bundle that pilots run from."""

import json
import subprocess
import zlib
from dataclasses import asdict
from pathlib import Path

import pytest

from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.pilot.data.storages import CopyLocation, Credential
from tests.integration.interpreters import oldest_fit

from .conftest import REPLACING, Rig

CONTENT = bytes(range(256)) * 9_000
PATH = "local/7/1/results/run"

# Reads a JSON object; prints what each call returned or raised.
PROGRAM = """
import json, sys
given = json.load(sys.stdin)
sys.path.insert(0, given["bundle"])
from importlib import import_module
from pathlib import Path
from pilotage.pilot.data.storages import CopyLocation, Credential, StorageError
from pilotage.proto.storages import StorageOptions
driver = getattr(import_module(given["module"]), given["driver"])()

def place(one):
    urls = {(method, path): url for method, path, url in one["urls"]}
    options = StorageOptions(**{**one["options"], "nodes": tuple(one["options"]["nodes"])})
    return CopyLocation(one["url"], one["path"], options, Credential(one["token"], urls))

def said(call, *args, **named):
    try:
        found = call(*args, **named)
    except (StorageError, OSError) as why:
        return [type(why).__name__, str(why)]
    return found if found is None or isinstance(found, int) else [found.size_bytes, found.adler32]

there, missing = place(given["there"]), place(given["missing"])
to, go_on = Path(given["to"]), lambda: None
told = {
    "put": said(driver.put, Path(given["source"]), there, go_on=go_on),
    "size": said(driver.size, there),
    "get": said(driver.get, there, to, bytes_max=1 << 30, go_on=go_on),
    "missing": said(driver.get, missing, to, bytes_max=1 << 30, go_on=go_on),
    "put again": said(driver.put, Path(given["source"]), there, go_on=go_on),
    "remove": said(driver.remove, there),
}
if hasattr(driver, "get_rest"):
    to.write_bytes(Path(given["source"]).read_bytes()[:1000])
    told["rest"] = said(driver.get_rest, there, to, bytes_max=1 << 30, go_on=go_on)
print(json.dumps(told))
"""


def plain(place: CopyLocation) -> dict[str, object]:
    credential = place.credential or Credential()
    urls = [[method, path, url] for (method, path), url in credential.urls.items()]
    return {
        "url": place.url,
        "path": place.path,
        "options": asdict(place.options),
        "token": credential.token,
        "urls": urls,
    }


@pytest.mark.skipif(oldest_fit() is None, reason="no Python 3.9 here")
def test_each_driver_works_on_the_oldest_python(
    rig: Rig, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    given = {
        "bundle": str(pilot_bundle()),
        "module": type(rig.driver).__module__,
        "driver": type(rig.driver).__name__,
        "there": plain(rig.place(PATH, source)),
        "missing": plain(rig.place("local/7/1/missing", source)),
        "source": str(source),
        "to": str(tmp_path / "got"),
    }
    done = subprocess.run(
        [str(oldest_fit()), "-I", "-S", "-W", "error", "-c", PROGRAM],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    whole = [len(CONTENT), f"{zlib.adler32(CONTENT):08x}"]
    replaces = request.node.callspec.params["rig"] in REPLACING
    assert (told["put"], told["size"], told["get"]) == (whole, len(CONTENT), whole)
    assert told["missing"][0] == "CopyMissing", told
    if replaces:
        assert (told["put again"], told["remove"]) == (whole, None)
        assert told["rest"][0] == "CopyMissing", told
    else:
        assert (told["put again"][0], told["remove"][0]) == ("NameTaken", "StorageRefused"), told
        assert told.get("rest", whole) == whole, told
