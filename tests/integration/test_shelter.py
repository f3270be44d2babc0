"""A shelter that is built before its payload is known: used where it can be, never in the way."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pilotage.pilot.guard import held_payload, processes
from pilotage.pilot.guard_link import LIFE
from pilotage.pilot.outfit import isolation

from .test_guard import AHEAD, RUNGS, Playground, eventually, playing, sh

pytestmark = pytest.mark.skipif(
    isolation.BUBBLEWRAP not in RUNGS, reason="bubblewrap does not work here"
)


def _waiting(play: Playground) -> list[int]:
    """Return the shells that wait in a shelter of this guard for their payload."""
    found: list[int] = []
    for pid in processes.marked(LIFE, play.link.life):
        with contextlib.suppress(OSError):
            words = _command(pid).split(b"\0")
            if words[:2] == [b"/bin/sh", b"-c"] and words[2].startswith(b". /dev/fd/"):
                found.append(pid)
    return found


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def _prepared(play: Playground) -> tuple[int, int]:
    """Return an attempt whose shelter stands, and the process that waits in it."""
    attempt = play.make()
    play.link.prepare(play.work(attempt).parent)
    await eventually(lambda: _waiting(play), "a shell waits")
    return attempt, _waiting(play)[0]


async def test_the_payload_takes_the_place_of_the_shell_that_waits(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        attempt, shell = await _prepared(play)
        play.enter(attempt, "sleep", play.word)
        await play.news(lambda one: one.started)
        await eventually(play.alive, "it runs")
        command = _command(shell)
        play.link.stop(attempt, 0.0)
        await play.ended(attempt)

    assert command == f"/usr/bin/sleep\0{play.word}\0".encode()


async def test_words_and_values_arrive_as_they_are(tmp_path: Path) -> None:
    odd = 'it\'s "a" $HOME `x` \\ \n\ttwo  lines; é *'
    async with playing(tmp_path, AHEAD) as play:
        attempt = play.start("sh", "-c", 'printf "%s|%s" "$1" "$ODD"', odd, odd, ODD=odd)
        await play.ended(attempt)

    assert play.output(attempt) == f"{odd}|{odd}"


@pytest.mark.parametrize(
    "environment",
    [
        {"no-name-of-a-shell": "x"},
        {"UID": "5"},
        {"OPTIND": "x"},
        {"LARGE": "x" * held_payload.SCRIPT_MAX},
    ],
    ids=["name", "readonly", "special", "large"],
)
async def test_what_no_shell_can_take_starts_without_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        attempt, _ = await _prepared(play)
        play.enter(attempt, "env", environment=environment)
        ended = await play.ended(attempt)
        left = _waiting(play)

    assert ended.exit_code == 0
    assert (
        environment.items()
        <= dict(line.split("=", 1) for line in play.output(attempt).splitlines()).items()
    )
    assert not left


async def test_output_is_kept_although_the_folder_was_emptied_meanwhile(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        attempt, _ = await _prepared(play)
        for stream in ("stdout", "stderr"):
            (play.work(attempt).parent / stream).unlink()
        play.enter(attempt, *sh("echo here"))
        ended = await play.ended(attempt)

    assert (ended.exit_code, play.output(attempt)) == (0, "here\n")


async def test_a_shelter_that_was_killed_costs_nothing(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        attempt, shell = await _prepared(play)
        os.kill(shell, signal.SIGKILL)
        await eventually(lambda: not _waiting(play), "the shell is gone")
        play.enter(attempt, *sh("echo here"))
        ended = await play.ended(attempt)

    assert (ended.exit_code, play.output(attempt)) == (0, "here\n")


async def test_another_folder_gets_the_place_and_the_first_starts_without(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        first, shell = await _prepared(play)
        second = play.make()
        play.link.prepare(play.work(second).parent)
        await eventually(lambda: _waiting(play) not in ([], [shell]), "the other one stands")
        await eventually(lambda: len(_waiting(play)) == 1, "the first one is gone")
        play.enter(first, *sh("echo first"))
        await play.ended(first)
        play.enter(second, *sh("echo second"))
        await play.ended(second)

    assert (play.output(first), play.output(second)) == ("first\n", "second\n")


async def test_a_program_that_is_not_there_is_told_and_the_shelter_goes_on(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        attempt, _ = await _prepared(play)
        play.enter(attempt, "no-such-program")
        news = await play.news(lambda one: one.not_started)
        other = play.start(*sh("echo fine"))
        await play.ended(other)

    assert news.not_started.startswith("there is no no-such-program")
    assert play.output(other) == "fine\n"


async def test_nothing_of_it_outlives_its_guard(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        await _prepared(play)
        os.kill(play.link.pid, signal.SIGKILL)
        await eventually(lambda: not processes.marked(LIFE, play.link.life), "nothing is left")


async def test_a_link_that_closes_leaves_no_shelter(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        await _prepared(play)

    assert not processes.marked(LIFE, play.link.life)


async def test_a_payload_without_any_mark_is_not_seen_dead_while_its_guard_lives(
    tmp_path: Path,
) -> None:
    boot, namespace = processes.boot_id(), processes.pid_namespace()
    async with playing(tmp_path, AHEAD) as play:
        attempt = play.start("env", "-i", "sleep", play.word)
        await play.news(lambda one: one.started)
        await eventually(play.alive, "it runs")
        while_alive = play.link.seen_dead(attempt, boot, namespace, play.link.life)
        play.link.stop(attempt, 0.0)
        await play.ended(attempt)
        afterwards = play.link.seen_dead(attempt, boot, namespace, play.link.life)

    assert (while_alive, afterwards) == (False, True)


@pytest.mark.parametrize("missing", [1, 2, 10, 9_000, 25_000])
def test_of_a_script_that_is_cut_short_nothing_happens(
    tmp_path: Path, missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shell alone, with a pipe that takes a part: what the system does to users of many."""
    order: dict[str, Any] = {
        "folder": str(tmp_path),
        "argv": ["/bin/sh", "-c", "echo ran > ran"],
        "exports": "".join(f"export V{n}='{'x' * 90}'\n" for n in range(300)),
        "prefix": ["/bin/sh", "-c", f". /dev/fd/{held_payload.FEED_FD}"],
        "env": {"PATH": os.environ["PATH"]},
    }
    (tmp_path / "work").mkdir()
    write = os.write

    def cut_short(handle: int, data: bytes) -> int:
        return write(handle, data[:-missing])

    monkeypatch.setattr(os, "write", cut_short)

    shelter = held_payload.build(order, 0.0)
    entered = held_payload.enter(shelter, order)
    os.close(shelter.feed)
    _, status = os.waitpid(shelter.pid, 0)

    assert not entered
    assert os.waitstatus_to_exitcode(status) != 0
    assert not (tmp_path / "work" / "ran").exists()


def test_without_handles_a_payload_is_not_started_and_the_guard_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", full)
    monkeypatch.setattr(os, "memfd_create", full)
    order = {"folder": str(tmp_path), "argv": ["/bin/true"], "feed": "x", "prefix": []}

    with pytest.raises(held_payload.PayloadNotStarted, match="no pipe"):
        held_payload.build(order, 0.0)
    with pytest.raises(held_payload.PayloadNotStarted, match="no room for its environment"):
        held_payload.start(order)
