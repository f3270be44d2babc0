"""Files that travel: only new ones are sent, and what comes back is checked."""

import hashlib
import os
from pathlib import Path

import httpx
import pytest

from pilotage.central.client.errors import (
    BadDownload,
    FileThere,
    Invalid,
    NotFound,
    StoreFull,
    UnsafeName,
)
from pilotage.central.client.files import LocalFile, hash_file
from pilotage.proto.api.jobs import Blob, BlobAnswer, Outputs, OutputView

from .stub_central import Got, StubCentral, ok, problem, stream

CONTENT = b"events " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def keeping(stub: StubCentral, name: str, *pieces: bytes, sha256: str = SHA256) -> None:
    kept = OutputView(name=name, size_bytes=len(CONTENT), sha256=sha256, epoch=1)
    stub.always["GET /v1/jobs/5/outputs"] = ok(Outputs(job=5, outputs=[kept]))
    stub.always[f"GET /v1/jobs/5/outputs/{name}"] = stream(*pieces)


async def test_only_files_that_are_missing_travel(tmp_path: Path) -> None:
    stub = StubCentral()
    (tmp_path / "new").write_bytes(CONTENT)
    (tmp_path / "old").write_bytes(b"known")
    stub.always["POST /v1/blobs/missing"] = ok(BlobAnswer(missing=[SHA256]))
    stub.always[f"PUT /v1/blobs/{SHA256}"] = ok(Blob(sha256=SHA256, size_bytes=len(CONTENT)))
    async with stub.client() as client:
        inputs = await client.upload([tmp_path / "new", LocalFile(tmp_path / "old", "renamed")])

    assert [one.name for one in inputs] == ["new", "renamed"]
    assert stub.lines() == ["POST /v1/blobs/missing", f"PUT /v1/blobs/{SHA256}"]
    assert stub.got[1].body == CONTENT
    assert stub.got[1].headers["content-length"] == str(len(CONTENT))


async def test_a_refused_upload_raises_its_own_error(tmp_path: Path) -> None:
    stub = StubCentral()
    (tmp_path / "new").write_bytes(CONTENT)
    stub.always["POST /v1/blobs/missing"] = ok(BlobAnswer(missing=[SHA256]))
    stub.always[f"PUT /v1/blobs/{SHA256}"] = problem(507, "store_full", "the disk is full")
    async with stub.client() as client:
        with pytest.raises(StoreFull):
            await client.upload([tmp_path / "new"])


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_a_file_above_the_limit_is_refused_before_anything_is_sent(
    tmp_path: Path, kind: str
) -> None:
    stub, large = StubCentral(), tmp_path / "large"
    if kind == "folder":
        large.mkdir()
        (large / "content").write_bytes(bytes(20_000))
    else:
        large.write_bytes(bytes(20_000))
    (tmp_path / "small").write_bytes(CONTENT)

    def answer(got: Got) -> httpx.Response:
        return ok(BlobAnswer(missing=got.json()["sha256"], bytes_max=10_000))(got)

    stub.always["POST /v1/blobs/missing"] = answer
    async with stub.client() as client:
        with pytest.raises(Invalid) as why:
            await client.upload([tmp_path / "small", large])

    assert stub.lines() == ["POST /v1/blobs/missing"]
    assert str(why.value).startswith(f"{large}: ")
    assert "the central accepts at most 10000: store it with `pilotage data put`" in str(why.value)


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    entry = hash_file(LocalFile(tmp_path / "empty")).input

    assert (entry.size_bytes, entry.sha256[:8]) == (0, "e3b0c442")


def test_a_folder_is_packed_the_same_way_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.py").write_text("1")
    first = hash_file(LocalFile(folder))
    (folder / "sub" / "a.py").write_text("1")  # newer, with the same bytes
    second = hash_file(LocalFile(folder))

    assert first.input.unpack
    assert first.input.sha256 == second.input.sha256
    for one in (first, second):
        one.path.unlink()


async def test_an_output_arrives_under_its_own_name(tmp_path: Path) -> None:
    stub = StubCentral()
    keeping(stub, "sub/hist.json", CONTENT[:100], CONTENT[100:])
    async with stub.client() as client:
        path = await client.download(5, "sub/hist.json", tmp_path)

    assert path == tmp_path / "sub/hist.json"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "pieces", [(CONTENT, b"more"), (CONTENT[:50],), (CONTENT, httpx.ReadError("broken"))]
)
async def test_a_wrong_download_leaves_nothing_behind(
    tmp_path: Path, pieces: tuple[bytes, ...]
) -> None:
    stub = StubCentral()
    keeping(stub, "hist.json", *pieces)
    async with stub.client() as client:
        with pytest.raises(Exception, match="expected sha256|no answer"):
            await client.download(5, "hist.json", tmp_path / "old.json")

    assert os.listdir(tmp_path) == []


async def test_a_wrong_hash_has_an_error_of_its_own(tmp_path: Path) -> None:
    stub = StubCentral()
    keeping(stub, "hist.json", b"other")
    async with stub.client() as client:
        with pytest.raises(BadDownload):
            await client.download(5, "hist.json", tmp_path)


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b"])
async def test_an_output_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    stub = StubCentral()
    keeping(stub, name, CONTENT)
    async with stub.client() as client:
        with pytest.raises(UnsafeName):
            await client.download(5, name, tmp_path)


async def test_an_output_that_was_not_kept_is_not_asked_for(tmp_path: Path) -> None:
    stub = StubCentral()
    keeping(stub, "hist.json", CONTENT)
    async with stub.client() as client:
        with pytest.raises(NotFound, match="no output 'other'"):
            await client.download(5, "other", tmp_path)


async def test_names_with_odd_characters_are_quoted(tmp_path: Path) -> None:
    stub = StubCentral()
    asked: list[Got] = []

    def answer(got: Got) -> httpx.Response:
        asked.append(got)
        return stream(CONTENT)(got)

    keeping(stub, "a b?c#d")
    stub.always["GET /v1/jobs/5/outputs/a b?c#d"] = answer
    async with stub.client() as client:
        await client.download(5, "a b?c#d", tmp_path)

    assert asked


def keeping_each(stub: StubCentral, outputs: dict[int, dict[str, bytes]]) -> None:
    for job, files in outputs.items():
        kept = [
            OutputView(
                name=name,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                epoch=1,
            )
            for name, content in files.items()
        ]
        stub.always[f"GET /v1/jobs/{job}/outputs"] = ok(Outputs(job=job, outputs=kept))
        for name, content in files.items():
            stub.always[f"GET /v1/jobs/{job}/outputs/{name}"] = stream(content)


def all_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def test_the_output_of_a_second_job_does_not_replace_that_of_the_first(
    tmp_path: Path,
) -> None:
    stub = StubCentral()
    keeping_each(stub, {5: {"hist": b"of 5"}, 6: {"hist": b"of 6"}})
    client = stub.client()
    target = await client.download(5, "hist", tmp_path)

    with pytest.raises(FileThere, match="output hist of job 6: .*hist exists with other bytes"):
        await client.download(6, "hist", tmp_path)
    assert target.read_bytes() == b"of 5"
    assert await client.download(5, "hist", tmp_path) == target  # the same bytes may stay
    await client.download(6, "hist", tmp_path, force=True)
    assert target.read_bytes() == b"of 6"
