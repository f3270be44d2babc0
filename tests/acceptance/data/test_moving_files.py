"""People store and fetch many files by the command line: whole, once, and nothing by halves."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.running import ROOT, RunningCentral, eventually, running_central

from .slow_store import SlowStore, slow_store

COMMAND = "pilotage.central.cli"
MEGABYTE = bytes(range(256)) * 4_000


class Rig:
    """A central with a folder as default storage, and a slow server."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.pic = folder, folder / "pic"
        self.pic.mkdir()
        (self.pic / ".mounted").touch()
        self.slow: SlowStore = stack.enter_context(slow_store())
        files = folder / "central" / "central" / "storages"
        files.mkdir(parents=True)
        files.parent.chmod(0o700)
        (files / "pic.yaml").write_text(f"type: file\nurl: file://{self.pic}\ndefault: true\n")
        (files / "slow.yaml").write_text(f"type: http\nurl: {self.slow.url}\n")
        options = {"bus.broker": "none"}
        self.central: RunningCentral = stack.enter_context(
            running_central(folder / "central", options)
        )

    def fresh(self, name: str) -> Path:
        """Return a new folder."""
        made = self.folder / name
        made.mkdir()
        return made

    def begun(
        self,
        *words: str,
        stderr: int = subprocess.PIPE,
        file_bytes_max: int | str = "unlimited",
    ) -> "subprocess.Popen[str]":
        """Start a command, which can write files up to a size."""
        environment = {
            **os.environ,
            "PILOTAGE_DATA": str(self.central.data),
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.Popen(
            ["prlimit", f"--fsize={file_bytes_max}", sys.executable, "-m", COMMAND, *words],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )

    def interrupted(self, command: "subprocess.Popen[str]", seen: Callable[[], object]) -> None:
        """Send Ctrl-C once something is seen, and wait for the end."""
        eventually(seen, what="the transfer")
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=30)
        assert command.returncode == 130, out + err

    def stored(self) -> list[str]:
        """Return what lies in the folder of the storage, folders too."""
        found = self.pic.rglob("*")
        return sorted(str(one.relative_to(self.pic)) for one in found if one.name != ".mounted")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Generator[Rig]:
    with ExitStack() as stack:
        yield Rig(tmp_path_factory.mktemp("moving"), stack)


@pytest.fixture(autouse=True)
def _calm(rig: Rig) -> None:
    rig.slow.cut_after, rig.slow.pause_s = None, 0.0


def tree(folder: Path, count: int) -> dict[str, bytes]:
    """Make a folder with files below it; their contents by name."""
    made = {f"sub-{n % 7}/été-{n}[x].dat": f"shower {n}\n".encode() for n in range(count)}
    made |= {"empty": b"", "sub-0/#large?%41": MEGABYTE}
    for name, content in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()
    }


@pytest.mark.parametrize("storage", ["pic", "slow"])
def test_hundreds_of_files_go_there_and_back_and_a_second_time_none_moves(
    rig: Rig, storage: str
) -> None:
    source, scope = rig.fresh(f"of-{storage}"), f"users.{storage}"
    made = tree(source, 300)
    put = ("data", "put", "-r", str(source), f"{scope}:", "--storage", storage)
    get = ("data", "get", "-r", f"{scope}:of-{storage}/", "--to", str(rig.folder / f"to-{storage}"))

    assert len(rig.central.type(*put, "kind=tree").splitlines()) == len(made)
    assert len(rig.central.type(*get).splitlines()) == len(made)
    assert contents(rig.folder / f"to-{storage}" / f"of-{storage}") == made
    puts, gets = len(rig.slow.puts), len(rig.slow.ranges)
    again = rig.central.type(*put, "--json").splitlines()
    rig.central.type(*get)

    assert {json.loads(line)["is_new"] for line in again} == {False}
    assert (len(rig.slow.puts), len(rig.slow.ranges)) == (puts, gets)
    total = sum(map(len, made.values()))
    assert rig.central.type("data", "du", scope).split()[-2:] == [str(len(made)), str(total)]
    by_storage = rig.central.type("data", "du", scope, "--by", "storage").split()
    assert by_storage[-4:] == [scope, storage, str(len(made)), str(total)]
    listed = rig.central.type("data", "ls", f"{scope}:of-{storage}/sub-0/*[x].dat").splitlines()
    assert len(listed) == 43 and listed[0].endswith(f"{scope}:of-{storage}/sub-0/été-0[x].dat")


