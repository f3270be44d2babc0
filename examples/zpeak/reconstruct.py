"""What a detector makes of generated events: muons, jets, and the mass of two muons.

    reconstruct.py OUTPUT.csv INPUT.events.gz…

Muons get back the photons close to them, and are smeared by 1.5 %; jets are found by anti-kt with
R = 0.4. Of each event with two good muons of opposite charge stands a line in the output: file,
event, mass in GeV, number of jets. The smearing of a file is fixed by its name.
"""

import csv
import gzip
import json
import math
import random
import sys
import zlib
from pathlib import Path

import pythia8mc

MUON, PHOTON = 13, 22
PT_MIN, ETA_MAX = 20.0, 2.4  # of muons
DRESS = 0.1  # photons so close to a muon came from it
RESOLUTION = 0.015
JET_PT_MIN, JET_R, JET_ETA_MAX = 30.0, 0.4, 4.5
ALL_FINAL = 1  # particles that jets are made of: what cannot be seen is not in the files

Particle = tuple[int, float, float, float, float]


def pt(one: Particle) -> float:
    return math.hypot(one[1], one[2])


def eta(one: Particle) -> float:
    return math.asinh(one[3] / max(pt(one), 1e-9))


def apart(one: Particle, other: Particle) -> float:
    phi = math.atan2(one[2], one[1]) - math.atan2(other[2], other[1])
    return math.hypot(eta(one) - eta(other), math.remainder(phi, math.tau))


def added(one: Particle, others: list[Particle]) -> Particle:
    px, py, pz, e = (one[i] + sum(other[i] for other in others) for i in range(1, 5))
    return (one[0], px, py, pz, e)


def mass(one: Particle, other: Particle) -> float:
    _, px, py, pz, e = added(one, [other])
    return math.sqrt(max(0.0, e * e - px * px - py * py - pz * pz))


def muons_of(event: list[Particle], chance: random.Random) -> list[Particle]:
    """Return the muons of an event as a detector would measure them."""
    photons = [one for one in event if one[0] == PHOTON]
    found: list[Particle] = []
    for one in event:
        if abs(one[0]) == MUON:
            kind, *momentum = added(one, [it for it in photons if apart(one, it) < DRESS])
            scale = chance.gauss(1.0, RESOLUTION)
            found.append((kind, *(scale * value for value in momentum)))
    return [one for one in found if pt(one) > PT_MIN and abs(eta(one)) < ETA_MAX]


def jets_of(event: list[Particle], finder: pythia8mc.SlowJet) -> int:
    """Return how many jets there are in all but the muons."""
    record = pythia8mc.Event()
    record.reset()
    for kind, px, py, pz, e in event:
        if abs(kind) != MUON:
            record.append(kind, 1, 0, 0, px, py, pz, e, 0.0)
    finder.analyze(record)
    return finder.sizeJet()


def reconstruct(output: str, inputs: list[str]) -> None:
    finder = pythia8mc.SlowJet(-1, JET_R, JET_PT_MIN, JET_ETA_MAX, ALL_FINAL)
    with open(output, "w", newline="") as file:
        rows = csv.writer(file)
        for path in inputs:
            name = Path(path).name
            chance = random.Random(zlib.crc32(name.encode()))
            with gzip.open(path, "rt") as lines:
                for number, line in enumerate(lines):
                    event: list[Particle] = [tuple(one) for one in json.loads(line)]
                    muons = muons_of(event, chance)
                    if len(muons) == 2 and muons[0][0] == -muons[1][0]:
                        z = mass(*muons)
                        rows.writerow([name, number, f"{z:.4f}", jets_of(event, finder)])


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    reconstruct(sys.argv[1], sys.argv[2:])
