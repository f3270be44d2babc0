"""`python -m tests.simulation --seeds N --seed FIRST`: run seeds, stop at the first violation."""

import argparse
import sys

from tests import virtual
from tests.simulation.world import Violation, World, live

LIMIT_S = 20_000.0


def run(seed: int) -> World:
    """Run one seed on a fresh virtual clock. Raises Violation."""
    return virtual.run(live(seed), limit_s=LIMIT_S)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trace", action="store_true", help="print what happens")
    asked = parser.parse_args()
    for seed in range(asked.seed, asked.seed + asked.seeds):
        try:
            world = run(seed)
        except Violation as why:
            print(f"seed {seed}: {why}\nreplay: make simulate SEEDS=1 SEED={seed}")
            return 1
        if asked.trace:
            print("\n".join(world.trace))
    print(f"{asked.seeds} seeds from {asked.seed}: no violation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
