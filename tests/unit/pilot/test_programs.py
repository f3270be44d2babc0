"""Which program a command names, and that nobody waits for ever until that is known."""

import asyncio
import os
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from pilotage.pilot.files import programs
from pilotage.pilot.files.programs import (
    PATH_BYTES_MAX,
    PROGRAM_BYTES_MAX,
    Finder,
    ProgramNotFound,
    resolve,
)
from pilotage.pilot.files.worker_thread import WorkAbandoned

PATIENCE_S = 0.05


def test_a_command_is_found_as_a_shell_would_find_it(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("bin/tool", "run.sh"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "data").write_text("")
    path = f"/nowhere:{tmp_path}/bin"

    assert resolve("tool", str(tmp_path), path) == f"{tmp_path}/bin/tool"
    assert resolve("./run.sh", str(tmp_path), path) == "./run.sh"
    assert resolve(f"{tmp_path}/run.sh", "/", path) == f"{tmp_path}/run.sh"
    for command, why in (
        ("absent", "there is no absent in /nowhere:"),
        ("./absent", "there is no ./absent"),
        ("./data", "./data is not an executable file"),
        ("./bin", "./bin is not an executable file"),
    ):
        with pytest.raises(ProgramNotFound, match=why):
            resolve(command, str(tmp_path), path)


#    program                        PATH                       why not
TOO_LONG = [
    ("x" * (PROGRAM_BYTES_MAX + 1), "/bin", "name has 4097 bytes and begins with 'xxx"),
    ("é" * 2_049, "/bin", "name has 4098 bytes and begins with 'ééé"),
    ("x", "a:" * 260_000, "PATH has 520000 bytes and begins with 'a:a:"),
]


@pytest.mark.parametrize(("program", "path", "why"), TOO_LONG)
def test_nothing_is_looked_for_that_the_system_would_not_take(
    program: str, path: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    with monkeypatch.context() as patched, pytest.raises(ProgramNotFound, match=why) as found:
        patched.setattr(os, "stat", looked.append)
        resolve(program, "/", path)

    assert looked == []
    assert len(str(found.value)) < 300


def test_what_the_system_takes_is_looked_for(tmp_path: Path) -> None:
    name = "x" * PROGRAM_BYTES_MAX

    with pytest.raises(ProgramNotFound, match="there is no xxx"):
        resolve(name, str(tmp_path), "/bin" + ":" * (PATH_BYTES_MAX - 4))
    with pytest.raises(ProgramNotFound, match="there is no a\0b"):
        resolve("a\0b", str(tmp_path), "/bin")


class Deaf:
    """A file system that answers when a test lets it: `os.stat` of what lies in /deaf."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []
        self._stat = os.stat

    def stat(self, path: Any, **more: Any) -> os.stat_result:
        if str(path).startswith("/deaf"):
            self.asked.append(path)
            assert self.answers.wait(10.0)
        return self._stat(path, **more)


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Generator[Deaf]:
    made = Deaf()
    monkeypatch.setattr(os, "stat", made.stat)
    yield made
    made.answers.set()


class Heard:
    """What is heard of looks."""

    def __init__(self, *, stuck_max: int = 2) -> None:
        self.all: list[tuple[str, str]] = []
        self._news = asyncio.Event()
        self.finder = Finder(asyncio.get_running_loop(), patience_s=PATIENCE_S, stuck_max=stuck_max)

    def find(self, program: str, path: str) -> None:
        self.finder.find(program, "/", path, self._hear)

    def _hear(self, found: str, why: str) -> None:
        self.all.append((found, why))
        self._news.set()

    async def next(self) -> tuple[str, str]:
        before = len(self.all)
        async with asyncio.timeout(10.0):
            while len(self.all) == before:
                self._news.clear()
                await self._news.wait()
        return self.all[-1]


async def test_who_waits_for_a_deaf_file_system_is_told_and_the_others_are_served(
    deaf: Deaf,
) -> None:
    heard = Heard()
    heard.find("tool", "/deaf/a:/deaf/b")
    heard.find("sh", "/bin")
    first = await heard.next()
    second = await heard.next()

    assert first == ("/bin/sh", "")
    assert second[0] == "" and second[1].startswith("tool was not found within 0.05 s: a file")
    # Nobody waits any more: there is no look at the second folder.
    deaf.answers.set()
    heard.find("env", "/bin")
    await heard.next()
    assert len(heard.all) == 3
    assert deaf.asked == ["/deaf/a/tool"]


@pytest.mark.parametrize(
    ("program", "path", "looks"),
    [("tool", "{0}/bin", 1), ("{0}/bin/tool", "", 1), ("tool", "bin:{0}/bin", 3)],
)
async def test_what_was_found_is_looked_for_again_only_after_a_while(
    program: str, path: str, looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But where it lies may depend on the folder of the work."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool").write_text("#!/bin/sh\n")
    (tmp_path / "bin/tool").chmod(0o755)
    asked: list[str] = []
    heard, found = Heard(), resolve

    def counted(*looked: Any) -> str:
        asked.append(looked[0])
        return found(*looked)

    monkeypatch.setattr(programs, "resolve", counted)
    for _ in range(3):
        before = len(heard.all)
        heard.find(program.format(tmp_path), path.format(tmp_path))
        if len(heard.all) == before:
            await heard.next()
    soon = len(asked)
    monkeypatch.setattr(programs, "FRESH_S", 0.0)
    heard.find(program.format(tmp_path), path.format(tmp_path))
    await heard.next()

    assert (soon, len(asked)) == (looks, looks + 1)
    assert heard.all == [(f"{tmp_path}/bin/tool", "")] * 4


async def test_of_threads_that_never_end_there_are_only_so_many(deaf: Deaf) -> None:
    heard = Heard(stuck_max=2)
    for name in ("one", "two"):
        heard.find(name, "/deaf")
        await heard.next()
    heard.find("sh", "/bin")
    refused = heard.all[-1]
    deaf.answers.set()
    async with asyncio.timeout(10.0):
        while heard.all[-1][0] != "/bin/sh":
            await asyncio.sleep(0.005)
            heard.find("sh", "/bin")

    assert refused[1].startswith("sh was not searched for: a file system")


async def test_without_a_thread_it_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    heard = Heard()
    monkeypatch.setattr(threading.Thread, "start", none_left)
    heard.find("sh", "/bin")

    assert heard.all == [("", "sh was not searched for: can't start new thread")]


def test_a_look_that_is_given_up_ends_between_two_folders() -> None:
    def go_on() -> None:
        raise WorkAbandoned

    with pytest.raises(WorkAbandoned):
        resolve("sh", "/", "/bin", go_on)
