"""Outputs of many jobs: into one folder or one archive, all at once or after an interruption."""

import hashlib
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import zstandard

from pilotage.central.client.downloads import output_transfer
from pilotage.central.client.downloads.output_plan import OutputPlan, WantedOutput, name_pattern
from pilotage.central.client.errors import (
    BadDownload,
    FilesClash,
    FileThere,
    Invalid,
    MissingPackage,
    NotWritten,
    UnsafeName,
)
from pilotage.proto.api.file_bundles import MISSING, size_line
from pilotage.proto.api.jobs import JobView, OutputView
from pilotage.proto.api.outputs import JobOutputs, OutputsPage
from pilotage.proto.job_states import JobState

from .stub_central import Got, StubCentral, ok, stream, view


class Central(StubCentral):
    """A central with the outputs of some jobs."""

    def __init__(self, outputs: dict[int, dict[str, bytes]], **state: JobState) -> None:
        super().__init__()
        self.outputs, self.state = outputs, state
        self.parameters: dict[int, dict[str, Any]] = {}
        self.asked: list[tuple[int, str]] = []  # contents, one by one or in bundles
        self.lost: set[str] = set()
        self.changed = self.cut = False
        self.always["GET /v1/jobs/outputs"] = self._list
        self.always["POST /v1/jobs/outputs"] = self._bundle
        for job, files in outputs.items():
            for name in files:
                self.always[f"GET /v1/jobs/{job}/outputs/{name}"] = self._alone(job, name)

    def _list(self, got: Got) -> httpx.Response:
        given = {int(one) for one in got.query.get_list("id")}
        after = int(got.query.get("after", 0))
        left = [job for job in sorted(self.outputs) if job > after and (job in given or not given)]
        page = [self._job(job, place) for place, job in enumerate(left[:3], after + 1)]
        return ok(OutputsPage(jobs=page, after=left[2] if len(left) > 3 else None))(got)

    def _job(self, job: int, place: int) -> JobOutputs:
        return JobOutputs(
            view=view_of(job, self.state.get(f"_{job}", JobState.DONE)),
            index=place,
            parameters=self.parameters.get(job, {}),
            outputs=[kept(name, content) for name, content in self.outputs[job].items()],
        )

    def _bundle(self, got: Got) -> httpx.Response:
        text = b""
        for file in got.json()["files"]:
            job, name = file["job"], file["name"]
            self.asked.append((job, name))
            content = self.outputs[job][name]
            wrong = b"?" * len(content) if self.changed else content
            text += MISSING if name in self.lost else size_line(len(content)) + wrong
        pieces: list[bytes | Exception] = [text[: len(text) // 2], text[len(text) // 2 :]]
        if self.cut:
            self.cut, pieces[1] = False, httpx.ReadError("broken")
        return stream(*pieces)(got)

    def _alone(self, job: int, name: str) -> Callable[[Got], httpx.Response]:
        def answer(got: Got) -> httpx.Response:
            self.asked.append((job, name))
            return stream(self.outputs[job][name])(got)

        return answer


def view_of(job: int, state: JobState) -> JobView:
    return msgspec.structs.replace(view(job, state), ended_at="2026-01-02T03:04:05Z")


def kept(name: str, content: bytes) -> OutputView:
    sha256 = hashlib.sha256(content).hexdigest()
    return OutputView(name=name, size_bytes=len(content), sha256=sha256, epoch=1)


def all_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


MANY = {job: {"a.txt": b"%d" % job, "log/b.dat": b"x" * job, "": b""} for job in range(1, 9)}
for files in MANY.values():
    del files[""]


async def test_each_job_has_a_folder_and_a_second_call_fetches_nothing(tmp_path: Path) -> None:
    central = Central(MANY)
    seen: list[tuple[int, int]] = []
    async with central.client() as client:
        found = await client.download_all(
            MANY, tmp_path / "to", on_progress=lambda done, total: seen.append((done, total))
        )
        asked = len(central.asked)
        again = await client.download_all(MANY, tmp_path / "to")

    expected = {f"{job}/{name}": text for job, some in MANY.items() for name, text in some.items()}
    assert all_in(tmp_path / "to") == expected
    assert [f"{one.path.relative_to(tmp_path / 'to')}" for one in found.files] == list(expected)
    assert (asked, len(central.asked)) == (len(expected), len(expected))
    assert again == found and found.is_complete
    assert seen[-1] == (sum(map(len, expected.values())),) * 2


async def test_a_second_call_fetches_only_what_lacks(tmp_path: Path) -> None:
    central = Central(MANY)
    async with central.client() as client:
        await client.download_all(MANY, tmp_path)
        (tmp_path / "3/a.txt").unlink()
        (tmp_path / "5/log/b.dat").unlink()
        central.asked.clear()
        await client.download_all(MANY, tmp_path)

    assert central.asked == [(3, "a.txt"), (5, "log/b.dat")]
    assert len(all_in(tmp_path)) == 16


async def test_a_cut_answer_is_asked_for_again_from_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_transfer, "_WRITTEN_FILES", 1)
    central = Central(MANY)
    central.cut = True
    async with central.client() as client:
        found = await client.download_all(MANY, tmp_path)

    assert len(all_in(tmp_path)) == 16 and found.is_complete
    assert 16 < len(central.asked) < 32


async def test_names_are_patterns_and_templates_use_parameters(tmp_path: Path) -> None:
    central = Central({7: {"a.txt": b"7", "b.log": b"-"}, 9: {"a.txt": b"9"}})
    central.parameters = {7: {"mass": 0.5}, 9: {"mass": 10}}
    async with central.client() as client:
        found = await client.download_all(
            [9, 7, 9], tmp_path, names=["*.txt"], template="{mass}/{job}-{index}-{name}"
        )

    assert all_in(tmp_path) == {"0.5/7-1-a.txt": b"7", "10/9-2-a.txt": b"9"}
    assert [one.job for one in found.files] == [7, 9]


async def test_what_gives_nothing_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    outputs = {1: {"a": b"1"}, 2: {"a": b"2"}, 3: {"b": b"3"}, 4: {"a": b"4"}}
    central = Central({**outputs, 5: {}}, _2=JobState.RUNNING)
    central.lost = {"a"}
    async with central.client() as client:
        found = await client.download_all([1, 2, 3, 4, 5, 6], tmp_path, names=["a", "c"])

    assert all_in(tmp_path) == {}
    assert (found.unfinished, found.empty, found.missing) == ([2], [3, 5], [6])
    assert found.lost == [(1, "a"), (4, "a")] and not found.is_complete


@pytest.mark.parametrize(
    "outputs",
    [
        {5: {"hist": b"5"}, 6: {"hist": b"6"}},
        {5: {"hist": b"5"}, 6: {"Hist": b"6"}},
        {5: {"hist": b"5"}, 6: {"hist/a": b"6"}},
        {5: {"Hist/a": b"5"}, 6: {"hist": b"6"}},
        {5: {"log": b"5"}, 6: {"other": b"", "a/b/c": b"6"}, 7: {"A/b": b"7"}},
    ],
)
async def test_outputs_that_clash_are_refused_before_the_first_byte(
    outputs: dict[int, dict[str, bytes]], tmp_path: Path
) -> None:
    central = Central(outputs)
    async with central.client() as client:
        with pytest.raises(FilesClash, match=r"of job \d and output .* clash .*nothing was fetch"):
            await client.download_all(outputs, tmp_path / "to", template="{name}")

    assert not (tmp_path / "to").exists() and not central.asked


@pytest.mark.parametrize("there", ["5/hist", "5", "5/hist/a", "5/deep"])
async def test_files_that_are_there_are_found_before_the_first_byte(
    there: str, tmp_path: Path
) -> None:
    central = Central({5: {"first": b"1", "hist": b"h", "deep/er": b"d"}})
    (tmp_path / there).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / there).write_bytes(b"mine")
    async with central.client() as client:
        with pytest.raises(FileThere, match="nothing was fetched|--to"):
            await client.download_all([5], tmp_path)
        is_replaceable = there == "5/hist"
        if is_replaceable:
            await client.download_all([5], tmp_path, force=True)

    assert all_in(tmp_path)[there] == (b"h" if is_replaceable else b"mine")
    assert len(central.asked) == (3 if is_replaceable else 0)


