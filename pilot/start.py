"""From the command line to a running pilot: options, settings, and slow work that begins at once.

Slow work runs while Python imports the rest of the pilot, which takes as long. So this module
imports nothing heavy.
"""

import argparse
import os
import sys

from .node.early_measurements import StartedWork
from .settings import ISOLATIONS, BadSettings, load, read_secret

# Not by `import pilotage`: a pilot does not need the interface of submitters.
VERSION: str = sys.modules["pilotage"].__version__
EXIT_USAGE = 2


def start(words: list[str], *, hide_code: bool = False) -> int:
    """Run a pilot with these options and return its exit code.

    `hide_code`: the folder of its code is private to the pilot, so payloads must not see it.
    """
    if words[:1] == ["run"]:
        words = words[1:]
    options = vars(_parser().parse_args(words))
    if options.pop("version"):
        return _say_version()
    try:
        settings = load(options.pop("config") or "", os.environ, options)
        secret = read_secret(settings.secret_file)
        begun = StartedWork(settings)
        try:
            from .runtime import live

            return live(settings, secret, begun, version=VERSION, hide_code=hide_code)
        finally:
            begun.end()
    except BadSettings as why:
        print(f"pilot: {why}", file=sys.stderr)
        return EXIT_USAGE


def _say_version() -> int:
    from pilotage.proto.messages import PROTOCOL

    print(f"pilotage-pilot {VERSION} protocol {PROTOCOL}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pilot.pyz run",
        description="Run jobs of a pilotage central on this machine.",
        epilog="`pilot.pyz detect` prints what a pilot would find on this node, and where.",
    )
    add = parser.add_argument
    add("--version", action="store_true", help="print the versions of pilot and protocol")
    add(
        "--config",
        metavar="FILE",
        help="JSON file with settings, which have the names of the options",
    )
    add("--central", metavar="URL", help="address of the central, https://host:port; required")
    add("--secret-file", metavar="FILE", help="one-use secret: file of mode 0600, or - for stdin")
    state = "folder for the pilot's state and its payloads (default: pilotage-UID/pilot-state, in "
    state += "the batch system's folder for the job if it is private, else in the current folder)"
    add("--state-dir", metavar="DIR", help=state)
    remove = "remove DIR and its contents after a successful end; keep no other files there"
    add("--remove-state", action="store_true", default=None, help=remove)
    add("--ca", metavar="FILE", help="CA certificates of the central, instead of the system's")
    plain = "allow http:// to other machines, on a trusted network"
    add("--plain-http", action="store_true", default=None, help=plain)
    add("--cores", type=int, metavar="N", help="maximum number of cores to offer; 0: all (0)")
    more = "offer the requested cores and GPUs, even if fewer are found"
    add("--overcommit", action="store_true", default=None, help=more)
    add("--memory-mb", type=int, metavar="M", help="memory to offer in MB; 0: all (0)")
    scratch = "maximum disk space to offer in MB; 0: all that is free (0)"
    add("--scratch-mb", type=int, metavar="M", help=scratch)
    largest = "maximum size in MB of a checkpoint for the next attempt (1000)"
    add("--checkpoint-mb", type=int, metavar="M", help=largest)
    add("--tags", metavar="A,B", help="tags that jobs may ask for")
    counted = "counted resources that jobs may ask for by name, as in bandwidth_mbps=100"
    add("--amounts", metavar="NAME=N,…", help=counted)
    wall = "seconds that the pilot may live; 0: as the batch system says (0)"
    add("--wall-s", type=float, metavar="S", help=wall)
    margin = "stop payloads this many seconds before the end of that time (60)"
    add("--stop-margin-s", type=float, metavar="S", help=margin)
    idle = "end after this many seconds without work; 0: never (0)"
    add("--idle-s", type=float, metavar="S", help=idle)
    unanswered = "end after this many seconds without a registration; 0: never (900)"
    add("--unanswered-s", type=float, metavar="S", help=unanswered)
    rungs = "isolation of payloads; auto: the best that works here; namespaces: the same, and "
    rungs += "the pilot ends if the node has none (auto)"
    add("--isolation", choices=ISOLATIONS, help=rungs)
    add("--os", metavar="NAME", help="operating system to offer, instead of the detected one")
    add("--architecture", metavar="NAME", help="architecture to offer, instead of the detected one")
    add("--required-tags", metavar="A,B", help="accept only jobs that ask for all of these tags")
    add("--types", metavar="A,B", help="accept only jobs of these types")
    add("--groups", metavar="A,B", help="accept only jobs of these groups")
    add("--owners", metavar="A,B", help="accept only jobs of these owners")
    add("--hs23-per-core", type=float, metavar="X", help="HS23 of one core; 0: not measured (0)")
    score = "HS23 of a core whose benchmark gives 1, as calibrated for such nodes; 0: unknown (0)"
    add("--hs23-per-score", type=float, metavar="X", help=score)
    measure = "CPU seconds of the benchmark at the start, at most 2; 0: none (0.1)"
    add("--benchmark-s", type=float, metavar="S", help=measure)
    look = "ask the batch system for the time left every S seconds; 0: only at the start (900)"
    add("--time-look-s", type=float, metavar="S", help=look)
    add("--cvmfs", metavar="A,B", help="repositories to look for if autofs mounts them")
    add("--cvmfs-root", metavar="DIR", help="folder in which CVMFS is mounted (/cvmfs)")
    tools = "container tools to use: apptainer, singularity, bubblewrap, podman; none: no images"
    add("--image-tools", metavar="A,B", help=tools + " (all that are found)")
    fetch = "registries that images may be fetched from, as in ghcr.io; none: from no registry"
    add("--registries", metavar="A,B", help=fetch + " (all)")
    cache = "folder of fetched images, shared by all pilots of this user on the node"
    add("--image-cache", metavar="DIR", help=cache + " (/var/tmp/pilotage-images-UID)")
    size = "largest size of that folder in MB; images used longest ago are removed first (20000)"
    add("--image-cache-mb", type=int, metavar="M", help=size)
    module = "file that defines `module` for a shell, instead of the detected one"
    add("--module-init", metavar="FILE", help=module)
    hides = "folders and files that payloads must not see, if the rung can hide them"
    add("--hide", metavar="A,B", help=hides)
    register = "folder that all pilots of this user on the node share (/tmp)"
    add("--register", metavar="DIR", help=register)
    add("--gpus", type=int, metavar="N", help="GPUs to offer; 0: all (0)")
    add("--gpu-model", metavar="NAME", help="model of the GPUs, for people")
    add("--gpu-vendor", metavar="NAME", help="vendor of the GPUs: nvidia, amd, intel")
    add("--gpu-memory-mb", type=int, metavar="M", help="memory of each GPU in MB")
    add("--gpu-compute-capability", metavar="X.Y", help="compute capability of the GPUs")
    add("--gpu-driver", metavar="X.Y", help="version of the GPUs' driver")
    return parser
