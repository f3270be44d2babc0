"""Play the campaign: `python -m tests.simulation.year [--write docs/campaign.md]`."""

import argparse
import tempfile
from pathlib import Path

from .campaign import Plan, play
from .page import PICTURE, page, picture


def main() -> None:
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.year", description=__doc__)
    parser.add_argument("--productions", type=int, default=usual.productions)
    parser.add_argument("--runs", type=int, default=usual.runs, help="of each particle, in each")
    parser.add_argument("--part", type=float, default=usual.part, help="of the slots")
    parser.add_argument("--bad", type=float, default=usual.bad, help="share of bad files")
    parser.add_argument("--allowed", type=float, default=usual.allowed, help="missing inputs")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--write", type=Path, help="the page; its picture comes beside it")
    said = parser.parse_args()
    plan = Plan(
        productions=said.productions,
        runs=said.runs,
        part=said.part,
        bad=said.bad,
        allowed=said.allowed,
        seed=said.seed,
    )
    with tempfile.TemporaryDirectory(prefix="year-") as folder:
        year = play(plan, Path(folder), tell=lambda text: print(text, flush=True))
    print(f"{year.jobs} jobs in {year.ended_s / 24:.1f} days; {year.real_s:.0f} s here")
    if said.write is not None:
        said.write.write_text(page(plan, year))
        (said.write.parent / PICTURE).write_text(picture(year))


if __name__ == "__main__":
    main()