@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "a\0b"])
async def test_no_name_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    central = Central({5: {name: b"evil"}})
    async with central.client() as client:
        with pytest.raises(UnsafeName):
            await client.download_all([5], tmp_path / "to", template="{name}")
        with pytest.raises(UnsafeName):
            await client.download_all([5], tmp_path / "to")
        with pytest.raises(UnsafeName):
            await client.archive_all([5], tmp_path / "to.tar")

    assert os.listdir(tmp_path) == []


async def test_a_parameter_leads_not_out_of_the_folder(tmp_path: Path) -> None:
    central = Central({5: {"a": b"evil"}})
    central.parameters = {5: {"x": "../.."}}
    async with central.client() as client:
        with pytest.raises(UnsafeName):
            await client.download_all([5], tmp_path / "to", template="{x}/{name}")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("link", ["5", "5/deep", "5/first"])
async def test_nothing_is_written_through_a_link_in_the_folder(
    link: str, force: bool, tmp_path: Path
) -> None:
    central = Central({5: {"first": b"1", "deep/er": b"d"}})
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "first").write_bytes(b"mine")
    target = outside / "first" if link == "5/first" else outside
    (tmp_path / "to" / link).parent.mkdir(parents=True)
    (tmp_path / "to" / link).symlink_to(target)
    async with central.client() as client:
        if force and link == "5/first":
            await client.download_all([5], tmp_path / "to", force=True)  # the link is replaced
        else:
            with pytest.raises(FileThere, match="symbolic link"):
                await client.download_all([5], tmp_path / "to", force=force)

    assert all_in(outside) == {"first": b"mine"}


