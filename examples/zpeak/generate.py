"""Proton collisions in which a Z becomes two muons, by Pythia 8.

    generate.py RUN EVENTS OUTPUT.events.gz

The run is the seed: the same run gives the same events. Each line of the output is an event in
JSON: a list of [particle, px, py, pz, E] in GeV of what a detector would see.
"""

import gzip
import json
import sys

import pythia8mc

SETTINGS = (
    "Print:quiet = on",
    "Beams:eCM = 13000.",
    "WeakSingleBoson:ffbar2gmZ = on",
    "PhaseSpace:mHatMin = 60.",
    "PhaseSpace:mHatMax = 120.",
    "23:onMode = off",
    "23:onIfAny = 13",
    "Random:setSeed = on",
)
ETA_MAX = 5.0  # as far as the detector reaches


def generate(run: int, events: int, output: str) -> None:
    pythia = pythia8mc.Pythia("", False)
    for setting in (*SETTINGS, f"Random:seed = {run}"):
        pythia.readString(setting)
    if not pythia.init():
        sys.exit("Pythia does not start with these settings")
    with gzip.GzipFile(output, "wb", mtime=0) as file:  # the same bytes each time
        made = 0
        while made < events:
            if not pythia.next():
                continue
            seen = [
                [one.id(), *(round(it, 5) for it in (one.px(), one.py(), one.pz(), one.e()))]
                for one in pythia.event
                if one.isFinal() and one.isVisible() and abs(one.eta()) < ETA_MAX
            ]
            file.write(json.dumps(seen, separators=(",", ":")).encode() + b"\n")
            made += 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    generate(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
