"""Outputs of CWL documents in a folder: names, and files that are there already."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any, cast

import pytest

from pilotage.central.client.client import AsyncClient
from pilotage.central.client.downloads.cwl_outputs import fetched
from pilotage.central.client.errors import FileThere
from pilotage.central.client.files import is_fetched


class Blobs:
    """A client that knows blobs, by their content."""

    def __init__(self, *contents: bytes) -> None:
        self.fetched = 0
        self._known = {hashlib.sha256(one).hexdigest(): one for one in contents}

    async def download_blob(self, sha256: str, target: Path) -> Path:
        if not is_fetched(target, "input", sha256, force=False):
            await asyncio.to_thread(target.write_bytes, self._known[sha256])
            self.fetched += 1
        return target


def output(content: bytes, name: str) -> dict[str, Any]:
    location = f"blob:{hashlib.sha256(content).hexdigest()}"
    return {"class": "File", "basename": name, "location": location}


def fetch(blobs: Blobs, outputs: Any, folder: Path) -> Any:
    return asyncio.run(fetched(cast(AsyncClient, blobs), outputs, folder))


def test_the_number_of_equal_names_is_before_the_ending(tmp_path: Path) -> None:
    names = ["fit.json", "fit.json", "plain", "plain", "fit.json"]
    contents = [b"a", b"b", b"c", b"d", b"e"]
    outputs = [output(one, name) for one, name in zip(contents, names, strict=True)]

    found = fetch(Blobs(*contents), outputs, tmp_path)

    assert [Path(one["path"]).name for one in found] == [
        *("fit.json", "fit_2.json", "plain", "plain_2", "fit_3.json")
    ]
    assert (tmp_path / "fit_2.json").read_bytes() == b"b"


def test_fetching_again_keeps_equal_files(tmp_path: Path) -> None:
    blobs = Blobs(b"a", b"b")
    outputs = [
        output(b"a", "fit.json"),
        output(b"b", "fit.json"),
        {"class": "File", "basename": "said.txt", "contents": "hi"},
    ]
    fetch(blobs, outputs, tmp_path)

    fetch(blobs, outputs, tmp_path)

    assert blobs.fetched == 2
    assert sorted(one.name for one in tmp_path.iterdir()) == ["fit.json", "fit_2.json", "said.txt"]


@pytest.mark.parametrize("content", [b"a", None])
def test_files_with_other_bytes_are_refused(tmp_path: Path, content: bytes | None) -> None:
    one = {"class": "File", "basename": "fit.json", "contents": "hi"}
    if content is not None:
        one = output(content, "fit.json")
    (tmp_path / "fit.json").write_text("other")

    with pytest.raises((FileThere, ExceptionGroup)) as raised:
        fetch(Blobs(b"a"), [one], tmp_path)

    assert (tmp_path / "fit.json").read_text() == "other"
    assert "--force" not in str(raised.value)
