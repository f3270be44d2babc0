"""The composition of a pilot from real drivers: its folder, its central and its node."""

import asyncio
import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Optional

from pilotage.proto.amounts import read_amounts
from pilotage.proto.messages import PROTOCOL

from . import own_code
from .agent import Agent, Ports
from .clock import BootClock, SystemRandomness, wall
from .data.drivers import programs, storages
from .detect import scratch
from .detect.batch_systems import detection
from .detect.batch_systems.batch_job import BatchJob
from .detect.facts_report import as_plain
from .detect.surroundings import Surroundings, here
from .events import WriteEvent, both, json_lines
from .files.removal import remove
from .files.workspace import ATTEMPTS, Workspaces
from .gpus import Gpus
from .guard_link import start_guard
from .journal import FileJournal
from .mind.brain import EXIT_DONE
from .mind.pace import SPREAD
from .neighbours import (
    ROOT as REGISTER_ROOT,
    HiddenPaths,
    Neighbours,
    above_job_folders,
    own_name,
    place_of,
    spools,
)
from .node.declarations import Accepts, DeclaredNode
from .node.early_measurements import StartedWork
from .node.probe import CappedSetting, Caps, LocalNode
from .outfit import isolation
from .outfit.tools import CONTAINERS, LateOutfitter, NodeTools, default_cache
from .secrecy import close_to_others
from .settings import NAMESPACES, BadSettings, Settings
from .talk import bus
from .talk.api import Api, BadUrl, InsecureUrl
from .talk.unsent_log import FileUntoldLog

EXIT_IN_USE, EXIT_NO_NAMESPACES = 14, 16
JOURNAL, UNTOLD = "journal", "untold.log"  # in the state directory
DRAIN_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StateInUse(Exception):
    """Another pilot uses this state directory."""


def live(
    settings: Settings, secret: str, begun: StartedWork, *, version: str, hide_code: bool
) -> int:
    """Run a pilot with these settings and return its exit code. Raises BadSettings.

    `hide_code`: the folder of its code is private to the pilot, so payloads must not see it.
    """
    close_to_others()
    api = _api(settings)
    around = here(os.environ, wall, Path("/"))
    jobs = detection.jobs(around)
    state = Path(os.path.realpath(settings.state_dir or _state_dir(around, jobs)))
    _check_secret(secret, state)
    try:
        lock = _lock(state)
    except StateInUse as why:
        print(f"pilot: {why}", file=sys.stderr)
        return EXIT_IN_USE
    neighbours = Neighbours(settings.register or REGISTER_ROOT)
    of_jobs = (one.scratch_folder.value for one in jobs if one.scratch_folder.known)
    common = tuple(above_job_folders(one for one in of_jobs if scratch.is_ours(around, one)))
    fixed = (*common, *spools(), *_hidden(settings, hide_code=hide_code))
    hidden = HiddenPaths(fixed, neighbours, place_of(state))
    try:
        code, left_nothing = asyncio.run(
            _run(
                settings,
                secret,
                state,
                api,
                around,
                jobs,
                begun,
                version=version,
                join=partial(neighbours.join, place_of(state), common=common),
                hidden=hidden,
            )
        )
        if settings.remove_state and code == EXIT_DONE and left_nothing:
            for folder in (ATTEMPTS, CONTAINERS):  # too deep for rmtree, or not to be opened
                remove(state / folder)
            shutil.rmtree(state, ignore_errors=True)
        return code
    finally:
        api.close()
        neighbours.leave()
        os.close(lock)


def _hidden(settings: Settings, *, hide_code: bool) -> tuple[Path, ...]:
    """Return the paths that the settings hide from payloads, and the code if it is private.

    All paths are without links, because nothing can be mounted on a link.
    """
    wanted = [one for one in settings.hide if os.path.exists(one)]
    wanted.append(_image_cache(settings))  # also before it exists
    if settings.secret_file not in ("", "-"):
        wanted.append(settings.secret_file)
    if hide_code:
        wanted.append(str(own_code.root().parent))
    return tuple(Path(os.path.realpath(one)) for one in wanted)


def _image_cache(settings: Settings) -> str:
    """Return the folder of fetched images. It must not be a link itself, so that is kept."""
    parent, name = os.path.split((settings.image_cache or default_cache()).rstrip("/"))
    return os.path.join(os.path.realpath(parent), name)


def _check_secret(secret: str, state: Path) -> None:
    """Raise BadSettings without a secret, unless the central already knows the pilot."""
    if not secret and not (state / JOURNAL).exists():
        made = "`pilotage pilot secret` creates one"
        raise BadSettings(f"--secret-file FILE is needed for a new pilot: {made}")


def _declared(settings: Settings, found: LocalNode) -> DeclaredNode:
    return DeclaredNode(
        found,
        os=settings.os,
        architecture=settings.architecture,
        hs23_per_core=settings.hs23_per_core,
        overcommit=settings.overcommit,
        gpus=Gpus(
            count=settings.gpus,
            model=settings.gpu_model,
            vendor=settings.gpu_vendor,
            memory_mb=settings.gpu_memory_mb,
            compute_capability=settings.gpu_compute_capability,
            driver=settings.gpu_driver,
        ),
    )


