"""The mass of the Z: a maximum-likelihood fit of a Breit-Wigner curve to the masses of muon pairs.

    fit.py OUTPUT.json INPUT.csv

Place and width are free. The error of the place is where the likelihood has fallen by half a unit,
the width being fitted anew.
"""

import csv
import json
import math
import sys
from collections.abc import Callable, Sequence

LOW, HIGH = 80.0, 102.0  # GeV
GOLDEN = (math.sqrt(5) - 1) / 2


def misfit(masses: Sequence[float], place: float, width: float) -> float:
    """Return minus the logarithm of the likelihood; `width` is that at half height, in GeV."""
    half = width / 2
    inside = math.atan((HIGH - place) / half) - math.atan((LOW - place) / half)
    constant = math.log(half / inside)
    return sum(math.log((mass - place) ** 2 + half * half) - constant for mass in masses)


def least(of: Callable[[float], float], low: float, high: float, precision: float) -> float:
    """Return where a function with one valley is least."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = of(left), of(right)
    while high - low > precision:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = of(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = of(right)
    return (low + high) / 2


def fit(masses: Sequence[float]) -> dict[str, float]:
    def width_at(place: float) -> float:
        return least(lambda width: misfit(masses, place, width), 0.5, 15.0, 0.02)

    def best_at(place: float) -> float:
        return misfit(masses, place, width_at(place))

    place = least(best_at, 88.0, 94.0, 0.005)
    floor = best_at(place)
    low, high = 0.0, 3.0  # the error lies between
    while high - low > 0.002:
        middle = (low + high) / 2
        low, high = (middle, high) if best_at(place + middle) - floor < 0.5 else (low, middle)
    return {"mass_gev": place, "error_gev": high, "width_gev": width_at(place)}


def main(output: str, table: str) -> None:
    with open(table, newline="") as file:
        rows = list(csv.reader(file))
    masses = [float(row[2]) for row in rows if LOW < float(row[2]) < HIGH]
    if len(masses) < 20:
        sys.exit(f"{len(masses)} pairs of muons are too few for a fit")
    found = {name: round(value, 3) for name, value in fit(masses).items()}
    jets = sum(int(row[3]) for row in rows) / len(rows)
    with open(output, "w") as file:
        json.dump({**found, "pairs": len(masses), "jets_per_event": round(jets, 3)}, file)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
