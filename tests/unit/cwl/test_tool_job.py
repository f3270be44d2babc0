"""The run of one tool on a node, with folders and listings as the central sees them."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from pilotage.pilot.cwl import tool_job
from pilotage.pilot.cwl.tool_job import IN, OUT, PERMANENT, SUCCESS, TEMPORARY, TMP

KNOWN = (1, "e21009c11fefe27a")  # the version of the program, and its SHA-256


def spec(*argv: str, **more: Any) -> dict[str, Any]:
    return {
        "argv": list(argv),
        "env": {},
        "stage": [],
        "success": [],
        "temporary": [],
        "permanent": [],
        "folders": {"out": OUT, "tmp": TMP, "in": IN},
        **more,
    }


def files(result: dict[str, Any]) -> dict[str, str]:
    return {one["path"]: one["kind"] for one in result["files"]}


def test_whoever_changes_the_program_decides_whether_earlier_results_still_count() -> None:
    text = Path(tool_job.__file__).read_bytes()

    assert (tool_job.VERSION, hashlib.sha256(text).hexdigest()[:16]) == KNOWN, (
        "raise VERSION if equal tools have other results now; then note the new hash here"
    )


def test_streams_inputs_and_folders_are_where_the_command_looks(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("hello\n")
    stage = [
        {"path": f"{IN}/0/named.txt", "kind": "file", "source": "a"},
        {"path": f"{OUT}/text/in.txt", "kind": "text", "source": f"in {TMP}"},
        {"path": f"{OUT}/mine.txt", "kind": "file", "source": "a", "writable": True},
    ]
    script = f"cat {IN}/0/named.txt text/in.txt; echo more >> mine.txt; echo $HOME $TMPDIR >&2"
    more = {"stage": stage, "stdout": "said/out.txt", "stderr": "err.txt"}

    found = tool_job.run(spec("sh", "-c", script, **more), tmp_path / "job", {"a": str(source)})

    out, tmp = tmp_path / "job" / "out", tmp_path / "job" / "tmp"
    assert found["status"] == SUCCESS
    assert (out / "said" / "out.txt").read_text() == f"hello\nin {tmp}"
    assert (out / "err.txt").read_text() == f"{out} {tmp}\n"
    assert (out / "mine.txt").read_text() == "hello\nmore\n"
    assert source.read_text() == "hello\n"
    assert files(found) == {
        "said": "folder",
        "text": "folder",
        "said/out.txt": "file",
        "text/in.txt": "file",
        "err.txt": "file",
        "mine.txt": "file",
    }


@pytest.mark.parametrize(
    ("code", "status"), [(0, SUCCESS), (3, SUCCESS), (4, TEMPORARY), (5, PERMANENT), (6, PERMANENT)]
)
def test_exit_codes_mean_what_the_tool_says(tmp_path: Path, code: int, status: str) -> None:
    found = tool_job.run(
        spec("sh", "-c", f"exit {code}", success=[3], temporary=[4], permanent=[5]), tmp_path, {}
    )

    assert (found["code"], found["status"]) == (code, status)


def test_a_command_that_is_not_there_fails_with_its_name(tmp_path: Path) -> None:
    found = tool_job.run(spec("no-such-command"), tmp_path, {})

    assert (found["code"], found["status"]) == (127, PERMANENT)
    assert "no-such-command" in found["why"]


def test_all_processes_end_when_the_time_is_over(tmp_path: Path) -> None:
    script = "sleep 100 & echo $! > child; wait"

    found = tool_job.run(spec("sh", "-c", script, limit_s=1), tmp_path, {})

    assert found["status"] == PERMANENT
    assert "1 s" in found["why"]
    child = int((tmp_path / "out" / "child").read_text())
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_links_stay_in_the_output_folder_or_lead_to_inputs(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("hello\n")
    stage = [{"path": f"{IN}/0/a", "kind": "file", "source": "a"}]
    script = f"ln -s {IN}/0/a given; ln -s /etc/passwd stolen; ln -s . self; mkdir d; ln -s d e"

    found = tool_job.run(
        spec("sh", "-c", script, stage=stage), tmp_path / "job", {"a": str(source)}
    )

    kinds = files(found)
    assert kinds["given"] == "file"
    assert kinds["stolen"] == kinds["self"] == "leaves"
    assert kinds["e"] == "folder"
    assert not any("head" in one for one in found["files"] if one["path"] == "stolen")


def test_no_path_leads_out_of_the_folders_of_the_job(tmp_path: Path) -> None:
    stage = [
        {"path": f"{OUT}//a", "kind": "text", "source": "a"},
        {"path": f"{OUT}/../../b", "kind": "text", "source": "b"},
        {"path": "/c", "kind": "text", "source": "c"},
    ]

    tool_job.run(spec("true", stage=stage), tmp_path / "job", {})

    assert (tmp_path / "job" / "out" / "a").read_text() == "a"
    assert not (tmp_path / "b").exists()
    assert not Path("/c").exists()


def test_the_listing_has_sizes_checksums_and_the_first_bytes(tmp_path: Path) -> None:
    script = "import sys; open('a', 'w').write('x' * 100_000); open('b', 'w').write('hi')"

    found = tool_job.run(spec(sys.executable, "-c", script), tmp_path, {})

    listed = {one["path"]: one for one in found["files"]}
    assert listed["a"]["bytes"] == 100_000
    assert len(bytes.fromhex(listed["a"]["head"])) == tool_job.HEAD_BYTES
    assert listed["b"]["sha1"] == "c22b5f9178342609428d6f51b2c5af4c0bde6a42"
    assert bytes.fromhex(listed["b"]["head"]) == b"hi"
