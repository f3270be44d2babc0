"""Tools and descriptions that try to break the run of a tool, or to reach files outside of it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pilotage.pilot.cwl import tool_job
from pilotage.pilot.cwl.tool_job import IN, OUT, PERMANENT, SUCCESS
from tests.integration.interpreters import oldest_fit

from .test_tool_job import spec


def ran(tmp_path: Path, script: str, **more: Any) -> dict[str, Any]:
    return tool_job.run(spec(sys.executable, "-c", script, **more), tmp_path / "job", {})


def entries(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["path"]: one for one in result["files"]}


# ---- what a description asks for -----------------------------------------------------------------


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    """An input folder and an input file of the user."""
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "kept").write_text("kept")
    (tmp_path / "file").write_text("kept")
    return {"folder": str(tmp_path / "given"), "file": str(tmp_path / "file")}


LINKED = [
    {"path": f"{OUT}/d", "kind": "folder", "source": "folder"},
    {"path": f"{OUT}/f", "kind": "file", "source": "file"},
]
INTO_INPUTS = [
    {"path": f"{OUT}/d/kept", "kind": "text", "source": "mine"},
    {"path": f"{OUT}/d/new/text", "kind": "text", "source": "mine"},
    {"path": f"{OUT}/d/link", "kind": "file", "source": "file"},
    {"path": f"{OUT}/d/copy", "kind": "file", "source": "file", "writable": True},
    {"path": f"{OUT}/d/empty", "kind": "empty", "source": ""},
]


@pytest.mark.parametrize("entry", INTO_INPUTS, ids=lambda one: one["path"])
def test_nothing_is_laid_into_an_input(
    tmp_path: Path, inputs: dict[str, str], entry: dict[str, Any]
) -> None:
    with pytest.raises(OSError, match="never changed"):
        tool_job.run(spec("true", stage=[*LINKED, entry]), tmp_path / "job", inputs)

    assert os.listdir(inputs["folder"]) == ["kept"]
    assert (tmp_path / "given" / "kept").read_text() == "kept"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_with_the_name_of_an_input_does_not_change_it(
    tmp_path: Path, inputs: dict[str, str], stream: str
) -> None:
    words = spec("sh", "-c", "echo new; echo new >&2", stage=LINKED, **{stream: "f"})

    tool_job.run(words, tmp_path / "job", inputs)

    assert (tmp_path / "file").read_text() == "kept"
    assert (tmp_path / "job" / "out" / "f").read_text() == "new\n"


def test_a_copy_or_text_takes_the_place_of_a_link(tmp_path: Path, inputs: dict[str, str]) -> None:
    other = tmp_path / "other"
    other.write_text("other")
    stage = [*LINKED, {"path": f"{OUT}/f", "kind": "file", "source": "other", "writable": True}]

    tool_job.run(spec("true", stage=stage), tmp_path / "job", {**inputs, "other": str(other)})

    assert (tmp_path / "file").read_text() == "kept"
    assert (tmp_path / "job" / "out" / "f").read_text() == "other"


@pytest.mark.parametrize("name", ["/../stolen", "../../stolen", "a/../../../stolen"])
def test_streams_stay_below_the_folder_of_the_job(tmp_path: Path, name: str) -> None:
    tool_job.run(spec("echo", "hello", stdout=name, stderr=name), tmp_path / "job", {})

    assert sorted(os.listdir(tmp_path)) == ["job"]
    assert not Path("/stolen").exists()


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    stage = [{"path": f"{IN}/{name}", "kind": "text", "source": ""}]

    with pytest.raises(OSError, match="cannot be made|too long"):
        tool_job.run(spec("true", stage=stage), tmp_path / "job", {})


@pytest.mark.parametrize("word", ["a\0b", "a\ud800b", "x" * 4_000_000])
def test_a_word_that_no_command_can_have_fails_the_tool(tmp_path: Path, word: str) -> None:
    found = tool_job.run(spec("echo", word, success=[127]), tmp_path, {})

    assert (found["code"], found["status"]) == (127, PERMANENT)
    assert found["why"]


@pytest.mark.parametrize("limit_s", [-1, 0.3, 1e-9])
def test_a_limit_ends_the_command_even_if_its_code_is_a_success(
    tmp_path: Path, limit_s: float
) -> None:
    began = time.monotonic()

    found = tool_job.run(spec("sleep", "60", limit_s=limit_s, success=[-9]), tmp_path, {})

    assert (found["code"], found["status"]) == (-9, PERMANENT)
    assert str(limit_s) in found["why"]
    assert time.monotonic() - began < 20


# ---- what a command leaves -----------------------------------------------------------------------


def _linked_pipe(path: Path) -> None:
    os.mkfifo(path.parent / "p")
    path.symlink_to("p")


LEFT: dict[str, Callable[[Path], object]] = {
    "a pipe": lambda path: os.mkfifo(path),
    "a link to a pipe": lambda path: _linked_pipe(path),
    "a socket": lambda path: socket.socket(socket.AF_UNIX).bind(os.path.relpath(path)),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link above the folder": lambda path: path.symlink_to(".."),
    "an absolute link": lambda path: path.symlink_to("/etc"),
    "a link with ..": lambda path: path.symlink_to("../out/../../../../../../../etc/passwd"),
    "a link into the folder of processes": lambda path: path.symlink_to("/proc/self"),
}


@pytest.mark.parametrize("left", LEFT)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_is_no_output_is_named_and_not_opened(
    tmp_path: Path, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tool_job._Job(spec("true"), tmp_path / "job", {})
    out = tmp_path / "job" / "out"
    monkeypatch.chdir(out)
    LEFT[left](out / "it")
    (out / "good").write_text("good")

    found = {one["path"]: one for one in job.listing()}

    assert found["it"]["kind"] == "leaves"
    assert found["it"]["why"].startswith("it ")
    assert found["good"]["kind"] == "file"
    assert not any(one.startswith("it/") for one in found)


def test_names_that_are_not_utf_8_are_shown_escaped(tmp_path: Path) -> None:
    script = r"""