async def test_a_file_that_comes_in_between_is_not_replaced(tmp_path: Path) -> None:
    central = Central({5: {"a": b"theirs"}})

    def create(got: Got) -> httpx.Response:
        (tmp_path / "5").mkdir()
        (tmp_path / "5/a").write_bytes(b"mine")
        return stream(b"theirs")(got)

    central.always["GET /v1/jobs/5/outputs/a"] = create
    async with central.client() as client:
        with pytest.raises(FileThere, match="exists with other bytes"):
            await client.download_all([5], tmp_path)

    assert all_in(tmp_path) == {"5/a": b"mine"}


async def test_wrong_bytes_are_never_written(tmp_path: Path) -> None:
    central = Central(MANY)
    central.changed = True
    async with central.client() as client:
        with pytest.raises(BadDownload):
            await client.download_all(MANY, tmp_path)

    assert all_in(tmp_path) == {}


async def test_a_part_of_a_killed_command_is_written_again(tmp_path: Path) -> None:
    central = Central({5: {"a": b"whole"}, 6: {"a": b"whole"}})
    async with central.client() as client:
        await client.download_all([5], tmp_path)
        key = hashlib.sha256(b"6 a " + hashlib.sha256(b"whole").hexdigest().encode()).hexdigest()
        part = tmp_path / f"6/.a.{key[:16]}.part"
        part.parent.mkdir()
        part.write_bytes(b"a longer part than the file")
        await client.download_all([5, 6], tmp_path)

    assert all_in(tmp_path) == {"5/a": b"whole", "6/a": b"whole"}


async def test_a_second_name_of_a_whole_file_that_a_killed_command_has_left_goes(
    tmp_path: Path,
) -> None:
    central = Central({6: {"a": b"whole"}, 7: {"a": b"x"}})
    async with central.client() as client:
        await client.download_all([6, 7], tmp_path)
        key = hashlib.sha256(b"6 a " + hashlib.sha256(b"whole").hexdigest().encode()).hexdigest()
        (tmp_path / f"6/.a.{key[:16]}.part").hardlink_to(tmp_path / "6/a")
        await client.download_all([6, 7], tmp_path)

    assert all_in(tmp_path) == {"6/a": b"whole", "7/a": b"x"}


async def test_an_output_with_the_name_of_a_partial_file_is_refused(tmp_path: Path) -> None:
    key = hashlib.sha256(b"5 a " + hashlib.sha256(b"x").hexdigest().encode()).hexdigest()
    central = Central({5: {"a": b"x", f".a.{key[:16]}.part": b"y"}})
    async with central.client() as client:
        with pytest.raises(FilesClash, match="partial file"):
            await client.download_all([5], tmp_path)


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    central = Central({5: {"a" * 300: b"x"}})
    async with central.client() as client:
        with pytest.raises(NotWritten, match="File name too long"):
            await client.download_all([5], tmp_path)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{mas}", "job 5 has no parameter {mas}: its names are {index}, {mass}, {job}, {name}"),
        ("{job!r}", "is not {job}, {index}, {name} or the name of a parameter"),
        ("{0}", "is not {job}, {index}, {name} or the name of a parameter"),
        ("{job", "write literal braces"),
    ],
)
async def test_a_wrong_template_is_refused_before_the_first_byte(
    template: str, why: str, tmp_path: Path
) -> None:
    central = Central({5: {"a": b"x"}})
    central.parameters = {5: {"mass": 1}}
    async with central.client() as client:
        with pytest.raises(Invalid) as told:
            await client.download_all([5], tmp_path, template=template)

    assert why in str(told.value) and not central.asked