def test_a_dataset_is_listed_counted_and_fetched(rig: Rig) -> None:
    source = rig.fresh("set")
    tree(source, 20)
    rig.central.type("data", "make", "users:set")
    pattern = str(source / "sub-1" / "*.dat")
    rig.central.type("data", "put", pattern, "users:set-files/", "--dataset", "users:set")
    to = rig.folder / "from-set"
    rig.central.type("data", "get", "--dataset", "users:set", "--to", str(to))

    names = {"été-1[x].dat", "été-8[x].dat", "été-15[x].dat"}
    assert set(contents(to)) == names
    listed = rig.central.type("data", "ls", "users:set", "--long")
    assert all(f"users:set-files/{name}" in listed for name in names)
    assert listed.count("pic  Available  local/put/") == 3
    size = sum(map(len, contents(to).values()))
    assert rig.central.type("data", "du", "users:set").split()[-3:] == ["users:set", "3", str(size)]


def test_what_cannot_be_is_refused_before_anything_is_stored(rig: Rig) -> None:
    source = rig.fresh("refused")
    for name in ("a", "b", "with blank"):
        (source / name).write_text(name)
    (source / "sub").mkdir()
    (source / "sub" / "a").write_text("other")
    rig.central.type("data", "put", str(source / "a"), "users:refused/a")
    rig.central.type("data", "make", "users:closed")
    rig.central.type("data", "close", "users:closed")
    (source / "A").write_text("larger than a")
    before = rig.stored()
    a, b, other = (str(source / name) for name in ("a", "b", "sub/a"))
    wrong: dict[tuple[str, ...], tuple[int, str]] = {
        (a, b, "users:one"): (2, "end it with / to store 2 files below it (users:one/)"),
        (str(source), "users:x/"): (2, "is a folder: add --recursive"),
        (str(source / "*.h5"), "users:x/"): (2, "*.h5: no file matches"),
        (str(source / "nothing"), "users:x"): (2, "nothing: there is no such file"),
        ("-r", str(source), "users:x/"): (2, "with blank: did: found 'x/refused/with blank'"),
        (a, other, "users:x/"): (2, "would both be users:x/a"),
        (b, "users:x/", "bad key=1"): (2, "'bad key=1' is no SCOPE:NAME"),
        (b, "users:x/", "a=x\ny"): (2, "metadata.a: found"),
        (b, "users:x/", "--dataset", "users:closed"): (3, "expected an open dataset"),
        (b, "users:x/", "--dataset", "users:none"): (3, "make it with `pilotage data make`"),
        (b, "users:x/", "--parallel", "65"): (3, "parallel: found 65, expected 1 to 64"),
        (b, "users:x/", "--storage", "tape"): (2, "choose one of pic, slow"),
        (b, str(source / "A"), "users:refused/a"): (2, "is the name of one file"),
        (str(source / "A"), "users:refused/a"): (3, "bytes: found 13, expected 1: users:refused/a"),
        (a, b): (2, "expected FILE… SCOPE:NAME"),
    }
    for words, (code, text) in wrong.items():
        said = rig.central.type("data", "put", *words, code=code)
        assert text in said, (words, said)

    assert rig.stored() == before
    assert rig.central.type("data", "ls", "users:x/") == ""