import os
open(b"a\xff.txt", "w").write("x")
os.mkdir(b"d\xfe")
open(b"d\xfe/in", "w").write("x")
open("ü\n.txt", "w").write("x")
"""
    found = entries(ran(tmp_path, script))

    assert found["a\\udcff.txt"]["why"] == found["d\\udcfe"]["why"] == "its name is not UTF-8"
    assert found["ü\n.txt"]["kind"] == "file"
    assert len(found) == 3
    json.dumps(list(found)).encode()


def test_links_of_folders_to_each_other_end(tmp_path: Path) -> None:
    script = """
import os
for name in "abc":
    os.mkdir(name)
for one in "abc":
    for other in "abc":
        os.symlink(f"../{other}", f"{one}/{other}")
"""
    found = entries(ran(tmp_path, script))

    assert found["a/b/c"]["kind"] == "folder"
    assert found["a/b/c/a"]["why"] == found["a/a"]["why"] == "it is a link to a folder above it"
    assert len(found) < 100


@pytest.mark.parametrize(
    "script",
    [
        "for n in range(60): open(str(n), 'w').close()",
        # 10 folders with 3 links each to the next: 3 ** 10 paths
        "import os\n"
        "for n in range(11): os.mkdir(str(n))\n"
        "for n in range(10):\n"
        "    for m in 'abc': os.symlink(f'../{n + 1}', f'{n}/{m}')",
    ],
    ids=["files", "links"],
)
def test_a_listing_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(tool_job, "LISTED_MAX", 50)

    found = ran(tmp_path, script)

    assert found["files"] == []
    assert found["status"] == PERMANENT
    assert "more than 50 files" in found["why"]


def test_folders_may_be_nested_as_deep_as_paths_are_long(tmp_path: Path) -> None:
    script = """
import os
for n in range(3000):
    os.mkdir("d")
    os.chdir("d")
"""
    found = ran(tmp_path, script)

    assert found["status"] == SUCCESS
    assert 1500 < len(found["files"]) < 3000


def test_contents_of_a_listing_have_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_job, "HEADS_BYTES", 50_500)
    script = "for n in range(100): open(f'{n:03}', 'w').write('x' * 1000)"

    found = entries(ran(tmp_path, script))

    heads = [len(one["head"]) // 2 for one in found.values() if "head" in one]
    assert len(found) == 100
    assert sum(heads) == 50_000


def test_a_folder_that_was_replaced_by_a_link_gives_no_outputs(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("secret")
    script = f"""
