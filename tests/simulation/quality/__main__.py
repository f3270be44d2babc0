"""`python -m tests.simulation.quality`: run the loads, print tables, or write the page.

With `--write docs/scheduling.md` the page and its pictures, which lie beside it, are written.
"""

import argparse
import sys
from pathlib import Path

from . import freed, page, plot, starving
from .compare import LOADS, compare
from .load import DAY_S


def written(days: float, scale: float, seed: int) -> dict[str, str]:
    """Return the page, under an empty name, and its pictures by theirs."""
    loads = [compare(load(seed, length_s=days * DAY_S, scale=scale)) for load in LOADS]
    pictures = {
        outcomes[0].load.name: f"scheduling-{outcomes[0].load.name.split('-')[0].lower()}.svg"
        for outcomes in loads
    }
    files = {pictures[outcomes[0].load.name]: plot.picture(outcomes) for outcomes in loads}
    never = float("inf")
    beside = [
        (starving.run(name, days * DAY_S), starving.run(name, days * DAY_S, reserve_after_s=never))
        for name in starving.CASES
    ]
    return {"": page.page(loads, pictures, beside, freed.section(days * DAY_S)), **files}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.quality", description=__doc__)
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the pilots and jobs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="the page to write")
    asked = parser.parse_args()
    files = written(asked.days, asked.scale, asked.seed)
    if asked.write is None:
        print(files[""])
        return 0
    for name, text in files.items():
        (asked.write.parent / (name or asked.write.name)).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