def test_a_local_file_in_the_way_is_found_before_any_byte_comes(rig: Rig) -> None:
    source, to = rig.fresh("way"), rig.fresh("to-way")
    for name in ("a", "b", "c"):
        (source / name).write_text(name)
    rig.central.type("data", "put", "-r", f"{source}/.", "users:way/")
    rig.central.type("data", "put", str(source / "a"), "users:way/sub/a")
    (to / "b").write_text("x")
    (to / "c").mkdir()
    get = ("data", "get", "users:way/?", "--to", str(to))

    said = rig.central.type(*get, code=2)
    assert "2 local files are in the way; nothing was fetched:" in said
    assert "b exists with other bytes; --force replaces it" in said
    assert "c exists, and is not a file" in said
    clash = rig.central.type("data", "get", "users:way/*", "--to", str(to / "x"), code=2)
    assert "users:way/a and users:way/sub/a clash" in clash
    assert contents(to) == {"b": b"x"} and not (to / "x").exists()

    (to / "c").rmdir()
    rig.central.type(*get, "--force")
    rig.central.type("data", "get", "-r", "users:way/*", "--to", str(to / "x"))
    assert contents(to / "x") == {"a": b"a", "b": b"b", "c": b"c", "sub/a": b"a"}
    assert (to / "b").read_text() == "b"
    rig.central.type("data", "rm", "users:way/sub/a")
    assert "is Removed" in rig.central.type("data", "ls", "users:way/sub/a", code=3)
    assert len(rig.central.type("data", "ls", "users:way/").splitlines()) == 3
    missing = rig.central.type("data", "get", "users:way/a", "users:way/z", code=3)
    assert "there is no file users:way/z" in missing