def _outfitter(
    settings: Settings, found: LocalNode, rung: str, state: Path, hidden: Iterable[Path]
) -> LateOutfitter:
    node = _declared(settings, found).node()
    tools = NodeTools(
        rung,
        node.architecture,
        node.architecture_level,
        image_tools=found.image_tools,
        hidden=hidden,
        cvmfs_root=settings.cvmfs_root.rstrip("/"),
        module_init=settings.module_init,
        gpu_vendor=found.gpus().vendor,
        registries=settings.registries,
        image_cache=_image_cache(settings),
        image_cache_bytes=settings.image_cache_mb * 1_000_000,
    )
    return LateOutfitter(tools, state, os.environ)


def _api(settings: Settings) -> Api:
    ca_file: Optional[Path] = Path(settings.ca) if settings.ca else None
    try:
        return Api(settings.central, ca_file=ca_file, plain_http=settings.plain_http)
    except (BadUrl, InsecureUrl) as why:
        raise BadSettings(str(why)) from why
    except OSError as why:
        raise BadSettings(f"ca: {why}") from why


def _state_dir(around: Surroundings, jobs: Sequence[BatchJob]) -> str:
    """Return the default state directory, beside the payloads' files."""
    folder = scratch.folder(around, jobs, os.getcwd()).value
    old = os.path.join(folder, "pilot-state")  # from release 0.1
    return old if os.path.exists(old) else os.path.join(folder, own_name(), "pilot-state")


def _lock(state: Path) -> int:
    """Lock the state directory; return the handle that holds the lock. Raises StateInUse."""
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


def _caps(settings: Settings) -> Caps:
    return Caps(
        cores=settings.cores,
        overcommit=settings.overcommit,
        memory_mb=settings.memory_mb,
        scratch_mb=settings.scratch_mb,
        wall_s=settings.wall_s,
        tags=settings.tags,
        cvmfs=settings.cvmfs,
        image_tools=settings.image_tools,
        registries=settings.registries,
    )


async def _run(
    settings: Settings,
    secret: str,
    state: Path,
    api: Api,
    around: Surroundings,
    jobs: Sequence[BatchJob],
    begun: StartedWork,
    *,
    version: str,
    join: Callable[[Sequence[Path]], str],
    hidden: HiddenPaths,
) -> tuple[int, bool]:
    """Run a pilot of real drivers; return its exit code and whether it left nothing."""
    clock, random = BootClock(), SystemRandomness()
    untold = FileUntoldLog(state / UNTOLD, wall)
    log: WriteEvent = both(json_lines(sys.stderr, wall), untold.note)
    loop = asyncio.get_running_loop()
    rung = await loop.run_in_executor(None, begun.rung)
    if settings.isolation == NAMESPACES and rung == isolation.SESSION:
        log("no_namespaces", {"host": around.host})
        return EXIT_NO_NAMESPACES, True
    covers = (*hidden, *isolation.private_roots()) if rung != isolation.SESSION else ()
    seen_by = join(covers)
    guard = await start_guard(rung=rung, hidden=hidden)
    try:
        drivers = storages(log)
        found = LocalNode(
            state,
            clock,
            around,
            isolation=guard.isolation,
            caps=_caps(settings),
            jobs=jobs,
            programs=programs(drivers),
            benchmark=await loop.run_in_executor(None, begun.benchmark),
            hs23_per_score=settings.hs23_per_score,
            namespaces=rung != isolation.SESSION and not seen_by,
        )
        ports = Ports(
            clock=clock,
            random=random,
            http=api,
            bus=bus.factory(clock, random, log),
            guard=guard,
            journal=FileJournal(state / JOURNAL, lambda why: log("journal_behind", {"why": why})),
            workspace=Workspaces(state, checkpoint_bytes_max=settings.checkpoint_mb * 1_000_000),
            probe=_declared(settings, found),
            log=log,
            outfitter=_outfitter(settings, found, guard.isolation, state, hidden),
            untold=untold,
            storages=drivers,
        )
        facts: dict[str, Any] = {
            "version": version,
            "protocol": PROTOCOL,
            "central": settings.central,
            "isolation": guard.isolation,
            "cores": found.cores(),
        }
        log("pilot_started", facts)
        log("node_found", {"facts": as_plain(found.facts)})
        if seen_by and rung != isolation.SESSION:
            log("not_apart", {"why": seen_by})
        for one in found.capped():
            log("offer_capped", asdict(one))
        declared = ports.probe.gpus()
        if declared.count < settings.gpus:
            said = CappedSetting("gpus", settings.gpus, declared.count, found.facts.gpus.source)
            log("offer_capped", asdict(said))
        agent = Agent(
            ports,
            secret=secret,
            central=settings.central,
            idle_s=settings.idle_s,
            stop_margin_s=settings.stop_margin_s,
            unanswered_s=settings.unanswered_s,
            time_look_s=random.uniform(1 - SPREAD, 1 + SPREAD) * settings.time_look_s,
            upload_s=settings.upload_s,
            accepts=Accepts(
                required_tags=settings.required_tags,
                types=settings.types,
                groups=settings.groups,
                owners=settings.owners,
            ),
            amounts=read_amounts(settings.amounts),
        )
        for number in DRAIN_SIGNALS:
            loop.add_signal_handler(number, agent.drain, number.name)
        return await agent.run(), agent.left_nothing
    finally:
        await guard.close()