import os
os.rename("../out", "../old")
os.symlink({str(tmp_path / "secret")!r}, "../out")
"""
    found = ran(tmp_path, script)

    assert [one["kind"] for one in found["files"]] == ["leaves"]
    assert "head" not in found["files"][0]


def test_a_command_may_remove_its_folder(tmp_path: Path) -> None:
    found = ran(tmp_path, "import os; os.rmdir('../out')")

    assert (found["status"], found["files"]) == (SUCCESS, [])


def test_a_file_that_goes_while_it_is_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tool_job._kind

    def vanishing(path: str, *more: Any) -> str:
        found = kind(path, *more)
        if path.endswith("going"):
            os.unlink(path)
        return found

    monkeypatch.setattr(tool_job, "_kind", vanishing)

    found = entries(ran(tmp_path, "open('going', 'w').close(); open('stays', 'w').close()"))

    assert list(found) == ["stays"]


def test_a_file_that_becomes_a_pipe_does_not_hold_up_the_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = tool_job._kind

    def changing(path: str, *more: Any) -> str:
        found = kind(path, *more)
        os.unlink(path)
        os.mkfifo(path)
        return found

    monkeypatch.setattr(tool_job, "_kind", changing)

    found = entries(ran(tmp_path, "open('it', 'w').write('x')"))

    assert found["it"]["bytes"] == 0


@pytest.mark.parametrize("mode", ["000", "400", "100"])
def test_a_folder_that_cannot_be_read_is_named(mode: str) -> None:
    script = f"mkdir shut; touch shut/in; chmod {mode} shut; touch good; chmod 000 good; touch fine"

    found = entries(_as_nobody(spec("sh", "-c", script)))

    assert "cannot be read" in found["shut"]["why"]
    assert "cannot be read" in found["good"]["why"]
    assert found["fine"]["kind"] == "file"
    assert "shut/in" not in found


def _as_nobody(description: dict[str, Any]) -> dict[str, Any]:
    """Run a tool as a user whom modes of files bind."""
    code = "import json, os, sys, tool_job; os.getuid() or os.setuid(65534); "
    code += "print(json.dumps(tool_job.run(json.loads(sys.argv[1]), tool_job.Path('job'), {})))"
    with tempfile.TemporaryDirectory(prefix="pilotage-cwl-", dir="/tmp") as folder:
        if os.getuid() == 0:
            os.chown(folder, 65534, -1)
        shutil.copy(tool_job.__file__, folder)
        done = subprocess.run(
            [sys.executable, "-BSc", code, json.dumps(description)],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": folder},
            stdout=subprocess.PIPE,
            check=True,
        )
        subprocess.run(["chmod", "-R", "u+rwx", folder], check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


# ---- what goes on when the command has ended -----------------------------------------------------


def test_what_a_command_leaves_in_the_background_is_ended(tmp_path: Path) -> None:
    script = "(while :; do echo more >> log; done) & echo $! > child; sleep 0.1"
    began = time.monotonic()

    found = tool_job.run(spec("sh", "-c", script, stdout="out"), tmp_path, {})

    assert found["status"] == SUCCESS
    assert time.monotonic() - began < 20
    log = tmp_path / "out" / "log"
    before = log.stat().st_size
    time.sleep(0.05)
    assert log.stat().st_size == before


def test_a_file_that_grows_for_ever_is_read_to_an_end(tmp_path: Path) -> None:
    script = "setsid sh -c 'echo $$ > child; exec yes > log' & sleep 0.2"
    try:
        found = entries(tool_job.run(spec("sh", "-c", script), tmp_path, {}))
    finally:
        os.kill(int((tmp_path / "out" / "child").read_text()), 9)

    assert 0 < found["log"]["bytes"] <= (tmp_path / "out" / "log").stat().st_size


# ---- cwl.output.json -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00garbage", b"{", b"[" * 100_000, b'{"a": "\\ud800"}']
)
def test_garbage_in_the_output_object_is_passed_on_as_it_is(tmp_path: Path, content: bytes) -> None:
    found = entries(ran(tmp_path, f"open('cwl.output.json', 'wb').write({content!r})"))

    assert bytes.fromhex(found["cwl.output.json"]["head"]) == content


def test_an_output_object_has_a_limit_and_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_job, "OUTPUT_OBJECT_BYTES", 1000)

    large = entries(ran(tmp_path / "large", "open('cwl.output.json', 'w').write(' ' * 1001)"))
    pipe = entries(ran(tmp_path / "pipe", "import os; os.mkfifo('cwl.output.json')"))
    fits = entries(ran(tmp_path / "fits", "open('cwl.output.json', 'w').write(' ' * 1000)"))

    assert "1000 bytes" in large["cwl.output.json"]["why"]
    assert "pipe" in pipe["cwl.output.json"]["why"]
    assert fits["cwl.output.json"]["bytes"] == 1000


def test_paths_in_the_output_object_become_those_of_the_command(tmp_path: Path) -> None:
    script = "import os; open('cwl.output.json', 'w').write(os.getcwd() + '/ü')"

    found = entries(ran(tmp_path, script))

    assert bytes.fromhex(found["cwl.output.json"]["head"]).decode() == f"{OUT}/ü"


# ---- Python 3.9 ----------------------------------------------------------------------------------


@pytest.mark.skipif(oldest_fit() is None, reason="no Python 3.9 here")
def test_all_of_this_runs_on_the_oldest_python(tmp_path: Path) -> None:
    script = r"""
mkdir d; mkfifo pipe; ln -s /etc stolen; ln -s ../d d/d; printf x > "$(printf 'a\377')"
printf '\377' > cwl.output.json; sleep 60 & echo hello
"""
    stage = [{"path": f"{IN}/ü", "kind": "text", "source": "ü"}]
    description = spec("sh", "-c", script, stage=stage, stdout="said", limit_s=30)
    code = "import json, sys; sys.path.insert(0, sys.argv[1])\n"
    code += "from pathlib import Path; import tool_job\n"
    code += "print(json.dumps(tool_job.run(json.loads(sys.argv[2]), Path(sys.argv[3]), {})))"
    folder = str(Path(tool_job.__file__).parent)

    done = subprocess.run(
        [str(oldest_fit()), "-IBS", "-W", "error", "-c", code, folder]
        + [json.dumps(description), str(tmp_path / "job")],
        stdout=subprocess.PIPE,
        env={"LC_ALL": "C", "PATH": os.environ["PATH"]},
        check=True,
    )

    found = {one["path"]: one["kind"] for one in json.loads(done.stdout)["files"]}
    assert found == {
        "d": "folder",
        "said": "file",
        "cwl.output.json": "file",
        **dict.fromkeys(("pipe", "stolen", "d/d", "a\\udcff"), "leaves"),
    }