def test_patterns_and_folders_are_attached_and_detached(rig: Rig) -> None:
    source = rig.fresh("parts")
    for name in ("run1.h5", "run2.h5", "log", "sub/run3.h5"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(name)
    rig.central.type("data", "put", "-r", f"{source}/.", "users:parts/")
    rig.central.type("data", "make", "users:chosen")

    def chosen() -> list[str]:
        return sorted(rig.central.type("data", "ls", "users:chosen").split()[1::2])

    said = rig.central.type("data", "attach", "users:chosen", "users:parts/run?.h5")
    both = chosen()
    rig.central.type("data", "attach", "users:chosen", "users:parts/log", "users:parts/sub/")
    every = chosen()
    rig.central.type("data", "detach", "users:chosen", "users:parts/*.h5")
    none = rig.central.type("data", "attach", "users:chosen", "users:parts/no*", code=2)

    runs = ["users:parts/run1.h5", "users:parts/run2.h5"]
    assert said.strip() == "2 changed" and both == runs
    assert every == ["users:parts/log", *runs, "users:parts/sub/run3.h5"]
    assert "no file matches users:parts/no*" in none
    assert chosen() == ["users:parts/log"]
    assert "pilotage data ls" in rig.central.type("data", "show", "users:chosen", code=3)


def test_a_missing_copy_is_told_with_its_path(rig: Rig) -> None:
    source, to = rig.fresh("lost"), rig.fresh("to-lost")
    (source / "a").write_text("a")
    put = json.loads(rig.central.type("data", "put", str(source / "a"), "users:lost", "--json"))
    (rig.pic / put["path"]).unlink()
    said = rig.central.type("data", "get", "users:lost", "--to", str(to), code=4)

    assert f"users:lost: storage pic: {put['path']}: No such file or directory" in said


def test_a_cut_download_continues_by_range(rig: Rig) -> None:
    source, to = rig.fresh("cut"), rig.fresh("to-cut")
    (source / "large").write_bytes(MEGABYTE)
    rig.central.type("data", "put", str(source / "large"), "users:cut/large", "--storage", "slow")
    rig.slow.ranges.clear()
    rig.slow.cut_after = 300_000

    rig.central.type("data", "get", "users:cut/large", "--to", str(to))

    assert contents(to) == {"large": MEGABYTE}
    assert rig.slow.ranges == ["", *(f"bytes={n}-" for n in (300_000, 600_000, 900_000))]


def test_an_interrupted_download_continues_and_never_looks_whole(rig: Rig) -> None:
    source, to = rig.fresh("stop"), rig.fresh("to-stop")
    for n in range(3):
        (source / f"f{n}").write_bytes(MEGABYTE + bytes([n]))
    rig.central.type("data", "put", "-r", f"{source}/.", "users:stop/", "--storage", "slow")
    rig.slow.pause_s = 0.05
    get = ("data", "get", "users:stop/*", "--to", str(to), "--parallel", "2")
    command = rig.begun(*get)

    def parts() -> list[Path]:
        found = [one for one in to.glob(".*.part") if one.stat().st_size > 200_000]
        return found if len(found) == 2 else []

    rig.interrupted(command, parts)
    assert set(os.listdir(to)) == {one.name for one in parts()}

    rig.slow.pause_s = 0.0
    rig.slow.ranges.clear()
    rig.central.type(*get)
    assert contents(to) == {f"f{n}": MEGABYTE + bytes([n]) for n in range(3)}
    assert sorted(one == "" for one in rig.slow.ranges) == [False, False, True]


def test_a_killed_download_continues(rig: Rig) -> None:
    source, to = rig.fresh("kill"), rig.fresh("to-kill")
    (source / "f").write_bytes(MEGABYTE)
    rig.central.type("data", "put", str(source / "f"), "users:killed", "--storage", "slow")
    rig.slow.pause_s = 0.05
    get = ("data", "get", "users:killed", "--to", str(to))
    command = rig.begun(*get)
    eventually(
        lambda: [one for one in to.glob(".*.part") if one.stat().st_size > 200_000],
        what="the transfer",
    )
    command.kill()
    command.communicate(timeout=30)
    assert not (to / "killed").exists()

    rig.slow.pause_s = 0.0
    rig.slow.ranges.clear()
    rig.central.type(*get)
    assert contents(to) == {"killed": MEGABYTE}
    assert len(rig.slow.ranges) == 1 and rig.slow.ranges != [""]


def test_a_disk_that_is_full_is_named_and_the_command_can_be_repeated(rig: Rig) -> None:
    source, to = rig.fresh("full"), rig.fresh("to-full")
    (source / "f").write_bytes(MEGABYTE * 3)
    rig.central.type("data", "put", str(source / "f"), "users:full", "--storage", "slow")
    get = ("data", "get", "users:full", "--to", str(to))
    command = rig.begun(*get, file_bytes_max=len(MEGABYTE))
    _, said = command.communicate(timeout=60)

    assert command.returncode and "users:full" in said and "File too large" in said
    assert "Traceback" not in said and not (to / "full").exists()
    rig.central.type(*get)
    assert contents(to) == {"full": MEGABYTE * 3}


@pytest.mark.parametrize("verb", ["put", "get"])
def test_one_bar_shows_the_progress_on_a_terminal_alone(rig: Rig, verb: str) -> None:
    source, scope = rig.fresh(f"bar-{verb}"), f"users.bar-{verb}"
    for n in range(3):
        (source / f"f{n}").write_bytes(MEGABYTE)
    put = ("data", "put", "-r", f"{source}/.", f"{scope}:", "--storage", "slow")
    if verb == "get":
        rig.central.type(*put)
    rig.slow.pause_s = 0.005
    words = put if verb == "put" else ("data", "get", f"{scope}:*", "--force", "--to")
    to = () if verb == "put" else (f"{rig.folder}/to-bar/",)
    shown, terminal = pty.openpty()
    command = rig.begun(*words, *to, stderr=terminal)
    os.close(terminal)
    text = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while block := os.read(shown, 1 << 16):
            text += block
    os.close(shown)
    lines = command.communicate(timeout=60)[0].splitlines()
    bars = [
        one for one in re.split(r"[\r\n]", text.decode()) if "storing" in one or "fetching" in one
    ]

    assert command.returncode == 0 and len(lines) == 3, "results stay in their pipe"
    assert bars and "3.1" in bars[-1], "one bar for the bytes of all files"
    rig.slow.pause_s = 0.0
    again = rig.begun(*words, *to)
    assert again.communicate(timeout=60)[1] == "" and again.returncode == 0


def test_links_and_odd_names_are_stored_as_their_files(rig: Rig) -> None:
    source, to = rig.fresh("odd"), rig.fresh("to-odd")
    (source / "real").write_text("real")
    (source / "link").symlink_to("real")
    (source / "broken").symlink_to("nowhere")
    names = ["-n", "a%2e%2e", "#x", "é"]
    for one in names:
        (source / one).write_text(one)
    put = ("data", "put", *(f"{source}/{one}" for one in ("link", *names)), "users:odd/")
    rig.central.type(*put, "--storage", "slow")
    (source / "a b").write_text("a blank, which no name in the catalogue may have")
    refused = ("broken", "a b")
    said = [
        rig.central.type("data", "put", f"{source}/{one}", "users:odd/", code=2) for one in refused
    ]
    rig.central.type("data", "get", "users:odd/*", "--to", str(to))

    assert all(f"{source}/{one}" in text for one, text in zip(refused, said, strict=True))
    assert contents(to) == {"link": b"real", **{one: one.encode() for one in names}}


def test_wrong_bytes_of_an_earlier_command_do_not_spoil_a_file(rig: Rig) -> None:
    source, to = rig.fresh("spoilt"), rig.fresh("to-spoilt")
    (source / "f").write_bytes(MEGABYTE)
    rig.central.type("data", "put", str(source / "f"), "users:spoilt", "--storage", "slow")
    rig.slow.pause_s = 0.05
    command = rig.begun("data", "get", "users:spoilt", "--to", str(to))
    rig.interrupted(
        command, lambda: [one for one in to.glob(".*.part") if one.stat().st_size > 100_000]
    )
    (part,) = to.iterdir()
    part.write_bytes(b"x" * part.stat().st_size)
    rig.slow.pause_s = 0.0

    rig.central.type("data", "get", "users:spoilt", "--to", str(to))

    assert contents(to) == {"spoilt": MEGABYTE}


@pytest.mark.parametrize("storage", ["pic", "slow"])
def test_an_interrupted_upload_leaves_nothing_by_halves(rig: Rig, storage: str) -> None:
    source, scope = rig.fresh(f"half-{storage}"), f"users.half-{storage}"
    content = MEGABYTE * 60 if storage == "pic" else MEGABYTE
    for n in range(6):
        (source / f"f{n}").write_bytes(content + bytes([n]))
    rig.slow.pause_s = 0.02
    put = ("data", "put", "-r", f"{source}/.", f"{scope}:", "--storage", storage, "--parallel", "2")
    before, begun = rig.stored(), len(rig.slow.puts)
    command = rig.begun(*put)

    def sending() -> bool:
        return len(rig.slow.puts) > begun + 2 or any(".part-" in one for one in rig.stored())

    rig.interrupted(command, sending)
    known = rig.central.type("data", "ls", f"{scope}:").split()[1::2]
    lying = [one for one in rig.stored() if one not in before]
    files = [one for one in lying if "/f" in one]
    assert not [one for one in lying if ".part-" in one]
    if storage == "pic":
        assert sorted(one.rpartition("/")[2] for one in files) == [
            one.partition(":")[2] for one in known
        ]
        assert len(lying) == 2 * len(files) + len({"local", "local/put"} - set(before)) * bool(
            files
        )

    rig.slow.pause_s = 0.0
    rig.central.type(*put)
    assert len(rig.central.type("data", "ls", f"{scope}:").splitlines()) == 6
    to = rig.folder / f"to-half-{storage}"
    rig.central.type("data", "get", f"{scope}:*", "--to", str(to))
    assert contents(to) == {f"f{n}": content + bytes([n]) for n in range(6)}
