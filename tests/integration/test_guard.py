"""The guard with real processes, on every rung of the isolation ladder that works here."""

import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from pilotage.central.operate.distribution.pilot_bundle import pilot_bundle
from pilotage.pilot.clock import BootClock
from pilotage.pilot.files import programs
from pilotage.pilot.files.token_files import write_token
from pilotage.pilot.guard import processes
from pilotage.pilot.guard_link import GuardLink, start_guard
from pilotage.pilot.outfit import isolation
from pilotage.pilot.ports import Ended, GuardGone, GuardNews
from pilotage.proto.messages import Assignment, Body, Grant, Limits

RUNGS = [rung for rung in isolation.LADDER if isolation.works(rung)]
# In a shelter that was built before the payload was known, everything is as it is without one.
AHEAD = f"{isolation.BUBBLEWRAP}, ahead"
WAYS = [*RUNGS, AHEAD] if isolation.BUBBLEWRAP in RUNGS else RUNGS
NAMESPACES = [way for way in WAYS if way != isolation.SESSION]
PYTHONS_39 = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))
PATIENCE_S = 15.0
ROOT = Path(__file__).parents[2]
A_GRANT, NO_LIMITS = Grant(1, 100, 600.0), Limits()

each_rung = pytest.mark.parametrize("rung", WAYS)


class Playground:
    """A guard, folders for its payloads, and a word that all processes of a test carry in argv."""

    def __init__(self, folder: Path, link: GuardLink, *, ahead: bool = False) -> None:
        self.folder, self.link, self._clock = folder, link, BootClock()
        self._ahead = ahead
        self.word = f"86400.{secrets.randbelow(10**12)}"  # a duration that `sleep` takes
        self._ids = itertools.count(secrets.randbelow(10**9) * 1000)

    def start(
        self,
        *command: str,
        fence_s: float = 600.0,
        wall_s: float = 600.0,
        memory_mb: int = 100,
        scratch_mb: int = 0,
        limits: Limits = NO_LIMITS,
        **environment: str,
    ) -> int:
        attempt_id = self.make()
        if self._ahead:
            self.link.prepare(self.work(attempt_id).parent)
        return self.enter(
            attempt_id,
            *command,
            fence_s=fence_s,
            grant=Grant(1, memory_mb, wall_s, scratch_mb),
            limits=limits,
            environment=environment,
        )

    def make(self) -> int:
        """Make the folder of an attempt, as the pilot does."""
        attempt_id = next(self._ids)
        for part in ("work", "tmp", "private"):
            (self.work(attempt_id).parent / part).mkdir(parents=True)
        return attempt_id

    def enter(
        self,
        attempt_id: int,
        *command: str,
        fence_s: float = 600.0,
        grant: Grant = A_GRANT,
        limits: Limits = NO_LIMITS,
        environment: Mapping[str, str] = MappingProxyType({}),
        tokens: tuple[str, ...] = (),
    ) -> int:
        """Start a payload in a folder that is there."""
        body = Body(
            tuple(word.replace("WORD", self.word) for word in command),
            dict(environment),
            limits=limits,
            tokens=tokens,
        )
        assignment = Assignment(attempt_id, 1, attempt_id, 60.0, "token", grant, body)
        self.link.start(assignment, self.work(attempt_id).parent, self._clock.now() + fence_s)
        return attempt_id

    def fence(self, attempt_id: int, in_s: float) -> None:
        self.link.fence(attempt_id, self._clock.now() + in_s)

    def work(self, attempt_id: int) -> Path:
        return self.folder / "attempts" / str(attempt_id) / "work"

    def output(self, attempt_id: int, stream: str = "stdout") -> str:
        path = self.work(attempt_id).parent / stream
        return path.read_text() if path.exists() else ""  # before the guard has made it

    async def news(self, wanted: Callable[[GuardNews], object]) -> GuardNews:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.link.news()
                if wanted(found):
                    return found

    async def ended(self, attempt_id: int) -> Ended:
        found = await self.news(lambda one: one.attempt_id == attempt_id and one.ended)
        assert found.ended is not None
        return found.ended

    def alive(self) -> list[str]:
        """Return the commands of living processes that carry the word."""
        found: list[str] = []
        for pid, one in processes.every().items():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if one.alive and self.word in command and pid != os.getpid():
                    found.append(command)
        return found