def opened(file: Path) -> dict[str, tuple[bytes, int]]:
    raw = file.read_bytes()
    if file.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(raw)
        file = file.with_suffix("")
        file.write_bytes(raw)
    found: dict[str, tuple[bytes, int]] = {}
    with tarfile.open(file) as tar:
        for one in tar:
            content = tar.extractfile(one)
            assert content is not None
            found[one.name] = (content.read(), int(one.mtime))
    return found


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst"])
async def test_an_archive_has_the_outputs_in_order(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_transfer, "SMALL_BYTES", 4)
    central = Central(MANY)
    file = tmp_path / f"all{suffix}"
    async with central.client() as client:
        found = await client.archive_all(MANY, file)
        with pytest.raises(FileThere, match="exists"):
            await client.archive_all(MANY, file)
        await client.archive_all([1], tmp_path / f"one{suffix}", names=["a*"], template="{name}")
        assert sorted(os.listdir(tmp_path)) == [f"all{suffix}", f"one{suffix}"]

    ended = 1767323045
    expected = {
        f"{job}/{name}": (text, ended) for job, some in MANY.items() for name, text in some.items()
    }
    assert list(opened(file).items()) == list(expected.items())
    assert len(found.files) == 16
    assert opened(tmp_path / f"one{suffix}") == {"a.txt": (b"1", ended)}


async def test_nothing_is_left_of_an_archive_that_fails(tmp_path: Path) -> None:
    central = Central(MANY)
    central.changed = True
    async with central.client() as client:
        with pytest.raises(BadDownload):
            await client.archive_all(MANY, tmp_path / "all.tar.gz")
        with pytest.raises(Invalid, match=r"ends with .tar.zst, .tar.gz or .tar"):
            await client.archive_all(MANY, tmp_path / "all.zip")

    assert os.listdir(tmp_path) == []


async def test_without_zstandard_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    central = Central(MANY)
    async with central.client() as client:
        with pytest.raises(MissingPackage, match=r"pip install zstandard"):
            await client.archive_all(MANY, tmp_path / "all.tar.zst")

    assert not central.got


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("*.txt", ["a.txt", ".txt"], ["a/b.txt", "a.txt.gz"]),
        ("**/*.txt", ["a.txt", "a/b.txt", "a/b/c.txt"], ["a/b.log"]),
        ("log/**", ["log/a", "log/a/b"], ["log", "a/log/b"]),
        ("a[1].txt", ["a1.txt", "a[1].txt"], ["a2.txt"]),
        ("hist", ["hist"], ["hist/a", "Hist"]),
    ],
)
def test_patterns_are_those_of_outputs(pattern: str, fits: list[str], fits_not: list[str]) -> None:
    one = name_pattern(pattern)

    assert all(map(one, fits)) and not any(map(one, fits_not))


def test_bundles_are_bounded_and_large_outputs_are_alone() -> None:
    large, small = output_transfer.SMALL_BYTES + 1, output_transfer.SMALL_BYTES
    sizes = [1, 1, large, 1, *[small] * 9, *[0] * 600]
    wanted = [WantedOutput(n, "a", size, "", "", "") for n, size in enumerate(sizes)]
    bundles = output_transfer.bundles_of(wanted)

    assert [one for bundle in bundles for one in bundle] == wanted
    assert [len(bundle) for bundle in bundles[:4]] == [2, 1, 8, 2 + 498]
    assert all(len(bundle) <= output_transfer.BUNDLE_FILES for bundle in bundles)


def test_a_plan_of_very_many_outputs_is_quick() -> None:
    plan = OutputPlan(["*.txt"], "{job}/{name}")
    for job in range(20_000):
        plan.add(JobOutputs(view=view_of(job, JobState.DONE), outputs=[kept("a.txt", b"")]))
    plan.check(Path())

    assert len(plan.wanted) == 20_000
