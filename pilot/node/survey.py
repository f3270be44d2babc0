"""`pilot.pyz detect`: what a pilot would find on this node, and where, for site administrators."""

import argparse
import os
from pathlib import Path

from ..clock import wall
from ..data.drivers import programs, storages
from ..detect.facts import find
from ..detect.facts_report import as_json, as_text
from ..detect.surroundings import here
from ..outfit.isolation import UNSHARE, works
from .benchmark_run import Measuring


def survey(words: list[str]) -> int:
    """Detect the node and print the result, without any contact to a central."""
    options = _parser().parse_args(words)
    root = Path(options.root).absolute()
    measuring = Measuring(options.benchmark_s)
    proof = "one was made" if root == Path("/") and works(UNSHARE) else ""
    facts = find(
        here(os.environ, wall, root),
        folder=options.folder,
        otherwise=os.getcwd(),
        cvmfs_wanted=[name for name in options.cvmfs.split(",") if name],
        programs_wanted=programs(storages(lambda _event, _facts: None)),
        namespaces_proof=proof,
        benchmark=measuring.wait(),
    )
    print(as_json(facts) if options.json else as_text(facts))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pilot.pyz detect",
        description="Print what a pilot finds on this node, and where it found it.",
    )
    add = parser.add_argument
    add("--json", action="store_true", help="print one JSON object with value, source and notes")
    add("--folder", default="", metavar="DIR", help="folder in which payloads would write")
    add("--cvmfs", default="", metavar="A,B", help="repositories to look for")
    add(
        "--benchmark-s",
        type=_spend_s,
        default=0.1,
        metavar="S",
        help="CPU seconds of the benchmark; 0: none (0.1)",
    )
    add(
        "--root",
        default="/",
        metavar="DIR",
        help="folder with /proc, /sys and /etc of another node",
    )
    return parser


def _spend_s(word: str) -> float:
    spend_s = float(word)
    if not 0 <= spend_s <= 2:
        raise argparse.ArgumentTypeError(f"found {word}, expected a number from 0 to 2")
    return spend_s
