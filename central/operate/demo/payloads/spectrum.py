"""A small Monte Carlo campaign of gamma-ray energies, with the standard library alone.

    spectrum.py generate SEED EVENTS OUT.json     draw energies from a power law, seeded
    spectrum.py merge OUT.json IN.json…           fit the spectral index to all of them

Energies follow dN/dE ∝ E^-2.7 above 1 TeV (inverse transform of a uniform deviate). The maximum
likelihood estimate of the index is 1 + n / Σ ln E, with the error (index - 1) / √n
(Crawford, Jauncey and Murdoch, Astrophysical Journal 162 (1970) 405).
"""

import json
import math
import os
import random
import sys
import time

TRUE_INDEX = 2.7


def generate(seed: int, events: int, out: str) -> None:
    """Write the number of events and the sum of ln E / TeV."""
    draw = random.Random(seed)
    log_sum = sum(-math.log(1.0 - draw.random()) / (TRUE_INDEX - 1.0) for _ in range(events))
    with open(out, "w", encoding="utf-8") as file:
        json.dump({"seed": seed, "events": events, "log_sum": log_sum}, file)
    print(f"seed {seed}: {events} events on {os.environ.get('PILOTAGE_SITE', 'this machine')}")


def merge(out: str, parts: "list[str]") -> None:
    """Write the fitted index of all parts together."""
    runs: list[dict[str, float]] = []
    for name in parts:
        with open(name, encoding="utf-8") as file:
            runs.append(json.load(file))
    runs.sort(key=lambda run: run["seed"])  # so that the sum does not depend on the order
    events = sum(run["events"] for run in runs)
    index = 1.0 + events / math.fsum(run["log_sum"] for run in runs)
    result = {
        "runs": len(runs),
        "seeds": len({run["seed"] for run in runs}),
        "events": events,
        "index": index,
        "error": (index - 1.0) / math.sqrt(events),
    }
    with open(out, "w", encoding="utf-8") as file:
        json.dump(result, file)
    print(f"spectral index {index:.4f} ± {result['error']:.4f} from {events} events")


def main(words: "list[str]") -> None:
    if words[:1] == ["generate"] and len(words) == 4:
        generate(int(words[1]), int(words[2]), words[3])
        time.sleep(float(os.environ.get("SPECTRUM_PAUSE_S", "0")))
    elif words[:1] == ["merge"] and len(words) > 2:
        merge(words[1], words[2:])
    elif words[:1] == ["fail-once"] and len(words) == 4:
        if os.environ.get("PILOTAGE_EPOCH") == "1":
            sys.exit("this job fails in its first attempt, as it should")
        generate(int(words[1]), int(words[2]), words[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