async def eventually(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"not in {PATIENCE_S} s: {what}"
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def playing(
    folder: Path,
    rung: str,
    *,
    frozen_max_s: float = 600.0,
    python: str = sys.executable,
    groups: str = "",
) -> AsyncGenerator[Playground]:
    name, _, ahead = rung.partition(", ")
    link = await start_guard(
        rung=name, hidden=[folder], frozen_max_s=frozen_max_s, python=python, groups=groups
    )
    try:
        yield Playground(folder, link, ahead=bool(ahead))
    finally:
        await link.close()


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


# -- ordinary ends ---------------------------------------------------------------------------


@each_rung
async def test_a_payload_ends_with_its_code_output_and_usage(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start(*sh("pwd; echo $GREETING; echo no >&2; exit 3"), GREETING="it's me")
        ended = await play.ended(attempt)

    assert (ended.exit_code, ended.signal, ended.why) == (3, None, "")
    assert play.output(attempt) == f"{play.work(attempt)}\nit's me\n"
    assert play.output(attempt, "stderr") == "no\n"
    assert 0.0 < ended.usage.wall_s < PATIENCE_S
    assert ended.usage.cpu_s > 0.0
    assert ended.usage.memory_peak_mb > 0.0


@each_rung
async def test_a_payload_finds_its_environment_and_nothing_of_the_pilots(
    tmp_path: Path, rung: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOT_SECRET", "secret")
    async with playing(tmp_path, rung) as play:
        attempt = play.start("env", LD_LIBRARY_PATH="/nowhere", LANG="C")
        await play.ended(attempt)

    found = dict(line.split("=", 1) for line in play.output(attempt).splitlines())
    found.pop("PWD", None)  # a shell and bubblewrap say where they are
    found.pop("PILOTAGE_GUARD")
    assert found == {
        "HOME": str(play.work(attempt)),
        "LANG": "C",
        "LD_LIBRARY_PATH": "/nowhere",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
        "PILOTAGE_ATTEMPT": str(attempt),
        "PILOTAGE_CORES": "1",
        "PILOTAGE_EPOCH": "1",
        "PILOTAGE_GPUS": "0",
        "PILOTAGE_JOB": str(attempt),
        "PILOTAGE_MEMORY_MB": "100",
        "PILOTAGE_WALL_S": "600",
        "TMPDIR": str(play.work(attempt).parent / "tmp"),
    }


# A payload that reads its token, tries to change it, and waits for the next one.
READS_TOKENS = """read first <"$BEARER_TOKEN_FILE"; echo "$first" $(ls "$PILOTAGE_TOKENS")
(echo mine >"$BEARER_TOKEN_FILE") 2>/dev/null; (: >"$PILOTAGE_TOKENS/x") 2>/dev/null
(rm -rf "$PILOTAGE_TOKENS") 2>/dev/null; touch "$HOME/ready"
while [ "$(cat "$BEARER_TOKEN_FILE")" != second ]; do sleep 0.01; done; echo second"""


@each_rung
@pytest.mark.parametrize("place", ["in /tmp", "elsewhere"])
async def test_a_payload_reads_its_tokens_and_cannot_change_them(
    tmp_path: Path, rung: str, place: str
) -> None:
    folder = tmp_path if place == "in /tmp" else Path(tempfile.mkdtemp(dir=ROOT / "build"))
    script = READS_TOKENS if rung != isolation.SESSION else WITHOUT_WRITES
    try:
        async with playing(folder, rung) as play:
            attempt = play.make()
            home = play.work(attempt).parent
            write_token(home, "default", "first\n")
            play.enter(attempt, *sh(script), tokens=("default",))
            await eventually((home / "work" / "ready").exists, "it has tried")
            write_token(home, "default", "second")
            ended = await play.ended(attempt)
        said = play.output(attempt)
    finally:
        if folder != tmp_path:
            shutil.rmtree(folder)

    assert ended.exit_code == 0
    assert said == "first default\nsecond\n"


WITHOUT_WRITES = "\n".join(one for one in READS_TOKENS.splitlines() if "mine" not in one).replace(
    '(rm -rf "$PILOTAGE_TOKENS") 2>/dev/null; ', ""
)


@each_rung
async def test_a_payload_that_dies_of_a_signal_says_so(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        killed = await play.ended(play.start(*sh("kill -KILL $$")))
        aborted = await play.ended(play.start(*sh("kill -ABRT $$")))

    assert (killed.signal, aborted.signal) == (signal.SIGKILL, signal.SIGABRT)
    assert killed.why == aborted.why == ""


@each_rung
async def test_a_command_that_cannot_be_started_says_why(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        (tmp_path / "attempts").mkdir()
        attempt = play.start("no-such-command")
        news = await play.news(lambda one: one.attempt_id == attempt)

    assert "there is no no-such-command in /usr/local/bin" in news.not_started


@each_rung
async def test_what_a_job_says_at_length_costs_no_other_its_payload(
    tmp_path: Path, rung: str
) -> None:
    async with playing(tmp_path, rung) as play:
        neighbour = play.start("sleep", "WORD")
        await play.news(lambda one: one.started)
        told: list[str] = []
        for command in (
            ("x" * 1_048_540,),
            ("/" + "x" * 1_048_540,),
            ("true", "x" * 1_048_540),
        ):
            attempt = play.start(*command)
            news = await play.news(lambda one: one.not_started)
            assert news.attempt_id == attempt
            told.append(news.not_started)
        attempt = play.start("absent", PATH="/a:" * 40_000)
        news = await play.news(lambda one: one.not_started)

        assert play.alive(), "its neighbour runs"
        assert ["x" * 90 in one for one in told] == [True, True, False]
        assert "Argument list too long" in told[2]
        assert news.attempt_id == attempt and len(news.not_started) == 2_000
        assert news.not_started.startswith("there is no absent in /a:/a:")
        play.link.stop(neighbour, 0.0)
        await play.ended(neighbour)


@each_rung
async def test_a_program_on_a_deaf_file_system_holds_up_no_other_payload(
    tmp_path: Path, rung: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, plain = threading.Event(), programs.resolve

    def deaf(program: str, work: str, path: str, go_on: Callable[[], None]) -> str:
        if path == "/deaf":
            assert answers.wait(PATIENCE_S)
            path = "/bin"
        return plain(program, work, path, go_on)

    monkeypatch.setattr(programs, "resolve", deaf)
    async with playing(tmp_path, rung) as play:
        first = play.start("sleep", "WORD", PATH="/deaf", fence_s=0.0)
        second = play.start("sleep", "WORD", PATH="/deaf")
        other = play.start("sh", "-c", "sleep WORD", fence_s=0.01)
        frozen = await play.news(lambda one: one.frozen)
        play.link.stop(second, 10.0)
        stopped = await play.news(lambda one: one.attempt_id == second)
        play.link.stop(other, 0.0)
        await play.ended(other)
        play.fence(first, 600.0)
        play.link.warn()
        answers.set()
        begun = [await play.news(lambda one: one.attempt_id == first)]
        play.link.stop(first, 0.0)
        begun.append(await play.news(lambda one: one.attempt_id == first))

    assert frozen.attempt_id == other
    assert stopped.not_started == "stopped before it was started"
    assert begun[0].started
    assert begun[1].ended is not None, "its fence had moved while it was looked for"


# -- stops -----------------------------------------------------------------------------------


@each_rung
async def test_a_payload_that_hears_the_soft_signal_ends_by_itself(
    tmp_path: Path, rung: str
) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start(
            *sh('trap "echo bye; exit 5" TERM; echo hi; while :; do sleep 0.01; done')
        )
        await eventually(lambda: play.output(attempt), "the payload is ready")
        play.link.stop(attempt, 60.0)
        ended = await play.ended(attempt)

    assert ended.exit_code == 5
    assert play.output(attempt) == "hi\nbye\n"


@each_rung
async def test_a_payload_that_ignores_the_soft_signal_is_killed_after_its_grace(
    tmp_path: Path, rung: str
) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start(*sh('trap "" TERM; echo hi; while :; do sleep 0.01 WORD; done'))
        await eventually(lambda: play.output(attempt), "the payload is ready")
        play.link.stop(attempt, 0.3)
        ended = await play.ended(attempt)

        assert (ended.signal, ended.why) == (signal.SIGKILL, "killed")
        assert ended.usage.wall_s >= 0.3
        assert play.alive() == []


@each_rung
async def test_a_stop_without_grace_kills_whatever_was_forked(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start(
            *sh("sleep WORD & setsid -f sleep WORD; (setsid sh -c 'sleep WORD; :' &); echo; wait")
        )
        await eventually(lambda: len(play.alive()) >= 4, "daemons run")
        play.link.stop(attempt, 0.0)
        ended = await play.ended(attempt)

        assert ended.why == "killed"
        assert play.alive() == []


@each_rung
async def test_a_payload_over_its_wall_limit_is_ended(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        ended = await play.ended(play.start("sleep", "WORD", wall_s=0.3))

        assert (ended.signal, ended.why) == (signal.SIGTERM, "wall")
        assert ended.detail == "ran for 0 s, was given 0 s"
        assert 0.3 <= ended.usage.wall_s < 2.0
        assert play.alive() == []


# -- what payloads leave behind --------------------------------------------------------------

DAEMONS = {
    "double fork": "(sleep WORD &)",
    "double fork and session": "(setsid sleep WORD &)",
    "session that closes its output": "setsid -f sleep WORD >/dev/null 2>&1 </dev/null",
    "session without its marks": "env -i setsid -f sleep WORD",
    "daemon that forks on": "setsid -f sh -c 'while :; do sleep 0.001 WORD & done'",
}


@each_rung
@pytest.mark.parametrize("script", DAEMONS.values(), ids=DAEMONS)
async def test_nothing_is_left_when_a_payload_that_daemonises_ends(
    tmp_path: Path, rung: str, script: str
) -> None:
    async with playing(tmp_path, rung) as play:
        ended = await play.ended(play.start(*sh(f"{script}; sleep 0.1; exit 4")))

        assert ended.exit_code == 4
        assert play.alive() == []


async def test_the_end_of_one_payload_leaves_the_daemons_of_another_alone(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.SESSION) as play:
        long = play.start(*sh("(setsid sleep WORD &); exec sleep WORD"))
        await eventually(lambda: len(play.alive()) == 2, "the daemon runs")
        await play.ended(play.start("true"))

        assert len(play.alive()) == 2
        play.link.stop(long, 0.0)
        await play.ended(long)
        assert play.alive() == []


async def test_a_daemon_that_hides_whose_it_is_does_not_live_on(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.SESSION) as play:
        others = [play.start("sleep", "600") for _ in range(2)]
        attempt = play.start(*sh("env -i setsid -f sleep WORD; sleep 0.1"))
        await play.ended(attempt)
        await eventually(lambda: not play.alive(), "the daemon is gone")

        for other in others:
            play.link.stop(other, 0.0)
            await play.ended(other)


# -- ends of guard and pilot -----------------------------------------------------------------


@pytest.mark.parametrize("rung", NAMESPACES)
async def test_a_guard_that_is_killed_takes_namespaces_along(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start(*sh("(setsid sleep WORD &); env -i setsid -f sleep WORD; sleep WORD"))
        await eventually(lambda: len(play.alive()) >= 3, "daemons run")
        os.kill(play.link.pid, signal.SIGKILL)
        await eventually(lambda: not play.alive(), "the namespace is empty")

        with pytest.raises(GuardGone):
            await play.ended(attempt)


async def test_the_link_buries_what_a_killed_guard_left_without_namespaces(tmp_path: Path) -> None:
    async with playing(tmp_path, isolation.SESSION) as play:
        attempt = play.start(*sh("(setsid sleep WORD &); sleep WORD"))
        await eventually(lambda: len(play.alive()) >= 2, "the daemon runs")
        os.kill(play.link.pid, signal.SIGKILL)
        with pytest.raises(GuardGone):
            await play.ended(attempt)

        assert play.alive() == []


@each_rung
async def test_a_closed_socket_ends_all_payloads_and_the_guard(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        for _ in range(3):
            play.start(*sh("trap '' TERM; (setsid sleep WORD &); sleep WORD; sleep WORD"))
        await eventually(lambda: len(play.alive()) >= 6, "daemons run")
        await play.link.close()

        assert play.alive() == []
        assert processes.find(play.link.pid) is None


PILOT = """
import asyncio, sys
from pathlib import Path
from pilotage.pilot.guard_link import start_guard
from pilotage.pilot.clock import BootClock
from pilotage.proto.messages import Assignment, Body, Grant

async def main(rung, folder, word):
    link = await start_guard(rung=rung)
    (folder / "work").mkdir()
    body = Body(("sh", "-c", f"(setsid sleep {word} &); sleep {word}"))
    link.start(
        Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 600.0), body), folder, BootClock().now() + 600
    )
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3].strip()))
"""


def _begin(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command)


@each_rung
async def test_a_pilot_that_is_killed_takes_guard_and_payloads_along(
    tmp_path: Path, rung: str
) -> None:
    async with playing(tmp_path, rung) as play:
        pilot = _begin(
            [sys.executable, "-c", PILOT, rung.partition(",")[0], str(tmp_path), play.word]
        )
        await eventually(lambda: len(play.alive()) >= 3, "the payload runs")
        pilot.kill()
        pilot.wait()

        await eventually(lambda: not play.alive(), "nothing of it is left")


async def test_signals_for_the_pilot_do_not_end_the_guard(tmp_path: Path) -> None:
    async with playing(tmp_path, RUNGS[0]) as play:
        await play.ended(play.start("true"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            os.kill(play.link.pid, number)

        assert (await play.ended(play.start("true"))).exit_code == 0


# -- fences ----------------------------------------------------------------------------------

COUNT = "i=0; while :; do i=$((i+1)); echo $i >next; mv next count; sleep 0.005; done"


@each_rung
async def test_a_payload_freezes_at_its_fence_and_goes_on_when_it_moves(
    tmp_path: Path, rung: str
) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start(
            *sh(f"(setsid sh -c 'mkdir d; cd d; {COUNT}' &); {COUNT}"), fence_s=0.5
        )
        counts = [play.work(attempt) / "count", play.work(attempt) / "d" / "count"]
        await play.news(lambda one: one.frozen)
        before = [path.read_text() for path in counts]
        deadline = time.monotonic() + 1.2  # longer than the guard looks again
        while time.monotonic() < deadline:
            assert [path.read_text() for path in counts] == before
            await asyncio.sleep(0.01)
        play.fence(attempt, 600.0)
        await play.news(lambda one: one.thawed)
        for path, old in zip(counts, before, strict=True):
            await eventually(lambda p=path, o=old: p.read_text() not in ("", o), "it counts again")  # type: ignore[misc]
        play.link.stop(attempt, 0.0)
        ended = await play.ended(attempt)

    assert all(int(old) > 5 for old in before)
    assert 1.2 <= ended.frozen_s < PATIENCE_S
    assert ended.usage.frozen_s == ended.frozen_s
    assert ended.usage.wall_s < PATIENCE_S


@each_rung
async def test_a_fence_that_moves_in_time_freezes_nothing(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start("sleep", "0.5", fence_s=0.3)
        play.fence(attempt, 600.0)
        ended = await play.ended(attempt)

    assert (ended.exit_code, ended.frozen_s) == (0, 0.0)


@each_rung
async def test_a_payload_that_stays_frozen_is_killed(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung, frozen_max_s=0.7) as play:
        ended = await play.ended(play.start("sleep", "WORD", fence_s=0.2))

        assert (ended.signal, ended.why) == (signal.SIGKILL, "fence")
        assert ended.frozen_s >= 0.7
        assert play.alive() == []


@each_rung
async def test_a_stop_of_a_frozen_payload_gives_no_grace(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung) as play:
        attempt = play.start(
            *sh("trap 'echo ran on' TERM; while :; do sleep 0.01; done"), fence_s=0.3
        )
        await play.news(lambda one: one.frozen)
        play.link.stop(attempt, 60.0)
        ended = await play.ended(attempt)

    assert (ended.signal, ended.why) == (signal.SIGKILL, "killed")
    assert play.output(attempt) == ""


# -- restarts, figures, versions -------------------------------------------------------------


async def test_an_attempt_is_seen_dead_only_where_it_could_be_seen(tmp_path: Path) -> None:
    boot, namespace = processes.boot_id(), processes.pid_namespace()
    async with playing(tmp_path, RUNGS[0]) as play:
        attempt = play.start("sleep", "WORD")
        await eventually(play.alive, "the payload runs")

        assert not play.link.seen_dead(attempt, boot, namespace, "")
        play.link.stop(attempt, 0.0)
        await play.ended(attempt)
        assert play.link.seen_dead(attempt, boot, namespace, "")
        assert not play.link.seen_dead(attempt, "another boot", namespace, "")
        assert not play.link.seen_dead(attempt, boot, "pid:[1]", "")


@pytest.mark.skipif(isolation.BUBBLEWRAP not in RUNGS, reason="bubblewrap does not work here")
async def test_bubblewrap_hides_the_folders_of_the_pilot(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    async with playing(tmp_path, isolation.BUBBLEWRAP) as play:
        attempt = play.start(*sh(f"cat {tmp_path}/token; ls {tmp_path}; ls {tmp_path}/attempts"))
        await play.ended(attempt)

    assert play.output(attempt) == f"attempts\n{attempt}\n"


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


@each_rung
async def test_dozens_of_payloads_a_second_pass_through_a_small_guard(
    tmp_path: Path, rung: str
) -> None:
    async with playing(tmp_path, rung) as play:
        begin, at_once, total = time.monotonic(), 8, 100
        for started in range(total):
            play.start("true")
            if started >= at_once:
                await play.news(lambda one: one.ended)
        for _ in range(at_once):
            await play.news(lambda one: one.ended)
        per_second = total / (time.monotonic() - begin)
        resident_kb = _resident_kb(play.link.pid)

    # What `unshare` builds takes six commands to build, which bubblewrap does alone.
    assert per_second > (25 if rung == isolation.UNSHARE else 50)
    assert resident_kb < 12_000


FROM_BUNDLE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from pilotage.pilot.clock import BootClock
from pilotage.pilot.guard_link import start_guard
from pilotage.proto.messages import Assignment, Body, Grant

async def main():
    link = await start_guard()
    Path("work").mkdir()
    body = Body(("sh", "-c", "exit 5"))
    assignment = Assignment(1, 1, 1, 60.0, "", Grant(1, 1, 600.0), body)
    link.start(assignment, Path.cwd(), BootClock().now() + 600)
    await link.news()
    print((await link.news()).ended.exit_code)
    await link.close()

asyncio.run(main())
"""


def test_the_guard_starts_from_the_bundle_wherever_that_lies(tmp_path: Path) -> None:
    shutil.copy(pilot_bundle(), tmp_path / "pilot.pyz")

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", FROM_BUNDLE, "pilot.pyz"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


@pytest.mark.skipif(not PYTHONS_39, reason="no Python 3.9 here")
@each_rung
async def test_the_guard_runs_on_python_39(tmp_path: Path, rung: str) -> None:
    async with playing(tmp_path, rung, python=str(PYTHONS_39[0])) as play:
        attempt = play.start(*sh("(setsid sleep WORD &); sleep WORD"), fence_s=0.2)
        await play.news(lambda one: one.frozen)
        play.fence(attempt, 600.0)
        await play.news(lambda one: one.thawed)
        play.link.stop(attempt, 0.0)
        ended = await play.ended(attempt)

        assert ended.why == "killed"
        assert play.alive() == []
