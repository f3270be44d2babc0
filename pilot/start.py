"""From the command line to a running pilot: options, real drivers, signals."""

import argparse
import asyncio
import fcntl
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any, Optional

from pilotage.proto.messages import PROTOCOL

from . import bus
from .agent import Agent, Ports
from .api import Api, BadUrl, InsecureUrl
from .brain import EXIT_DONE
from .clock import BootClock, SystemRandomness, wall
from .declared import DeclaredNode
from .events import Log, json_lines
from .guard_link import start_guard
from .journal import FileJournal
from .probe import Caps, LocalNode
from .removal import remove
from .settings import ISOLATIONS, BadSettings, Settings, load, read_secret
from .workspace import ATTEMPTS, Folders

# Not by `import pilotage`: a pilot has no use for the face that submitters see.
VERSION: str = sys.modules["pilotage"].__version__
EXIT_USAGE, EXIT_IN_USE = 2, 14
DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StateInUse(Exception):
    """Another pilot lives in this state directory."""


def start(words: list[str]) -> int:
    """Run a pilot with these options and return its exit code."""
    if words[:1] == ["run"]:
        words = words[1:]
    options = vars(_parser().parse_args(words))
    if options.pop("version"):
        print(f"pilotage-pilot {VERSION} protocol {PROTOCOL}")
        return 0
    try:
        settings = load(options.pop("config") or "", os.environ, options)
        secret = read_secret(settings.secret_file)
        api = _api(settings)
        state = Path(settings.state_dir).absolute()
        lock = _lock(state)
    except (BadSettings, BadUrl, InsecureUrl) as why:
        print(f"pilot: {why}", file=sys.stderr)
        return EXIT_USAGE
    except StateInUse as why:
        print(f"pilot: {why}", file=sys.stderr)
        return EXIT_IN_USE
    try:
        code, left_nothing = asyncio.run(_run(settings, secret, state, api))
        if settings.remove_state and code == EXIT_DONE and left_nothing:
            remove(state / ATTEMPTS)  # what payloads have left may be deeper than rmtree can go
            shutil.rmtree(state, ignore_errors=True)
        return code
    finally:
        api.close()
        os.close(lock)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pilot.pyz run", description="Run jobs of a pilotage central on this machine."
    )
    add = parser.add_argument
    add("--version", action="store_true", help="print versions of pilot and protocol, and end")
    add("--config", metavar="FILE", help="JSON file with settings, named as the options are")
    add("--central", metavar="URL", help="address of the central, https://host:port; needed")
    add("--secret-file", metavar="FILE", help="one-use secret: file of mode 0600, or - for stdin")
    add("--state-dir", metavar="DIR", help="what outlives a restart, and payloads (./pilot-state)")
    remove = "remove DIR with all that is in it after a good end; nothing else may be kept there"
    add("--remove-state", action="store_true", default=None, help=remove)
    add("--ca", metavar="FILE", help="CA certificates of the central, instead of the system's")
    plain = "allow http:// to other machines, where the network is trusted"
    add("--plain-http", action="store_true", default=None, help=plain)
    add("--cores", type=int, metavar="N", help="cores to offer; 0: all that it finds")
    add("--memory-mb", type=int, metavar="M", help="memory to offer; 0: all that it finds")
    add("--tags", metavar="A,B", help="words that jobs may ask for")
    add("--wall-s", type=float, metavar="S", help="how long the pilot may live; 0: as it finds")
    margin = "payloads are stopped so long before the end of that time (60)"
    add("--stop-margin-s", type=float, metavar="S", help=margin)
    add("--idle-s", type=float, metavar="S", help="end after so long without work; 0: never (0)")
    unanswered = "end when the central has not let us in for so long; 0: never (900)"
    add("--unanswered-s", type=float, metavar="S", help=unanswered)
    rungs = "how payloads are kept apart; auto: the best that works here (auto)"
    add("--isolation", choices=ISOLATIONS, help=rungs)
    add("--os", metavar="NAME", help="operating system to offer, instead of what is found")
    add("--architecture", metavar="NAME", help="architecture to offer, instead of what is found")
    return parser


def _api(settings: Settings) -> Api:
    ca_file: Optional[Path] = Path(settings.ca) if settings.ca else None
    try:
        return Api(settings.central, ca_file=ca_file, plain_http=settings.plain_http)
    except OSError as why:
        raise BadSettings(f"ca: {why}") from why


def _lock(state: Path) -> int:
    """Make the state directory ours alone; return the handle that holds it. Raises StateInUse."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as why:
        raise BadSettings(f"state_dir: {why}") from why
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as why:
        os.close(handle)
        raise StateInUse(f"another pilot lives in {state}") from why
    return handle


async def _run(settings: Settings, secret: str, state: Path, api: Api) -> tuple[int, bool]:
    """Let a pilot of real drivers live; return its exit code and whether it left nothing."""
    clock, random = BootClock(), SystemRandomness()
    log: Log = json_lines(sys.stderr, wall)
    rung = "" if settings.isolation == "auto" else settings.isolation
    guard = await start_guard(rung=rung, hidden=(state,))
    try:
        caps = Caps(
            cores=settings.cores,
            memory_mb=settings.memory_mb,
            wall_s=settings.wall_s,
            tags=settings.tags,
        )
        found = LocalNode(state, clock, isolation=guard.isolation, caps=caps)
        ports = Ports(
            clock=clock,
            random=random,
            http=api,
            bus=bus.factory(clock, random, log),
            guard=guard,
            journal=FileJournal(state / "journal"),
            workspace=Folders(state),
            probe=DeclaredNode(found, os=settings.os, architecture=settings.architecture),
            log=log,
        )
        facts: dict[str, Any] = {
            "version": VERSION,
            "protocol": PROTOCOL,
            "central": settings.central,
            "isolation": guard.isolation,
            "cores": found.cores(),
        }
        log("pilot_started", facts)
        agent = Agent(
            ports,
            secret=secret,
            central=settings.central,
            idle_s=settings.idle_s,
            stop_margin_s=settings.stop_margin_s,
            unanswered_s=settings.unanswered_s,
        )
        loop = asyncio.get_running_loop()
        for number in DRAIN_SIGNALS:
            loop.add_signal_handler(number, agent.drain, number.name)
        return await agent.run(), agent.left_nothing
    finally:
        await guard.close()
