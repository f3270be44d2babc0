"""`python -m tests.simulation --seeds N --seed FIRST`: run seeds, stop at the first violation."""

import argparse
import sys

from .campaign import campaign, may_have_apis, of_runs, replay
from .planted import PLANTED, planted as plant
from .planted_leaders import LEADING
from .planted_outages import AWAY
from .violation import Violation
from .world import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--trace", action="store_true", help="print what happens, one by one")
    parser.add_argument("--leaders", action="store_true", help="two centrals on one database")
    parser.add_argument("--outages", action="store_true", help="something is away for hours")
    parser.add_argument("--runs", action="store_true", help="people run CWL documents")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--planted", default="", choices=["", *PLANTED, *LEADING, *AWAY], help="a bug to be found"
    )
    asked = parser.parse_args()
    if asked.trace:
        return _traced(asked)
    found = campaign(
        asked.seed,
        asked.seeds,
        planted=asked.planted,
        leaders=asked.leaders,
        outages=asked.outages,
        runs=asked.runs,
        processes=asked.processes,
        stop=True,
    )
    for seed, why in sorted(found.violations.items()):
        print(f"seed {seed}: {why}\nreplay: {_again(asked, seed)}")
    if asked.leaders:
        print(f"{found.take_overs} take-overs; nobody led for at most {found.led_late_s:.1f} s")
    print(
        f"{found.seeds} seeds from {asked.seed}: {len(found.violations) or 'no'} violations;"
        f" {found.cpu_s:.0f} s of CPU, {found.virtual_s / 3600:.0f} virtual hours,"
        f" {found.steps} steps, memory compared {found.compared} times"
    )
    return 1 if found.violations else 0


def _again(asked: argparse.Namespace, seed: int) -> str:
    return replay(
        seed, asked.planted, leaders=asked.leaders, outages=asked.outages, runs=asked.runs
    )


def _traced(asked: argparse.Namespace) -> int:
    for seed in range(asked.seed, asked.seed + asked.seeds):
        try:
            with plant(asked.planted) as prepare:
                run(
                    seed,
                    verbose=True,
                    leaders=asked.leaders,
                    outages=asked.outages,
                    apis=may_have_apis(asked.planted),
                    prepare=of_runs() if asked.runs else prepare,
                )
        except Violation as why:
            print(f"seed {seed}: {why}\nreplay: {_again(asked, seed)}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
